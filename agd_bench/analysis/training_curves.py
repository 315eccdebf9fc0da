"""Training curves by epoch: validation accuracy, the optimizers' steps, and promised and realised decreases of the loss.

A sweep with `diagnostics = ["optimizer"]` records steps and decreases as numbers by name, with a layer's name after a slash. An optimizer
that guarantees a decrease (duality structure gradient descent) states it for each step, and the loss of the batch is evaluated again
after the step.
"""

from __future__ import annotations

import json
import re

import pandas as pd

from agd_bench.analysis.scores import GROUP

QUANTILES = {"low": 0.1, "median": 0.5, "high": 0.9}


def accuracy_by_epoch(trials: pd.DataFrame, curves: pd.DataFrame) -> pd.DataFrame:
    """Validation accuracy of every algorithm's final trials after each epoch.

    A diverged trial counts up to its last epoch.

    Returns:
        One row per group, algorithm and epoch: `search_space`, `dataset`, `profile`, `algorithm`, `epoch`; `low`, `median`, `high` (10th,
        50th and 90th percentile of the trials' validation accuracies, in [0, 1]); `mean`; `trials` (how many reached that epoch).

    >>> trials = pd.DataFrame({"trial_id": ["x", "y"], "purpose": "final", "algorithm": "agd", "search_space": "s", "dataset": "d",
    ...     "profile": "p"})
    >>> curves = pd.DataFrame({"trial_id": ["x", "y"], "epoch": 1, "val_accuracy": [0.4, 0.6]})
    >>> accuracy_by_epoch(trials, curves)[["algorithm", "epoch", "low", "median", "high", "trials"]].round(3).values.tolist()
    [['agd', 1, 0.42, 0.5, 0.58, 2]]
    """
    keys = [*GROUP, "algorithm"]
    final = trials.loc[trials["purpose"] == "final", ["trial_id", *keys]]
    places = final.groupby(keys, sort=False).ngroup()
    labels = final[keys].drop_duplicates().reset_index(drop=True)
    # Joined by a number, not by four texts, which would take longer than everything else for a million rows.
    place = curves["trial_id"].map(pd.Series(places.to_numpy(), index=final["trial_id"]))
    known = place.notna()
    grouped = curves.loc[known, "val_accuracy"].groupby([place[known].astype(int).rename("place"), curves.loc[known, "epoch"]])
    table = pd.DataFrame({name: grouped.quantile(share) for name, share in QUANTILES.items()})
    table = table.assign(mean=grouped.mean(), trials=grouped.size()).reset_index()
    table = table[table["trials"] > 0].reset_index(drop=True)
    described = labels.iloc[table["place"].to_numpy(dtype=int)].reset_index(drop=True)
    return pd.concat([described, table.drop(columns="place")], axis=1)


_KEYS = [*GROUP, "algorithm"]
_SUMMARIES = ("last", "mean", "min", "max")


def step_summaries(trials: pd.DataFrame, diagnostics: pd.DataFrame) -> pd.DataFrame:
    """Quantities that optimizers record about the steps of each epoch, summarised over the final trials of an algorithm.

    Returns:
        One row per group, algorithm, name and epoch: `search_space`, `dataset`, `profile`, `algorithm`, `name` (without those of single
        layers), `epoch`; `low`, `median`, `high` (10th, 50th and 90th percentile over trials); `trials` (how many).

    >>> trials = pd.DataFrame({"trial_id": ["x", "y"], "purpose": "final", "algorithm": "agd", "search_space": "s", "dataset": "d",
    ...     "profile": "p"})
    >>> said = pd.DataFrame({"trial_id": ["x", "y", "x"], "epoch": 1, "name": ["eta/mean", "eta/mean", "relative_update/0"],
    ...     "value": [0.2, 0.4, 0.01]})
    >>> step_summaries(trials, said)[["algorithm", "name", "epoch", "low", "median", "high", "trials"]].round(3).values.tolist()
    [['agd', 'eta/mean', 1, 0.22, 0.3, 0.38, 2]]
    """
    layered = diagnostics["name"].map(lambda name: _layer(str(name)) is not None).astype(bool)
    rows = _of_finals(trials, diagnostics[~layered])
    grouped = rows.groupby([*_KEYS, "name", "epoch"], sort=False)["value"]
    table = pd.DataFrame({name: grouped.quantile(share) for name, share in QUANTILES.items()})
    return table.assign(trials=grouped.size()).reset_index()[[*_KEYS, "name", "epoch", *QUANTILES, "trials"]]


def layer_steps(trials: pd.DataFrame, diagnostics: pd.DataFrame) -> pd.DataFrame:
    """Quantities that each algorithm records for the layers of one network, from its first final trial with the most layers.

    Returns:
        One row per group, algorithm, quantity, layer and epoch: `search_space`, `dataset`, `profile`, `algorithm`, `architecture`, `seed`,
        `quantity` (for example `relative_update`), `layer` (its name or number), `place` (from 0, in the order of numbers within names),
        `epoch`, `value`.

    >>> trials = pd.DataFrame({"trial_id": ["x", "y"], "purpose": "final", "algorithm": "agd", "search_space": "s", "dataset": "d",
    ...     "profile": "p", "architecture": ["a", "b"], "seed": 0})
    >>> said = pd.DataFrame({"trial_id": "x", "epoch": 1, "name": ["relative_update/10", "relative_update/9", "eta/mean"],
    ...     "value": [0.1, 0.2, 0.3]})
    >>> layer_steps(trials, said)[["architecture", "quantity", "layer", "place", "epoch", "value"]].values.tolist()
    [['a', 'relative_update', '9', 0, 1, 0.2], ['a', 'relative_update', '10', 1, 1, 0.1]]
    """
    layers = diagnostics["name"].map(lambda name: _layer(str(name)))
    rows = diagnostics[layers.notna()].assign(
        quantity=diagnostics["name"].map(lambda name: str(name).split("/", 1)[0]), layer=layers[layers.notna()].astype(object)
    )
    rows = _of_finals(trials, rows, "architecture", "seed")
    # Layers of different architectures do not correspond, so they are not averaged.
    rows = rows[rows["trial_id"].isin(_deepest(rows))]
    rows = rows.sort_values("layer", key=lambda names: names.map(lambda name: _natural(str(name))), kind="stable")
    rows = rows.assign(number=rows.groupby(_KEYS, sort=False).ngroup())
    rows = rows.assign(place=rows.groupby("number")["layer"].transform(lambda names: pd.factorize(names)[0]).astype("int64"))
    columns = [*_KEYS, "architecture", "seed", "quantity", "layer", "place", "epoch", "value"]
    return rows.sort_values(["number", "place", "epoch"], kind="stable")[columns].reset_index(drop=True)


def _deepest(rows: pd.DataFrame) -> pd.Series[str]:
    """For each group and algorithm, the first trial with the most layers."""
    counts = rows.groupby([*_KEYS, "trial_id"], sort=False)["layer"].nunique().reset_index()
    return counts.sort_values("layer", ascending=False, kind="stable").drop_duplicates(_KEYS)["trial_id"]


def _layer(name: str) -> str | None:
    """The layer of a recorded number; None if it concerns all layers."""
    _, slash, rest = name.partition("/")
    return rest if slash and rest not in _SUMMARIES else None


def _natural(name: str) -> list[tuple[int, str]]:
    """Sorts layer 9 before layer 10."""
    return [(int(part), "") if part.isdigit() else (-1, part) for part in re.split(r"(\d+)", name)]


def _of_finals(trials: pd.DataFrame, rows: pd.DataFrame, *more: str) -> pd.DataFrame:
    """The rows of final trials, with the columns of the trial, in the order of the trials."""
    final = trials.loc[trials["purpose"] == "final", ["trial_id", *_KEYS, *more]]
    # A name that contains a step is a reading of a network (`network_readings`), not a record of an optimizer.
    return final.merge(rows[~rows["name"].astype(str).str.contains("@", regex=False)], on="trial_id")


_SUMS = {"compared_steps": "steps", "compared_promise": "promised", "compared_decrease": "realised", "shortfalls": "shortfalls"}


def decreases(trials: pd.DataFrame, diagnostics: pd.DataFrame, attempts: pd.DataFrame) -> pd.DataFrame:
    """Promised and realised decreases of the final trials' steps, epoch by epoch.

    Args:
        trials: the table of trials.
        diagnostics: the table of diagnostics.
        attempts: the table of attempts; the provenance states whether the algorithm guarantees descent.

    Returns:
        One row per group, algorithm and epoch with a compared step: `search_space`, `dataset`, `profile`, `algorithm`; `guarantee`
        (`yes`; `no`: promises are estimates; empty: not recorded); `epoch`; `trials` (how many); `steps` (of all of them); `promised` and
        `realised` (decrease of the loss of a step's own batch, mean over the steps, in units of the loss); `ratio` (realised over promised;
        missing where nothing was promised); `shortfalls` (steps that kept less than promised, beyond rounding) and `shortfall_share` (in
        [0, 1]).

    >>> trials = pd.DataFrame({"trial_id": ["x", "y"], "purpose": "final", "algorithm": "dsgd", "search_space": "s", "dataset": "d",
    ...     "profile": "p"})
    >>> names = ["compared_steps", "compared_promise", "compared_decrease", "shortfalls"]
    >>> said = pd.DataFrame({"trial_id": ["x"] * 4 + ["y"] * 4, "epoch": 1, "name": names * 2, "value": [3, 0.6, 0.9, 0, 1, 0.2, 0.1, 1]})
    >>> attempts = pd.DataFrame({"trial_id": ["x", "y"], "provenance": ['{"descent_guarantee": "no"}'] * 2})
    >>> decreases(trials, said, attempts)[["guarantee", "trials", "steps", "promised", "realised", "shortfalls"]].round(3).values.tolist()
    [['no', 2, 4, 0.2, 0.25, 1]]
    """
    rows = diagnostics[diagnostics["name"].isin(list(_SUMS))]
    wide = rows.pivot(index=["trial_id", "epoch"], columns="name", values="value").rename(columns=_SUMS).reset_index()
    wide = wide.reindex(columns=["trial_id", "epoch", *_SUMS.values()])
    final = trials.loc[trials["purpose"] == "final", ["trial_id", *_KEYS]]
    wide = final.merge(wide[wide["steps"] > 0], on="trial_id")
    wide = wide.assign(guarantee=wide["trial_id"].map(_guarantees(attempts)).fillna("").astype("str"))
    grouped = wide.groupby([*_KEYS, "guarantee", "epoch"], sort=False)
    return _per_step(grouped[list(_SUMS.values())].sum().assign(trials=grouped.size())).reset_index()


def _guarantees(attempts: pd.DataFrame) -> pd.Series[str]:
    """The recorded guarantee by trial; trials without a record are omitted."""
    texts = attempts.set_index("trial_id")["provenance"].dropna()
    # Provenances repeat in thousands of rows, so parse each text once.
    said = {text: json.loads(text).get("descent_guarantee") for text in texts.unique()}
    stated: pd.Series[str] = texts.map(said).dropna()
    # For a repeated trial, use the last attempt that recorded it.
    return stated[~stated.index.duplicated(keep="last")]


def total_decreases(table: pd.DataFrame) -> pd.DataFrame:
    """Aggregate the rows of `decreases` over all epochs.

    Args:
        table: as returned by `decreases`.

    Returns:
        One row per group and algorithm: the columns of `decreases` without `epoch`; `trials` is the maximum over epochs.

    >>> rows = pd.DataFrame({"search_space": "s", "dataset": "d", "profile": "p", "algorithm": "a", "guarantee": "no", "epoch": [1, 2],
    ...     "trials": 1, "steps": [3, 1], "promised": [0.2, 0.6], "realised": [0.3, 0.3], "shortfalls": [0, 1]})
    >>> total_decreases(rows)[["steps", "promised", "realised", "ratio", "shortfall_share"]].round(3).values.tolist()
    [[4.0, 0.3, 0.3, 1.0, 0.25]]
    """
    # `promised` and `realised` are means per step, so convert to sums before adding up epochs.
    weighted = table.assign(promised=table["promised"] * table["steps"], realised=table["realised"] * table["steps"])
    grouped = weighted.groupby([*_KEYS, "guarantee"], sort=False)
    sums = grouped[["steps", "promised", "realised", "shortfalls"]].sum()
    return _per_step(sums.assign(trials=grouped["trials"].max())).reset_index()


def _per_step(sums: pd.DataFrame) -> pd.DataFrame:
    """Means and shares from the sums of `promised`, `realised` and `shortfalls` over `steps`, with `trials`."""
    return pd.DataFrame(
        {
            "trials": sums["trials"],
            "steps": sums["steps"].astype("int64"),
            "promised": sums["promised"] / sums["steps"],
            "realised": sums["realised"] / sums["steps"],
            # A ratio of sums, because a mean of ratios would be dominated by steps with tiny promises.
            "ratio": sums["realised"] / sums["promised"].where(sums["promised"] > 0),
            # With guaranteed descent, any shortfall contradicts the theorem or its implementation; for an estimate, it shows the quality.
            "shortfalls": sums["shortfalls"].astype("int64"),
            "shortfall_share": sums["shortfalls"] / sums["steps"],
        }
    )
