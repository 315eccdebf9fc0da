"""Our number for each number of a paper, by what it measures: the number, its interval, and how many it is of."""

from __future__ import annotations

import math
from functools import cached_property
from typing import NamedTuple

import numpy as np
import pandas as pd

from agd_bench.analysis import accuracy_difference
from agd_bench.analysis.intervals import mean_interval, median_interval
from agd_bench.errors import InputError
from agd_bench.reproductions.experiments import SKIP_MEASURES, Value
from agd_bench.store import Results
from agd_bench.studies.rate_prediction.correlation import prediction_correlation
from agd_bench.studies.rate_prediction.rates import predicted_rates
from agd_bench.studies.skip_connections.hypothesis import TUNED, skip_pairs
from agd_bench.studies.skip_connections.outcomes import skip_outcomes, sweep_skip_runs

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


class Measurements:
    """What a run measured; tables that several numbers are read from are computed once.

    Args:
        results: the run.
    """

    def __init__(self, results: Results) -> None:
        self._results = results

    def of(self, value: Value) -> Found:
        """Our number for one of the paper's; NaN, of 0, where nothing that it needs has ended.

        Args:
            value: what is asked, with the architecture as the run has it.

        Raises:
            InputError: an algorithm or an architecture that the run does not hold.
        """
        self._check_held(value)
        if value.measure == "prediction_r":
            return self._correlation(value)
        if value.measure == "accuracy_gain":
            return self._gain(value)
        return self._skip_change(value) if value.measure in SKIP_MEASURES else self._accuracy(value)

    def _check_held(self, value: Value) -> None:
        skip = value.measure in SKIP_MEASURES
        other = "architecture" if skip else "algorithm"
        for column, name in (("algorithm", value.algorithm), ("architecture", value.architecture), (other, value.control)):
            # "tuned" is a choice among the rates, no label of the sweep.
            tuned = skip and column == "algorithm" and name == TUNED
            if name is not None and not tuned and name not in set(self._results.trials[column]):
                raise InputError(f"{value.what!r} is of {column} {name!r}, which run {self._results.sweep.name!r} does not hold")

    def _accuracy(self, value: Value) -> Found:
        """The mean over the final trials that ended, a diverged one as 0."""
        trials = self._results.trials
        own = trials[(trials["purpose"] == "final") & (trials["algorithm"] == value.algorithm)]
        if value.architecture is not None:
            own = own[own["architecture"] == value.architecture]
        # Failed and refused trials have no accuracy at all; a diverged one was trained.
        ended = own[own["status"].isin(["done", "diverged"])]
        numbers = pd.to_numeric(ended[value.measure]).where(ended["status"] == "done", 0.0).to_numpy(dtype=np.float64)
        # A t interval may reach beyond the shares that there are.
        low, high = np.clip(mean_interval(numbers), 0, 1)
        return Found(float(numbers.mean()) if numbers.size else math.nan, low, high, numbers.size)

    def _correlation(self, value: Value) -> Found:
        """Pearson's r of predicted with searched learning rates, over the architectures of all search spaces of the run."""
        held = self._results
        table = prediction_correlation(predicted_rates(held.trials, held.rate_factors, held.sweep))
        for row in table[table["predicted"] == value.algorithm].to_dict("records"):
            r, low, high, n = (row[f"pooled_{name}"] for name in ("pearson", "pearson_low", "pearson_high", "architectures"))
            return Found(float(r), float(low), float(high), int(n))
        return NOTHING

    def _gain(self, value: Value) -> Found:
        """The mean over architectures of the paired difference of two algorithms' test accuracies."""
        for row in accuracy_difference(self._results.trials, str(value.control), value.algorithm).to_dict("records"):
            return Found(float(row["difference"]), float(row["low"]), float(row["high"]), int(row["architectures"]))
        return NOTHING

    @cached_property
    def _skip_runs(self) -> pd.DataFrame:
        return sweep_skip_runs(self._results.trials, self._results.curves, self._results.diagnostics)

    @cached_property
    def _skip_tests(self) -> pd.DataFrame:
        return skip_outcomes(self._skip_runs)

    def _skip_change(self, value: Value) -> Found:
        """The median over pairs of what a skip changes, and what the registered test says of it, corrected for the cells of its family."""
        window = WINDOWS[value.measure]
        runs = self._skip_runs
        own = runs[(runs["window"] == window) & (runs["learning_rate"] == value.algorithm)]
        if own.empty:
            return NOTHING
        pairs = skip_pairs(own, str(value.control), str(value.architecture))
        # The window chose the rows already; the column has the same name in both.
        changes = pairs[value.measure.removeprefix("early_")].to_numpy(dtype=np.float64)
        if not changes.size:
            return NOTHING
        tested = self._skip_tests
        cell = (tested["window"] == window) & (tested["learning_rate"] == value.algorithm)
        cell &= (tested["variant"] == value.architecture) & (tested["control"] == value.control)
        said = [f"{row['outcome']} (p = {row['p_holm']:.3f})" for row in tested[cell].to_dict("records")]
        # The registered test is of the loss; singular values only predict it.
        outcome = "" if value.measure == "singular_value_difference" else "".join(said)
        return Found(float(np.median(changes)), *median_interval(changes), changes.size, outcome)
