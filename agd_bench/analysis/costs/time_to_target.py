"""How long until a frozen target: epochs, seconds and floating-point operations to a validation accuracy that a reference reached.

References:
    G. Dahl et al., Benchmarking neural network training algorithms, arXiv 2306.07179, 2023 (time to a target that a reference set).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from agd_bench.analysis.costs.equal_budgets import costs_of_one_result
from agd_bench.analysis.scores import GROUP, Floats
from agd_bench.errors import InputError, UnknownNameError

TIMES = ("epochs", "flops", "seconds", "flops_with_tuning", "seconds_with_tuning")
"""What a time can be measured in."""
_COLUMNS = ["algorithm", "architecture", "seed", "quantile", "target", "reached", *TIMES]


def reference_targets(
    trials: pd.DataFrame, reference: str, quantiles: Sequence[float] = (0.25, 0.5, 0.75), by_architecture: bool = True
) -> pd.DataFrame:
    """Targets that a reference algorithm's final trials set, as a table that can be kept in a file and used for other results.

    Args:
        trials: the table of trials.
        reference: label of the algorithm that sets them.
        quantiles: which quantiles of its final validation accuracies, each in [0, 1]; a diverged trial counts as 0.
        by_architecture: over the seeds of each architecture; else one target per group, over all architectures and seeds.

    Returns:
        One row per group, architecture (if by architecture) and quantile: `search_space`, `dataset`, `profile`, `architecture`,
        `reference`, `quantile`, `target` (validation accuracy in [0, 1], linear between values), `trials` (that it comes from).

    Raises:
        UnknownNameError: no algorithm of that label.
        InputError: a quantile outside [0, 1].

    >>> trials = pd.DataFrame({"val_accuracy": [0.5, 0.7], "algorithm": "sgd", "purpose": "final", "status": "done", "architecture": "a",
    ...     "search_space": "s", "dataset": "d", "profile": "p"})
    >>> reference_targets(trials, "sgd", [0.5])[["architecture", "target", "trials"]].values.tolist()
    [['a', 0.6, 2]]
    """
    if reference not in set(trials["algorithm"]):
        raise UnknownNameError("algorithm", reference, set(trials["algorithm"]))
    wrong = [quantile for quantile in quantiles if not 0 <= quantile <= 1]
    if wrong:
        raise InputError(f"quantiles: {wrong[0]} is outside [0, 1]; give shares, 0.5 for the median")
    own = trials[(trials["algorithm"] == reference) & (trials["purpose"] == "final") & trials["status"].isin(["done", "diverged"])]
    accuracy = pd.to_numeric(own["val_accuracy"]).astype("float64").mask(own["status"] == "diverged", 0.0)
    keys = [*GROUP, "architecture"] if by_architecture else GROUP
    grouped = own[keys].assign(accuracy=accuracy).dropna().groupby(keys, sort=False)["accuracy"]
    counts = grouped.size()
    tables = [grouped.quantile(quantile).rename("target").to_frame().assign(quantile=quantile, trials=counts) for quantile in quantiles]
    table = pd.concat(tables).reset_index().assign(reference=reference)
    return table[[*keys, "reference", "quantile", "target", "trials"]]


def measure_time_to_target(trials: pd.DataFrame, curves: pd.DataFrame, targets: pd.DataFrame) -> pd.DataFrame:
    """What every final trial took to reach its targets: the first evaluation at which its validation accuracy is no less.

    Args:
        trials: the table of trials.
        curves: the table of curves.
        targets: as `reference_targets` gives them, with or without `architecture`.

    Returns:
        One row per final trial that was done or diverged and has a target, and quantile: `search_space`, `dataset`, `profile`,
        `algorithm`, `architecture`, `seed`, `quantile`, `target`; `reached` (whether); `epochs`, `flops`, `seconds` (of training, until
        that evaluation) and `flops_with_tuning`, `seconds_with_tuning` (the architecture's share of tuning added); infinite where the
        target was not reached; FLOPs NaN where a trial lacks them.
    """
    final = trials[(trials["purpose"] == "final") & trials["status"].isin(["done", "diverged"])]
    keys = [*GROUP, "architecture"] if "architecture" in targets else GROUP
    names = [*GROUP, "algorithm", "architecture", "seed", "flops"]
    # Joined by the number of the trial from here on: by texts, millions of rows would take longer than all the rest.
    table = final[names].assign(number=np.arange(len(final))).merge(targets[[*keys, "quantile", "target"]], on=keys, how="inner")
    number = table.pop("number").to_numpy()
    points, last = _ordered(curves, pd.Index(final["trial_id"]))
    hits = np.full((len(table), 2), np.inf)
    for quantile in table["quantile"].unique():
        rows = (table["quantile"] == quantile).to_numpy()
        wanted = np.full(len(final), np.inf)
        wanted[number[rows]] = table["target"].to_numpy()[rows]
        hits[rows] = _first_hits(points, wanted)[number[rows]]
    table["epochs"], table["seconds"] = hits.T
    table["reached"] = np.isfinite(table["epochs"])
    # Every epoch of a trial costs the same number of operations.
    share = table["epochs"].to_numpy() / np.where(last > 0, last, np.nan)[number]
    flops = pd.to_numeric(table["flops"]).to_numpy(dtype=np.float64, na_value=np.nan)
    # Infinite, not NaN, where unreached: the time is known to exceed the budget.
    table["flops"] = np.where(table["reached"], flops * share, np.inf)
    tuning = _tuning(final, trials)[number]
    for column, name in enumerate(("flops", "seconds")):
        table[f"{name}_with_tuning"] = table[name] + tuning[:, column]
    return table[[*GROUP, *_COLUMNS]]


def _ordered(curves: pd.DataFrame, trial: pd.Index[str]) -> tuple[Floats, Floats]:
    """Points as (number of the trial, epoch, validation accuracy, seconds) in this order, and the last epoch of each trial."""
    number = trial.get_indexer(pd.Index(curves["trial_id"]))
    epoch = curves["epoch"].to_numpy(dtype=np.float64)
    # The last key is the primary one: by trial, then by epoch.
    order = np.lexsort((epoch, number))
    order = order[number[order] >= 0]
    columns = [curves[name].to_numpy(dtype=np.float64)[order] for name in ("val_accuracy", "train_seconds")]
    points = np.stack([number[order].astype(np.float64), epoch[order], *columns])
    last = np.zeros(len(trial))
    last[number[order]] = epoch[order]  # in ascending order, so that the last one stays
    return points, last


def _first_hits(points: Floats, wanted: Floats) -> Floats:
    """Epoch and seconds of the first point of each trial that is no less than what is wanted, (trials, 2); infinite without one."""
    number = points[0].astype(np.int64)
    hit = np.flatnonzero(points[2] >= wanted[number])
    # Points are in the order of epochs, so the first index is the earliest hit.
    trial, first = np.unique(number[hit], return_index=True)
    reached = np.full((len(wanted), 2), np.inf)
    reached[trial] = points[[1, 3]][:, hit[first]].T
    return reached


def _tuning(final: pd.DataFrame, trials: pd.DataFrame) -> Floats:
    """The share of tuning of each final trial's architecture, in FLOPs and seconds, (trials, 2)."""
    costs = costs_of_one_result(trials)
    tuning = pd.DataFrame({name: costs[name] - costs[f"final_{name}"] for name in ("flops", "seconds")})
    keys = [*GROUP, "algorithm", "architecture"]
    return final[keys].join(tuning, on=keys)[["flops", "seconds"]].to_numpy(dtype=np.float64)
