"""Our number for each number of a paper, with its interval and n."""

from __future__ import annotations

import math
from collections.abc import Mapping
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from agd_bench.analysis import accuracy_difference
from agd_bench.analysis.inference import mean_interval, median_interval
from agd_bench.errors import InputError
from agd_bench.reproductions.experiments import SKIP_MEASURES, Reproduction, Value
from agd_bench.reproductions.published_tables import listed_rows
from agd_bench.store import Results
from agd_bench.studies.rate_prediction.rates import predicted_rates, prediction_correlation
from agd_bench.studies.skip_connections.hypothesis import TUNED, skip_pairs
from agd_bench.studies.skip_connections.outcomes import skip_outcomes, sweep_skip_runs

WINDOWS = {"singular_value_difference": "all epochs", "area_difference": "all epochs", "early_area_difference": "first fifth"}
"""Window of the skip test for each measure; the singular values at the start are the same in both windows."""


class Found(NamedTuple):
    """One of our numbers, the ends of its interval, n, and the outcome of a test (empty if there is none)."""

    ours: float
    low: float
    high: float
    n: int
    outcome: str = ""


NOTHING = Found(math.nan, math.nan, math.nan, 0)


class Measurements:
    """The measurements of a run; tables used by several numbers are computed once."""

    def __init__(self, results: Results) -> None:
        self._results = results

    def of(self, value: Value) -> Found:
        """Our number for one of the paper's numbers; NaN with n = 0 if no trial it needs has ended.

        Args:
            value: the number, with the architecture as named in the run.

        Raises:
            InputError: the run does not contain the algorithm or the architecture.
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
            # "tuned" is a choice among the rates, not a label of the sweep.
            tuned = skip and column == "algorithm" and name == TUNED
            if name is not None and not tuned and name not in set(self._results.trials[column]):
                raise InputError(f"{value.what!r}: run {self._results.sweep.name!r} has no {column} {name!r}")

    def _accuracy(self, value: Value) -> Found:
        """The mean over the final trials that ended; a diverged trial counts as 0."""
        trials = self._results.trials
        own = trials[(trials["purpose"] == "final") & (trials["algorithm"] == value.algorithm)]
        if value.architecture is not None:
            own = own[own["architecture"] == value.architecture]
        # Failed and refused trials have no accuracy; a diverged trial was trained.
        ended = own[own["status"].isin(["done", "diverged"])]
        numbers = pd.to_numeric(ended[value.measure]).where(ended["status"] == "done", 0.0).to_numpy(dtype=np.float64)
        # A t interval may extend beyond [0, 1].
        low, high = np.clip(mean_interval(numbers), 0, 1)
        return Found(float(numbers.mean()) if numbers.size else math.nan, low, high, numbers.size)

    def _correlation(self, value: Value) -> Found:
        """Pearson's r between predicted and searched learning rates, over the architectures of all search spaces of the run."""
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
        """The median effect of a skip over pairs, and the outcome of the registered test, corrected for the cells of its family."""
        window = WINDOWS[value.measure]
        runs = self._skip_runs
        own = runs[(runs["window"] == window) & (runs["learning_rate"] == value.algorithm)]
        if own.empty:
            return NOTHING
        pairs = skip_pairs(own, str(value.control), str(value.architecture))
        # The rows are already selected by window; the column has the same name in both.
        changes = pairs[value.measure.removeprefix("early_")].to_numpy(dtype=np.float64)
        if not changes.size:
            return NOTHING
        tested = self._skip_tests
        cell = (tested["window"] == window) & (tested["learning_rate"] == value.algorithm)
        cell &= (tested["variant"] == value.architecture) & (tested["control"] == value.control)
        said = [f"{row['outcome']} (p = {row['p_holm']:.3f})" for row in tested[cell].to_dict("records")]
        # The registered test is about the loss; singular values only predict it.
        outcome = "" if value.measure == "singular_value_difference" else "".join(said)
        return Found(float(np.median(changes)), *median_interval(changes), changes.size, outcome)


COLUMNS = [
    "what", "published", "statement", "source", "ours", "low", "high", "n", "difference", "inside", "outcome", "architecture", "algorithm",
    "control", "measure", "run",
]  # fmt: skip


def measured(experiment: Reproduction, scale: str, results: Mapping[str, Results]) -> pd.DataFrame:
    """Compare the paper's numbers with ours.

    Args:
        experiment: the experiment.
        scale: name of the scale.
        results: results by the name of the run; missing or unfinished runs give no number of ours.

    Returns:
        One row per number of the paper, in its order: `what`, `published` (accuracy as a share; NaN: not given by the paper), `statement`
        (what the paper states instead), `source`; `ours` (NaN: no trial has ended), `low`, `high` (95 % interval; NaN if there is none),
        `n`, `difference` (ours − published), `inside` (whether the paper's number lies in the interval; missing if either is missing),
        `outcome` (of the registered test, with its corrected p; empty if there is none), `architecture` (trained; empty: several),
        `algorithm`, `control` (reference of a difference; empty if the number is not a difference), `measure`, `run`.

        The meaning of `ours`, its interval and `n` depends on the measure. For an accuracy: the mean over the final trials that ended (a
        diverged trial counts as 0), the t interval over trainings (of one network from different seeds, or of different networks), and the
        number
        of trainings. For `accuracy_gain`: the mean paired difference, its t interval over architectures, and their number. For
        `prediction_r`: Pearson's correlation, Fisher's interval, and the number of architectures. For the effect of a skip: the median over
        pairs, an interval from order statistics, and the number of pairs.

        For an experiment with published tables, the rows of `listed_rows` follow.

    Raises:
        InputError: the run does not contain an algorithm or architecture, or the published table is missing.
    """
    made = {name: Measurements(held) for name, held in results.items()}
    rows = [_row(value, experiment.run_of(value), made) for value in experiment.values_at(scale)] + listed_rows(experiment, results)
    blank = {"statement": "", "source": "", "outcome": "", "architecture": "", "control": "", "inside": None}
    return pd.DataFrame([blank | row for row in rows], columns=COLUMNS).astype({"inside": "boolean"})


def _row(value: Value, run: str, made: Mapping[str, Measurements]) -> dict[str, Any]:
    found = made[run].of(value) if run in made else NOTHING
    published = math.nan if value.published is None else value.published
    # Otherwise `inside` would be False where it is unknown.
    comparable = math.isfinite(found.low) and math.isfinite(published)
    return {
        "what": value.what,
        "published": published,
        "statement": value.statement,
        "source": value.source,
        **found._asdict(),
        "difference": found.ours - published,
        "inside": found.low <= published <= found.high if comparable else None,
        "architecture": value.architecture or "",
        "algorithm": value.algorithm,
        "control": value.control or "",
        "measure": value.measure,
        "run": run,
    }
