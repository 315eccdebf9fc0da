"""A test of 'the two algorithms rank the architectures alike, but for seed noise', by worlds in which they do.

The statistic is the gap of `agreement`: tau minus its noise ceiling. What it would be without a shift is found by simulating worlds
that keep everything about each algorithm but its order of the architectures:

1. Each algorithm's accuracies become normal scores, so its scale and any monotone distortion of it are gone.
2. Its true scores are its mean scores, shrunk towards their mean until their variance is what the covariance between seeds says, then
   adjusted, smoothly along the ranking, until with noise on them they lie as the observed means do.
3. In a world the k-th best architecture of one algorithm is the k-th best of every other: the rankings are equal.
4. Seed noise is drawn anew from the algorithm's own residuals, whose spread may vary along its ranking, and scores are carried back
   to the algorithm's accuracies, ties and divergences with them.

The p-value is the share of worlds whose gap is at or below the observed one, which counts as a world itself (Davison and
Hinkley, equation 4.11). An exchange of labels within architectures would be exact only for algorithms of equal noise and scale.

The fit is the weak part: with noise 5:1 between the algorithms and clustered or very uneven architectures, the test at 5 % rejects
5 to 12 % of true nulls; elsewhere 1 to 7 % (`tests/performance/rank_simulations.py`).

References:
    A. C. Davison, D. V. Hinkley, Bootstrap Methods and their Application, 1997, sections 3.8 (shrinkage) and 4.4 (null distributions).
    W. Härdle, E. Mammen, Comparing nonparametric versus parametric regression fits, Annals of Statistics, 1993 (resampling residuals
    under the null).
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri

from agd_bench.analysis.rankings.kernels import crossed_taus
from agd_bench.analysis.rankings.seed_splits import halves, means_over, subset_size
from agd_bench.analysis.scores import Floats
from agd_bench.analysis.variance import normal_scores

BATCH = 50
EQUAL = 1e-12
SIMULATED = {"all": 500, "top-decile": 2000}
"""Architectures in a world at most; the spread of its gaps is scaled by the root of how many are compared."""
MATCHING_ROUNDS = 3
"""More of them would read seed noise as clusters of architectures."""
WINDOW = 0.2
"""Share of the ranking over which the spread of noise is taken as even."""


class NullWorlds:
    """Data sets like the observed one, in which all algorithms rank the architectures alike.

    Attributes:
        truth: each algorithm's true scores, ascending, (M, m).
        spread: standard deviation of one seed's noise at each of them, (M, m).
        pool: each algorithm's residuals of variance 1, (M, n S).
        accuracies: each algorithm's accuracies, ascending, (M, n S); -1 where diverged.
    """

    def __init__(self, values: Floats, diverged: NDArray[np.bool_], most: int, rng: np.random.Generator) -> None:
        """Fit the worlds.

        Args:
            values: accuracies in [0, 1], (M, n, S), none missing.
            diverged: where a trial diverged, (M, n, S).
            most: architectures in a world, if there are that many.
            rng: draws the noise of the fit.
        """
        scores = normal_scores(values)
        algorithms, count, self.seeds = values.shape
        order = np.argsort(scores.mean(axis=2), axis=1, kind="stable")
        scores = np.take_along_axis(scores, order[:, :, None], axis=1)
        means = scores.mean(axis=2)
        spread = np.sqrt(smooth(scores.var(axis=2, ddof=1)))
        residuals = (scores - means[:, :, None]) / _or_one(spread)[:, :, None]
        pool = residuals.reshape(algorithms, -1)
        self.pool = pool / _or_one(np.sqrt((pool**2).mean(axis=1, keepdims=True)))
        truth = self._matched(_shrunk(scores), means, spread, rng)
        # Where not all architectures are simulated, those that are stand evenly along the ranking.
        positions = np.linspace(0, count - 1, min(most, count)).round().astype(int)
        self.truth, self.spread = truth[:, positions], spread[:, positions]
        self.accuracies = np.sort(np.where(diverged, -1.0, values).reshape(algorithms, -1), axis=1)
        self.grid = ndtri((np.arange(count * self.seeds) + 0.5) / (count * self.seeds))

    def draw(self, worlds: int, rng: np.random.Generator) -> tuple[Floats, NDArray[np.bool_]]:
        """Accuracies of so many worlds, (worlds, M, m, S), and where a trial diverged."""
        values = np.empty((worlds, *self.truth.shape, self.seeds))
        for row, truth in enumerate(self.truth):
            scores = truth[:, None] + self._noise(row, self.spread[row], worlds, rng)
            values[:, row] = np.interp(scores, self.grid, self.accuracies[row])
        lost = values < 0
        return np.where(lost, 0.0, values), lost

    def _noise(self, row: int, spread: Floats, worlds: int, rng: np.random.Generator) -> Floats:
        drawn = self.pool[row][rng.integers(0, self.pool.shape[1], (worlds, len(spread), self.seeds))]
        return np.asarray(drawn * spread[:, None], dtype=np.float64)

    def _matched(self, truth: Floats, means: Floats, spread: Floats, rng: np.random.Generator) -> Floats:
        """True scores whose noisy means lie as the observed means do; the difference is smoothed, or it would be noise itself."""
        draws = max(20, 2000 // means.shape[1])
        for _ in range(MATCHING_ROUNDS):
            noise = np.stack([self._noise(row, each, draws, rng).mean(axis=2) for row, each in enumerate(spread)])
            found = np.sort(truth[:, None] + noise, axis=2).mean(axis=1)
            truth = np.maximum.accumulate(truth + smooth(means - found), axis=1)
        return truth


def _shrunk(scores: Floats) -> Floats:
    """Mean scores, shrunk until their variance is the covariance between seeds, (M, n)."""
    means = scores.mean(axis=2)
    within = scores.var(axis=2, ddof=1).mean(axis=1) / scores.shape[2]
    total = means.var(axis=1, ddof=1)
    share = np.sqrt(np.clip(1 - within / _or_one(total), 0, 1))
    centre = means.mean(axis=1, keepdims=True)
    return np.asarray(centre + (means - centre) * share[:, None], dtype=np.float64)


def _or_one(values: Floats) -> Floats:
    """What may be divided by: where there is no spread, there is nothing to divide."""
    return np.where(values > 0, values, 1.0)


def smooth(values: Floats, share: float = WINDOW) -> Floats:
    """Moving mean along the last axis, over a share of its length, at least 11 values; shorter towards the ends.

    >>> smooth(np.array([0.0] * 6 + [1.0] * 6)).round(2).tolist()[4:8]
    [0.4, 0.45, 0.55, 0.6]
    """
    count = values.shape[-1]
    half = max(5, int(share * count / 2))
    sums = np.concatenate([np.zeros((*values.shape[:-1], 1)), np.cumsum(values, axis=-1)], axis=-1)
    low, high = np.clip(np.arange(count) - half, 0, None), np.clip(np.arange(count) + half + 1, None, count)
    return np.asarray((sums[..., high] - sums[..., low]) / (high - low), dtype=np.float64)


def shift_p_values(
    values: Floats,
    diverged: NDArray[np.bool_],
    gap: Floats,
    gaps: Callable[[Floats], Floats],
    subset: str,
    worlds: int,
    rng: np.random.Generator,
) -> Floats:
    """P-values of 'no shift beyond noise' for every pair of algorithms, one-sided.

    Args:
        values: accuracies in [0, 1], (M, n, S), none missing.
        diverged: where a trial diverged, (M, n, S).
        gap: the observed gaps, (M, M).
        gaps: gaps (..., M, M) from agreements (..., M, M), as the observed ones were computed.
        subset: `all` or `top-decile`.
        worlds: how many to draw.
        rng: draws them.

    Returns:
        (M, M); NaN where there is no gap. A world without a gap, all tied, counts as one at or below the observed gap.
    """
    fitted = NullWorlds(values, diverged, SIMULATED[subset], rng)
    drawn = []
    for start in range(0, worlds, BATCH):
        found, lost = fitted.draw(min(BATCH, worlds - start), rng)
        drawn.append(gaps(agreements(found, lost, subset)))
    null = np.concatenate(drawn)
    size, simulated = (subset_size(count, subset) for count in (values.shape[1], fitted.truth.shape[1]))
    held = np.isfinite(null)
    middle = np.where(held, null, 0.0).sum(axis=0) / np.maximum(held.sum(axis=0), 1)
    null = middle + (null - middle) * np.sqrt(simulated / size)
    at_or_below = ~(null > gap + EQUAL)
    return np.where(np.isfinite(gap), (1 + at_or_below.sum(axis=0)) / (1 + worlds), np.nan)


def agreements(values: Floats, diverged: NDArray[np.bool_], subset: str) -> Floats:
    """Tau-b of many data sets at once, means over the splits.

    Args:
        values: accuracies or scores, (B, M, n, S), none missing.
        diverged: where a trial diverged, (B, M, n, S).
        subset: `all` or `top-decile`.

    Returns:
        (B, M, M); the diagonal holds each algorithm's agreement with itself.
    """
    total = np.zeros((len(values), values.shape[1], values.shape[1]))
    splits = list(halves(values, diverged, subset, subset_size(values.shape[2], subset)))
    for first, second, chosen in splits:
        each = crossed_taus(*(means_over(values, diverged, half, chosen) for half in (first, second)))
        total += (each + np.swapaxes(each, 1, 2)) / (2 * len(splits))
    return total
