"""Whether steps kept what they promised: the decrease of the loss that an optimizer stands for, against the one that came.

An optimizer whose `diagnostics` tell it (duality structure gradient descent) promises of each step by how much the loss of its batch falls;
a sweep with `diagnostics = ["optimizer"]` evaluates that loss again after the step.
"""

from __future__ import annotations

import json

import pandas as pd

from agd_bench.analysis.scores import GROUP

_KEYS = [*GROUP, "algorithm"]
_SUMS = {"compared_steps": "steps", "compared_promise": "promised", "compared_decrease": "realised", "shortfalls": "shortfalls"}


def decreases(trials: pd.DataFrame, diagnostics: pd.DataFrame, attempts: pd.DataFrame) -> pd.DataFrame:
    """Promised and realised decreases of the final trials' steps, epoch by epoch.

    Args:
        trials: the table of trials.
        diagnostics: the table of diagnostics.
        attempts: the table of attempts, whose provenance says whether the algorithm guarantees descent.

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
    """What each trial's attempts recorded of a guarantee, by trial; trials without such a record are not in it."""
    texts = attempts.set_index("trial_id")["provenance"].dropna()
    # Provenances repeat in thousands of rows: each text is parsed once.
    said = {text: json.loads(text).get("descent_guarantee") for text in texts.unique()}
    stated: pd.Series[str] = texts.map(said).dropna()
    # A trial that was repeated counts with the last attempt that recorded it.
    return stated[~stated.index.duplicated(keep="last")]


def total_decreases(table: pd.DataFrame) -> pd.DataFrame:
    """The rows of `decreases` over all epochs.

    Args:
        table: as `decreases` gives it.

    Returns:
        One row per group and algorithm: the columns of `decreases` without `epoch`; `trials` is the most of any epoch.

    >>> rows = pd.DataFrame({"search_space": "s", "dataset": "d", "profile": "p", "algorithm": "a", "guarantee": "no", "epoch": [1, 2],
    ...     "trials": 1, "steps": [3, 1], "promised": [0.2, 0.6], "realised": [0.3, 0.3], "shortfalls": [0, 1]})
    >>> total_decreases(rows)[["steps", "promised", "realised", "ratio", "shortfall_share"]].round(3).values.tolist()
    [[4.0, 0.3, 0.3, 1.0, 0.25]]
    """
    # `promised` and `realised` are means per step: back to sums before epochs are added up.
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
            # Sums over sums: a mean of ratios would be ruled by steps that promised next to nothing.
            "ratio": sums["realised"] / sums["promised"].where(sums["promised"] > 0),
            # With guaranteed descent any shortfall breaks the theorem or its code; with a guess it says how good the guess is.
            "shortfalls": sums["shortfalls"].astype("int64"),
            "shortfall_share": sums["shortfalls"] / sums["steps"],
        }
    )
