"""Bootstrap over architectures: weights of many resamples at once, percentile intervals, and simultaneous bands for curves.

References:
    B. Efron, R. Tibshirani, An introduction to the bootstrap, 1993 (percentile and bootstrap-t intervals).
    R. Beran, Balanced simultaneous confidence sets, Journal of the American Statistical Association, 1988 (maximum of studentised
        deviations).
    A. B. Owen, The pigeonhole bootstrap, Annals of Applied Statistics, 2007 (two crossed factors drawn independently).
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from agd_bench.analysis.scores import LEVEL, Floats

FEWEST_FOR_INTERVAL = 8
"""Smallest number of architectures for a bootstrap interval: resamples of fewer contain too few distinct ones."""
_AT_ONCE = 4_000_000
"""Largest number of weights in memory."""


def resample_weights(count: int, resamples: int, rng: np.random.Generator) -> Iterator[Floats]:
    """Yield how often each of `count` items is drawn, in blocks of resamples.

    Args:
        count: number of items, and of draws per resample.
        resamples: total number of resamples.
        rng: generator for the draws.

    Yields:
        Weights of a block of resamples, (block, count); every row sums to `count`.

    >>> [block.sum(axis=1).tolist() for block in resample_weights(4, 3, np.random.default_rng(0))]
    [[4.0, 4.0, 4.0]]
    """
    block = max(1, _AT_ONCE // max(count, 1))
    for begin in range(0, resamples, block):
        size = min(block, resamples - begin)
        # Each resample has separate bins, so one bincount serves the whole block.
        drawn = rng.integers(0, count, (size, count)) + count * np.arange(size)[:, None]
        yield np.bincount(drawn.ravel(), minlength=size * count).reshape(size, count).astype(np.float64)


def integer_weights(count: int, resamples: int, rng: np.random.Generator) -> NDArray[np.int32]:
    """Weights of the sample itself, followed by `resample_weights`, as the integers used by the compiled rank statistics.

    Args:
        count: number of items.
        resamples: number of resamples.
        rng: generator for the draws.

    Returns:
        (1 + resamples, count); the first row is all ones.

    >>> integer_weights(3, 1, np.random.default_rng(0)).sum(axis=1).tolist()
    [3, 3]
    """
    return np.concatenate([np.ones((1, count)), *resample_weights(count, resamples, rng)]).astype(np.int32)


def resampled_means(values: Floats, resamples: int, rng: np.random.Generator) -> Floats:
    """Means over the first axis for resamples of that axis.

    Args:
        values: (count, …), without missing values.
        resamples: number of resamples.
        rng: generator for the draws.

    Returns:
        (resamples, …).
    """
    count = len(values)
    flat = values.reshape(count, -1)
    # A row is one architecture with all its seeds and tuning trials, so a resample includes their noise.
    blocks = [weights @ flat / count for weights in resample_weights(count, resamples, rng)]
    return np.concatenate(blocks).reshape(-1, *values.shape[1:])


def percentile_interval(drawn: Floats) -> tuple[float, float]:
    """The middle 95 % of resampled values, which may be infinite; ends are values that were drawn, never interpolated.

    >>> percentile_interval(np.array([1.0, 2.0, 3.0, np.inf]))
    (1.0, inf)
    """
    # Interpolating between a finite value and infinity would give NaN or infinity.
    low = np.quantile(drawn, (1 - LEVEL) / 2, method="lower")
    high = np.quantile(drawn, (1 + LEVEL) / 2, method="higher")
    return float(low), float(high)


def simultaneous_band(curves: Floats, rng: np.random.Generator, resamples: int = 1000) -> tuple[Floats, Floats]:
    """A band around the mean of independent curves that holds at all points at once.

    The half-width is the standard error times the 95 % quantile of the largest studentised deviation of the resamples' means
    (bootstrap-t).

    Args:
        curves: one curve per architecture, (count, points), none missing.
        rng: what draws.
        resamples: bootstrap resamples.

    Returns:
        Lower and upper limits, (points,) each, not clipped; NaN for fewer than 8 curves.
    """
    count, points = curves.shape
    if count < FEWEST_FOR_INTERVAL:
        return np.full(points, np.nan), np.full(points, np.nan)
    mean = curves.mean(axis=0)
    centred = curves - mean
    largest = []
    for weights in resample_weights(count, resamples, rng):
        moved = weights @ centred / count
        # Standard error of each resampled mean; a difference of two squares can fall below 0 by rounding.
        spread = np.sqrt(np.maximum(weights @ centred**2 / count - moved**2, 0.0) / (count - 1))
        # A resample of a single architecture has no spread, so any deviation counts as infinitely large.
        ratios = np.divide(np.abs(moved), spread, out=np.where(np.abs(moved) > 1e-12, np.inf, 0.0), where=spread > 1e-12)
        # The maximum over the points makes the band simultaneous, whatever the dependence between points.
        largest.append(ratios.max(axis=1))
    factor = float(np.quantile(np.concatenate(largest), LEVEL, method="higher"))
    error = curves.std(axis=0, ddof=1) / np.sqrt(count)
    half = np.where(error > 0, factor * error, 0.0)
    return mean - half, mean + half
