"""Intervals of a mean and of a median."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray
from scipy import stats

LEVEL = 0.95


def t_interval(numbers: NDArray[np.float64]) -> tuple[float, float]:
    """The 95 % t interval of the mean of accuracies, within [0, 1]; NaN for fewer than two.

    >>> [round(end, 3) for end in t_interval(np.array([0.5, 0.6, 0.7]))]
    [0.352, 0.848]
    """
    if numbers.size < 2:
        return math.nan, math.nan
    half = float(stats.t.ppf((1 + LEVEL) / 2, numbers.size - 1)) * float(numbers.std(ddof=1)) / math.sqrt(numbers.size)
    return max(0.0, float(numbers.mean()) - half), min(1.0, float(numbers.mean()) + half)


def median_interval(numbers: NDArray[np.float64]) -> tuple[float, float]:
    """The narrowest pair of order statistics that holds the median with at least 95 %; NaN for fewer than six numbers, of which none does.

    It takes nothing of the numbers' distribution for granted, and infinite ones are in order.

    References:
        W. R. Thompson, On confidence ranges for the median and other expectation distributions for populations of unknown distribution
        form, Annals of Mathematical Statistics, 1936.

    >>> median_interval(np.array([8.0, 1.0, 2.0, 3.0, 5.0, 4.0, np.inf, 7.0, 6.0]))
    (2.0, 8.0)
    """
    rank = int(stats.binom.ppf((1 - LEVEL) / 2, numbers.size, 0.5)) if numbers.size else 0  # of each end, counted from its side
    if rank < 1:
        return math.nan, math.nan
    ordered = np.sort(numbers)
    return float(ordered[rank - 1]), float(ordered[-rank])
