"""Our numbers beside the paper's: mean over trainings, how many, and an interval."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from agd_bench.analysis import predicted_rates, prediction_correlation
from agd_bench.errors import InputError
from agd_bench.reproducing.averaging import t_interval
from agd_bench.reproducing.defining import Reproduction, Scale, Value
from agd_bench.reproducing.listing import listed_rows
from agd_bench.store import Results

COLUMNS = ["what", "published", "source", "ours", "low", "high", "n", "difference", "inside", "architecture", "algorithm", "measure", "run"]


def measured(experiment: Reproduction, scale: str, results: Mapping[str, Results]) -> pd.DataFrame:
    """The paper's numbers with ours.

    Args:
        experiment: what was run.
        scale: at which it was run.
        results: by the name of the run; what is missing or has not ended has no number of ours.

    Returns:
        One row per number of the paper, in its order: `what`, `published` (accuracy as a share; NaN: the paper gives none), `source`;
        `ours` (mean over the final trials that ended, a diverged one as 0; NaN: none did), `low`, `high` (95 % t interval of that mean
        over trainings, of one network from different seeds or of different networks; NaN for fewer than two), `n` (trainings),
        `difference` (ours − published), `inside` (whether the paper's number lies in the interval; null where either is missing),
        `architecture` (trained; empty: several), `algorithm`, `measure`, `run`.

        A `prediction_r` is Pearson's correlation with its interval by Fisher's z, and n counts the architectures.

        An experiment that is held against a published table has first, for each published budget, the agreement of the two rankings
        (`kendall_tau`; published: what seed noise would leave of it, NaN where it cannot be told; its interval is a bootstrap over
        architectures, and n counts these), then the mean over architectures and each of them (`accuracy`).

    Raises:
        InputError: an algorithm or an architecture that the run does not hold, or no published table at hand.
    """
    chosen = experiment.scale(scale)
    rows = listed_rows(experiment, results)
    values = experiment.values if chosen.values is None else chosen.values
    rows += [_row(value, experiment.run_of(value), chosen, results) for value in values if _is_run(experiment, value, chosen)]
    return pd.DataFrame(rows, columns=COLUMNS).astype({"inside": "boolean"})


def _is_run(experiment: Reproduction, value: Value, scale: Scale) -> bool:
    return scale.runs is None or experiment.run_of(value) in scale.runs


def _row(value: Value, run: str, scale: Scale, results: Mapping[str, Results]) -> dict[str, Any]:
    architecture = value.architecture and scale.architectures.get(value.architecture, value.architecture)
    found = _Found(math.nan, math.nan, math.nan, 0)
    if run in results:
        found = _correlation(value, results[run]) if value.measure == "prediction_r" else _accuracy(value, architecture, results[run])
    ours, low, high, n = found
    published = math.nan if value.published is None else value.published
    comparable = math.isfinite(low) and math.isfinite(published)
    return {
        "what": value.what,
        "published": published,
        "source": value.source,
        "ours": ours,
        "low": low,
        "high": high,
        "n": n,
        "difference": ours - published,
        "inside": low <= published <= high if comparable else None,
        "architecture": architecture or "",
        "algorithm": value.algorithm,
        "measure": value.measure,
        "run": run,
    }


class _Found(NamedTuple):
    """A number of ours, the ends of its interval, and how many it is of."""

    ours: float
    low: float
    high: float
    n: int


def _correlation(value: Value, results: Results) -> _Found:
    """Pearson's r of predicted with searched learning rates, over the architectures of all search spaces of the run."""
    table = prediction_correlation(predicted_rates(results.trials, results.rate_factors, results.sweep))
    for row in table[table["predicted"] == value.algorithm].to_dict("records"):
        r, low, high, n = (row[f"pooled_{name}"] for name in ("pearson", "pearson_low", "pearson_high", "architectures"))
        return _Found(float(r), float(low), float(high), int(n))
    return _Found(math.nan, math.nan, math.nan, 0)


def _accuracy(value: Value, architecture: str | None, results: Results) -> _Found:
    """The mean over the final trials that ended, a diverged one as 0."""
    trials = results.trials
    for column, wanted in (("algorithm", value.algorithm), ("architecture", architecture)):
        if wanted is not None and wanted not in set(trials[column]):
            raise InputError(f"{value.what!r} is of {column} {wanted!r}, which run {results.sweep.name!r} does not hold")
    own = trials[(trials["purpose"] == "final") & (trials["algorithm"] == value.algorithm)]
    if architecture is not None:
        own = own[own["architecture"] == architecture]
    ended = own[own["status"].isin(["done", "diverged"])]
    numbers = pd.to_numeric(ended[value.measure]).where(ended["status"] == "done", 0.0).to_numpy(dtype=np.float64)
    return _Found(float(numbers.mean()) if numbers.size else math.nan, *t_interval(numbers), numbers.size)
