"""The interval of a mean accuracy."""

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
