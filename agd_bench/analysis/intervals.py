"""Confidence intervals of a mean and of a median."""

from __future__ import annotations

import math

import numpy as np
import scipy.stats

from agd_bench.analysis.scores import Floats

FEWEST_FOR_MEAN = 4
"""Architectures below which the t interval of a mean is not shown: with two it extends 9 standard deviations to either side, with
three 2.5."""


def mean_interval(values: Floats, level: float = 0.95) -> tuple[float, float]:
    """Student's t interval of a mean; (NaN, NaN) for fewer than two values.

    Args:
        values: independent values, usually one per architecture, (A,), none missing.
        level: coverage, in (0, 1).

    >>> low, high = mean_interval(np.array([0.1, 0.2, 0.3]))
    >>> round(low, 3), round(high, 3)
    (-0.048, 0.448)
    """
    if len(values) < 2:
        return math.nan, math.nan
    half = float(scipy.stats.t.ppf((1 + level) / 2, len(values) - 1) * values.std(ddof=1) / np.sqrt(len(values)))
    mean = float(values.mean())
    return mean - half, mean + half


def median_interval(values: Floats, level: float = 0.95) -> tuple[float, float]:
    """The narrowest pair of order statistics that covers the median with at least `level`; NaN where no pair does (n < 6 at 95 %).

    The values may be infinite.

    Args:
        values: independent values, (n,), none missing.
        level: coverage, in (0, 1).

    References:
        W. R. Thompson, On confidence ranges for the median and other expectation distributions for populations of unknown distribution
        form, Annals of Mathematical Statistics, 1936.

    >>> median_interval(np.array([8.0, 1.0, 2.0, 3.0, 5.0, 4.0, np.inf, 7.0, 6.0]))
    (2.0, 8.0)
    """
    # How many values fall below the median is Binomial(n, 1/2), whatever the distribution.
    rank = int(scipy.stats.binom.ppf((1 - level) / 2, len(values), 0.5)) if len(values) else 0  # counted from either end
    if rank < 1:
        return math.nan, math.nan
    ordered = np.sort(values)
    return float(ordered[rank - 1]), float(ordered[-rank])
