"""What optimizers say of their steps, epoch by epoch: AGD's learning rate and gradient summary, and how far each layer moves.

The rows are those that a sweep with `diagnostics = ["optimizer"]` records: numbers by name, a layer's after a slash.
"""

from __future__ import annotations

import re

import pandas as pd

from agd_bench.analysis.learning_curves import QUANTILES
from agd_bench.analysis.scores import GROUP

_KEYS = [*GROUP, "algorithm"]
_SUMMARIES = ("last", "mean", "min", "max")


def step_summaries(trials: pd.DataFrame, diagnostics: pd.DataFrame) -> pd.DataFrame:
    """What the optimizers of the final trials say of their steps in each epoch, over the trials of an algorithm.

    Args:
        trials: the table of trials.
        diagnostics: the table of diagnostics.

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
    """What each algorithm says of the layers of one network: of its final trial with the most layers that it speaks of, the first of them.

    Args:
        trials: the table of trials.
        diagnostics: the table of diagnostics.

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
    # Layers of different architectures are not the same layers, so they are not averaged.
    rows = rows[rows["trial_id"].isin(_deepest(rows))]
    rows = rows.sort_values("layer", key=lambda names: names.map(lambda name: _natural(str(name))), kind="stable")
    rows = rows.assign(number=rows.groupby(_KEYS, sort=False).ngroup())
    rows = rows.assign(place=rows.groupby("number")["layer"].transform(lambda names: pd.factorize(names)[0]).astype("int64"))
    columns = [*_KEYS, "architecture", "seed", "quantity", "layer", "place", "epoch", "value"]
    return rows.sort_values(["number", "place", "epoch"], kind="stable")[columns].reset_index(drop=True)


def _deepest(rows: pd.DataFrame) -> pd.Series[str]:
    """For each group and algorithm the trial with the most layers, the first of equal ones."""
    counts = rows.groupby([*_KEYS, "trial_id"], sort=False)["layer"].nunique().reset_index()
    return counts.sort_values("layer", ascending=False, kind="stable").drop_duplicates(_KEYS)["trial_id"]


def _layer(name: str) -> str | None:
    """The layer that a number is about; None: it is about all of them."""
    _, slash, rest = name.partition("/")
    return rest if slash and rest not in _SUMMARIES else None


def _natural(name: str) -> list[tuple[int, str]]:
    """Sorts layer 9 before layer 10."""
    return [(int(part), "") if part.isdigit() else (-1, part) for part in re.split(r"(\d+)", name)]


def _of_finals(trials: pd.DataFrame, rows: pd.DataFrame, *more: str) -> pd.DataFrame:
    """The rows of final trials, with the columns of the trial, in the order of the trials."""
    final = trials.loc[trials["purpose"] == "final", ["trial_id", *_KEYS, *more]]
    # A name with a step in it is a network's reading (`watching.network_readings`), not what an optimizer says.
    return final.merge(rows[~rows["name"].astype(str).str.contains("@", regex=False)], on="trial_id")
