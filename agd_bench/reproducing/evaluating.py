"""Our number for each number of a paper, by what it measures: the number, its interval, and how many it is of."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import pandas as pd

from agd_bench.analysis import accuracy_difference, predicted_rates, prediction_correlation, skip_outcomes, skip_pairs, sweep_skip_runs
from agd_bench.errors import InputError
from agd_bench.reproducing.averaging import median_interval, t_interval
from agd_bench.reproducing.defining import SKIP_MEASURES, Value
from agd_bench.store import Results

WINDOWS = {"singular_value_difference": "all epochs", "area_difference": "all epochs", "early_area_difference": "first fifth"}
"""Which of the skip test's windows a measure is read in; the singular values are those of the start in both."""


class Found(NamedTuple):
    """A number of ours, the ends of its interval, how many it is of, and what a test says of it (empty: none was made)."""

    ours: float
    low: float
    high: float
    n: int
    outcome: str = ""


NOTHING = Found(math.nan, math.nan, math.nan, 0)


def our_number(value: Value, results: Results) -> Found:
    """What a run measured of one number.

    Args:
        value: what is asked, with the architecture as the run has it.
        results: the run.

    Returns:
        NaN, of 0, where nothing that it needs has ended.

    Raises:
        InputError: an algorithm or an architecture that the run does not hold.
    """
    _check_held(value, results)
    if value.measure == "prediction_r":
        return _correlation(value, results)
    if value.measure == "accuracy_gain":
        return _gain(value, results)
    return _skip_change(value, results) if value.measure in SKIP_MEASURES else _accuracy(value, results)


def _check_held(value: Value, results: Results) -> None:
    skip = value.measure in SKIP_MEASURES
    other = "architecture" if skip else "algorithm"
    for column, name in (("algorithm", value.algorithm), ("architecture", value.architecture), (other, value.control)):
        tuned = skip and column == "algorithm" and name == "tuned"
        if name is not None and not tuned and name not in set(results.trials[column]):
            raise InputError(f"{value.what!r} is of {column} {name!r}, which run {results.sweep.name!r} does not hold")


def _accuracy(value: Value, results: Results) -> Found:
    """The mean over the final trials that ended, a diverged one as 0."""
    trials = results.trials
    own = trials[(trials["purpose"] == "final") & (trials["algorithm"] == value.algorithm)]
    if value.architecture is not None:
        own = own[own["architecture"] == value.architecture]
    ended = own[own["status"].isin(["done", "diverged"])]
    numbers = pd.to_numeric(ended[value.measure]).where(ended["status"] == "done", 0.0).to_numpy(dtype=np.float64)
    return Found(float(numbers.mean()) if numbers.size else math.nan, *t_interval(numbers), numbers.size)


def _correlation(value: Value, results: Results) -> Found:
    """Pearson's r of predicted with searched learning rates, over the architectures of all search spaces of the run."""
    table = prediction_correlation(predicted_rates(results.trials, results.rate_factors, results.sweep))
    for row in table[table["predicted"] == value.algorithm].to_dict("records"):
        r, low, high, n = (row[f"pooled_{name}"] for name in ("pearson", "pearson_low", "pearson_high", "architectures"))
        return Found(float(r), float(low), float(high), int(n))
    return NOTHING


def _gain(value: Value, results: Results) -> Found:
    """The mean over architectures of the paired difference of two algorithms' test accuracies."""
    for row in accuracy_difference(results.trials, str(value.control), value.algorithm).to_dict("records"):
        return Found(float(row["difference"]), float(row["low"]), float(row["high"]), int(row["architectures"]))
    return NOTHING


def _skip_change(value: Value, results: Results) -> Found:
    """The median over pairs of what a skip changes, and what the registered test says of it, corrected for the cells of its family."""
    runs = sweep_skip_runs(results.trials, results.curves, results.diagnostics)
    runs = runs[runs["window"] == WINDOWS[value.measure]]
    own = runs[runs["learning_rate"] == value.algorithm]
    column = "singular_value_difference" if value.measure == "singular_value_difference" else "area_difference"
    changes = skip_pairs(own, str(value.control), str(value.architecture))[column].to_numpy(dtype=np.float64)
    if not changes.size:
        return NOTHING
    return Found(float(np.median(changes)), *median_interval(changes), changes.size, _outcome(value, runs))


def _outcome(value: Value, runs: pd.DataFrame) -> str:
    if value.measure == "singular_value_difference":
        return ""
    tested = skip_outcomes(runs)
    cell = (tested["learning_rate"] == value.algorithm) & (tested["variant"] == value.architecture) & (tested["control"] == value.control)
    return "".join(f"{row['outcome']} (p = {row['p_holm']:.3f})" for row in tested[cell].to_dict("records"))
