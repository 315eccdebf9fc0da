"""Confidence intervals, correction for multiple tests, and functions for moderated variances.

References:
    S. Holm, A simple sequentially rejective multiple test procedure, Scandinavian Journal of Statistics, 1979.
    G. K. Smyth, Linear models and empirical Bayes methods for assessing differential expression in microarray experiments,
        Statistical Applications in Genetics and Molecular Biology, 2004 (moderated variances, limma).
"""

from __future__ import annotations

import math

import numpy as np
import scipy.optimize
import scipy.special
import scipy.stats

from agd_bench.analysis.scores import LEVEL, Floats

FEWEST_FOR_MEAN = 4
"""Smallest number of architectures for the t interval of a mean: with two it extends 9 standard deviations to either side, with three
2.5."""


def mean_interval(values: Floats) -> tuple[float, float]:
    """Student's 95 % interval of a mean; (NaN, NaN) for fewer than two values.

    Args:
        values: independent values, usually one per architecture, (A,), none missing.

    >>> low, high = mean_interval(np.array([0.1, 0.2, 0.3]))
    >>> round(low, 3), round(high, 3)
    (-0.048, 0.448)
    """
    if len(values) < 2:
        return math.nan, math.nan
    half = float(scipy.stats.t.ppf((1 + LEVEL) / 2, len(values) - 1) * values.std(ddof=1) / np.sqrt(len(values)))
    mean = float(values.mean())
    return mean - half, mean + half


def median_interval(values: Floats) -> tuple[float, float]:
    """The narrowest pair of order statistics that covers the median with at least 95 %; NaN where no pair does (n < 6).

    The values may be infinite.

    Args:
        values: independent values, (n,), none missing.

    References:
        W. R. Thompson, On confidence ranges for the median and other expectation distributions for populations of unknown distribution
        form, Annals of Mathematical Statistics, 1936.

    >>> median_interval(np.array([8.0, 1.0, 2.0, 3.0, 5.0, 4.0, np.inf, 7.0, 6.0]))
    (2.0, 8.0)
    """
    # How many values fall below the median is Binomial(n, 1/2), whatever the distribution.
    rank = int(scipy.stats.binom.ppf((1 - LEVEL) / 2, len(values), 0.5)) if len(values) else 0  # counted from either end
    if rank < 1:
        return math.nan, math.nan
    ordered = np.sort(values)
    return float(ordered[rank - 1]), float(ordered[-rank])


ALPHA = 0.05
"""Familywise error rate: probability of any false positive over all tests of a family."""


# scipy has no Holm correction, and importing statsmodels for it takes as long as importing scipy.stats.
def holm(p: Floats) -> Floats:
    """Holm's adjusted p-values.

    Args:
        p: p-values of one family of tests, (K,).

    >>> holm(np.array([0.01, 0.04, 0.03])).round(3).tolist()
    [0.03, 0.06, 0.06]
    """
    order = np.argsort(p, kind="stable")
    adjusted = np.empty(len(p))
    # The running maximum keeps adjusted p-values in the order of the raw p-values (step-down).
    adjusted[order] = np.maximum.accumulate(p[order] * np.arange(len(p), 0, -1)).clip(0, 1)
    return adjusted


LARGEST = 1e6
"""Prior degrees of freedom above which variances are practically equal."""


def inverse_trigamma(value: float) -> float:
    """The x > 0 at which trigamma is `value` (Smyth 2004, appendix); x is kept within 1 / `LARGEST` and `LARGEST`.

    >>> round(inverse_trigamma(float(scipy.special.polygamma(1, 2.5))), 9)
    2.5
    """
    lowest, highest = (float(scipy.special.polygamma(1, end)) for end in (LARGEST, 1 / LARGEST))
    if not lowest < value < highest:  # trigamma is decreasing
        return LARGEST if value <= lowest else 1 / LARGEST
    # In the logarithm, because x spans twelve orders of magnitude.
    log = float(np.log(LARGEST))
    return float(np.exp(scipy.optimize.brentq(lambda x: scipy.special.polygamma(1, np.exp(x)) - value, -log, log, xtol=1e-13)))
