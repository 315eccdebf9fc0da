"""Time to target: epochs, seconds and floating-point operations to reach a validation accuracy set by a reference algorithm.

References:
    G. Dahl et al., Benchmarking neural network training algorithms, arXiv 2306.07179, 2023 (time to a target set by a reference).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from agd_bench.analysis.costs.equal_budgets import costs_of_one_result
from agd_bench.analysis.scores import GROUP, Floats
from agd_bench.errors import InputError, UnknownNameError

TIMES = ("epochs", "flops", "seconds", "flops_with_tuning", "seconds_with_tuning")
"""Units of time."""
_COLUMNS = ["algorithm", "architecture", "seed", "quantile", "target", "reached", *TIMES]


def reference_targets(
    trials: pd.DataFrame, reference: str, quantiles: Sequence[float] = (0.25, 0.5, 0.75), by_architecture: bool = True
) -> pd.DataFrame:
    """Targets set by a reference algorithm's final trials, as a table that can be saved and used for other results.

    Args:
        trials: the table of trials.
        reference: label of the reference algorithm.
        quantiles: quantiles of its final validation accuracies, in [0, 1]; a diverged trial counts as 0.
        by_architecture: whether to compute quantiles over the seeds of each architecture; otherwise one target per group.

    Returns:
        One row per group, architecture (if by architecture) and quantile: `search_space`, `dataset`, `profile`, `architecture`,
        `reference`, `quantile`, `target` (validation accuracy in [0, 1], linearly interpolated), `trials` (number of trials used).

    Raises:
        UnknownNameError: no algorithm has that label.
        InputError: a quantile is outside [0, 1].

    >>> trials = pd.DataFrame({"val_accuracy": [0.5, 0.7], "algorithm": "sgd", "purpose": "final", "status": "done", "architecture": "a",
    ...     "search_space": "s", "dataset": "d", "profile": "p"})
    >>> reference_targets(trials, "sgd", [0.5])[["architecture", "target", "trials"]].values.tolist()
    [['a', 0.6, 2]]
    """
    if reference not in set(trials["algorithm"]):
        raise UnknownNameError("algorithm", reference, set(trials["algorithm"]))
    wrong = [quantile for quantile in quantiles if not 0 <= quantile <= 1]
    if wrong:
        raise InputError(f"quantiles: {wrong[0]} is outside [0, 1]; use 0.5 for the median")
    own = trials[(trials["algorithm"] == reference) & (trials["purpose"] == "final") & trials["status"].isin(["done", "diverged"])]
    accuracy = pd.to_numeric(own["val_accuracy"]).astype("float64").mask(own["status"] == "diverged", 0.0)
    keys = [*GROUP, "architecture"] if by_architecture else GROUP
    grouped = own[keys].assign(accuracy=accuracy).dropna().groupby(keys, sort=False)["accuracy"]
    counts = grouped.size()
    tables = [grouped.quantile(quantile).rename("target").to_frame().assign(quantile=quantile, trials=counts) for quantile in quantiles]
    table = pd.concat(tables).reset_index().assign(reference=reference)
    return table[[*keys, "reference", "quantile", "target", "trials"]]


def measure_time_to_target(trials: pd.DataFrame, curves: pd.DataFrame, targets: pd.DataFrame) -> pd.DataFrame:
    """Time of every final trial to reach its targets: the first evaluation with at least the target validation accuracy.

    Args:
        trials: the table of trials.
        curves: the table of curves.
        targets: as returned by `reference_targets`, with or without `architecture`.

    Returns:
        One row per completed or diverged final trial with a target, and quantile: `search_space`, `dataset`, `profile`,
        `algorithm`, `architecture`, `seed`, `quantile`, `target`; `reached` (whether the target was reached); `epochs`, `flops`, `seconds`
        (of training, until that evaluation) and `flops_with_tuning`, `seconds_with_tuning` (the architecture's share of tuning added);
        infinite if the target was not reached; FLOPs are NaN if missing for a trial.
    """
    final = trials[(trials["purpose"] == "final") & trials["status"].isin(["done", "diverged"])]
    keys = [*GROUP, "architecture"] if "architecture" in targets else GROUP
    names = [*GROUP, "algorithm", "architecture", "seed", "flops"]
    # Join by the number of the trial, because joining millions of rows by texts would take longer than everything else.
    own = final[names].assign(number=np.arange(len(final)))
    if "architecture" not in keys:
        # Every target repeats the architectures, whose strings are longer than all other columns together.
        own["architecture"] = own["architecture"].astype("category")
    table = own.merge(targets[[*keys, "quantile", "target"]], on=keys, how="inner")
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
    # Every epoch of a trial has the same number of operations.
    share = table["epochs"].to_numpy() / np.where(last > 0, last, np.nan)[number]
    flops = pd.to_numeric(table["flops"]).to_numpy(dtype=np.float64, na_value=np.nan)
    # Infinite, not NaN, if not reached, because the time is known to exceed the budget.
    table["flops"] = np.where(table["reached"], flops * share, np.inf)
    tuning = _tuning(final, trials)[number]
    for column, name in enumerate(("flops", "seconds")):
        table[f"{name}_with_tuning"] = table[name] + tuning[:, column]
    return table[[*GROUP, *_COLUMNS]]


def _ordered(curves: pd.DataFrame, trial: pd.Index[str]) -> tuple[Floats, Floats]:
    """Points sorted by trial and epoch, as trial number, epoch, validation accuracy and seconds, and the last epoch of each trial."""
    number = trial.get_indexer(pd.Index(curves["trial_id"]))
    epoch = curves["epoch"].to_numpy(dtype=np.float64)
    # The last key is the primary one: sort by trial, then by epoch.
    order = np.lexsort((epoch, number))
    order = order[number[order] >= 0]
    columns = [curves[name].to_numpy(dtype=np.float64)[order] for name in ("val_accuracy", "train_seconds")]
    points = np.stack([number[order].astype(np.float64), epoch[order], *columns])
    last = np.zeros(len(trial))
    last[number[order]] = epoch[order]  # in ascending order, so the last one remains
    return points, last


def _first_hits(points: Floats, wanted: Floats) -> Floats:
    """Epoch and seconds of the first point of each trial that reaches its target, (trials, 2); infinite if there is none."""
    number = points[0].astype(np.int64)
    hit = np.flatnonzero(points[2] >= wanted[number])
    # Points are ordered by epoch, so the first index is the earliest hit.
    trial, first = np.unique(number[hit], return_index=True)
    reached = np.full((len(wanted), 2), np.inf)
    reached[trial] = points[[1, 3]][:, hit[first]].T
    return reached


def _tuning(final: pd.DataFrame, trials: pd.DataFrame) -> Floats:
    """Tuning cost charged to each final trial's architecture, in FLOPs and seconds, (trials, 2)."""
    costs = costs_of_one_result(trials)
    tuning = pd.DataFrame({name: costs[name] - costs[f"final_{name}"] for name in ("flops", "seconds")})
    keys = [*GROUP, "algorithm", "architecture"]
    return final[keys].join(tuning, on=keys)[["flops", "seconds"]].to_numpy(dtype=np.float64)
