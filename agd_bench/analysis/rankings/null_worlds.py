"""Simulated data sets like the observed one in which all algorithms rank the architectures alike.

A world preserves all known properties of each algorithm except its order of the architectures:

1. Accuracies become normal scores.
2. True scores are the mean scores, shrunk to the variance shared by different seeds, then adjusted until their distribution with noise
   matches the observed means. Each algorithm's deviation from the common shape is shrunk (James and Stein).
3. The k-th best architecture of one algorithm is the k-th best of every other.
4. Every architecture has its own noise under every algorithm: a smooth trend along the ranking times a log-normal factor that is correlated
   between algorithms. Its covariance follows from the logarithms of the variances over seeds, minus the contribution of chance (Smyth).
5. Scores are converted back to accuracies, with their ties and divergences.

References:
    G. K. Smyth, Linear models and empirical Bayes methods for assessing differential expression in microarray experiments, Statistical
        Applications in Genetics and Molecular Biology, 2004, section 6.2 (moments of log variances).
    W. James, C. Stein, Estimation with quadratic loss, Proceedings of the Fourth Berkeley Symposium, 1961 (shrinkage).
    A. C. Davison, D. V. Hinkley, Bootstrap Methods and their Application, 1997, section 3.8 (shrinkage towards the right variance).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri, polygamma

from agd_bench.analysis.scores import Floats
from agd_bench.analysis.variance import normal_scores

SIMULATED = {"all": 500, "top-decile": 2000}
"""Architectures in a world at most."""
WORLDS = 200
"""Worlds behind an expected overlap."""
MATCHING_ROUNDS = 3
"""Number of adjustments; more would interpret seed noise as clusters of architectures."""
REFITS = 4
"""Number of worlds with one common shape that are refitted, to see how much deviation noise alone causes."""
WINDOW = 0.2
"""Share of the ranking over which the spread of noise is assumed to be constant."""


class NullWorlds:
    """Simulated data sets like the observed one in which all algorithms rank the architectures alike.

    Attributes:
        truth: each algorithm's true scores, ascending, (M, m).
        trend: mean variance of one seed's noise at each of them, (M, m).
        heterogeneity: covariance of the logarithms of the architectures' noise variances, (M, M).
        accuracies: each algorithm's accuracies, ascending, (M, n S); -1 where diverged.
    """

    def __init__(self, values: Floats, diverged: NDArray[np.bool_], most: int, rng: np.random.Generator) -> None:
        """Fit the worlds.

        Args:
            values: accuracies in [0, 1], (M, n, S), none missing.
            diverged: where a trial diverged, (M, n, S).
            most: largest number of architectures in a world.
            rng: generator for the noise of the fit.
        """
        # Normal scores remove an algorithm's scale and any monotone distortion.
        scores = normal_scores(values)
        algorithms, count, self.seeds = values.shape
        order = np.argsort(scores.mean(axis=2), axis=1, kind="stable")
        ranked = np.take_along_axis(scores, order[:, :, None], axis=1)
        # (M, n), along each algorithm's ranking.
        variances = ranked.var(axis=2, ddof=1)
        trend = smooth(variances)
        # Back to the order of the architectures: heterogeneity is correlated between algorithms by architecture, not by rank.
        ratios = np.take_along_axis(variances / _or_one(trend), np.argsort(order, axis=1), axis=1)
        self.heterogeneity = noise_heterogeneity(ratios, self.seeds - 1)
        # If not all architectures are simulated, the simulated ones are spread evenly along the ranking.
        positions = np.linspace(0, count - 1, min(most, count)).round().astype(int)
        self.trend = trend[:, positions]
        self.truth = self._fitted(ranked.mean(axis=2)[:, positions], count, rng)
        # −1 sorts diverged trials below every accuracy, so `draw` can recognise them by their sign.
        self.accuracies = np.sort(np.where(diverged, -1.0, values).reshape(algorithms, -1), axis=1)
        # Normal scores of n S values without ties, used to look up accuracies.
        self.grid = ndtri((np.arange(count * self.seeds) + 0.5) / (count * self.seeds))

    def draw(self, worlds: int, rng: np.random.Generator) -> tuple[Floats, NDArray[np.bool_]]:
        """Draw accuracies of worlds, (worlds, M, m, S), and whether each trial diverged."""
        scores = self.truth[:, :, None] + self._deviations(worlds, rng)[..., None] * rng.standard_normal(
            (worlds, *self.truth.shape, self.seeds)
        )
        values = np.empty_like(scores)
        for row, accuracies in enumerate(self.accuracies):
            values[:, row] = np.interp(scores[:, row], self.grid, accuracies)
        lost = values < 0
        return np.where(lost, 0.0, values), lost

    def _deviations(self, worlds: int, rng: np.random.Generator) -> Floats:
        """Draw standard deviations of one seed's noise, (worlds, M, m); the mean of their squares is the trend."""
        eigenvalues, vectors = np.linalg.eigh(self.heterogeneity)
        # Not Cholesky, because the estimated matrix may be singular or slightly indefinite.
        root = vectors * np.sqrt(np.maximum(eigenvalues, 0))
        logs = np.einsum("mk,bkn->bmn", root, rng.standard_normal((worlds, *self.trend.shape)))
        # logs / 2, for a deviation instead of a variance. E exp(x) = exp(v / 2) for x ~ N(0, v); subtracting v / 2 preserves the mean.
        factor = np.exp(logs / 2 - np.diagonal(self.heterogeneity)[:, None] / 4)
        return np.asarray(np.sqrt(self.trend) * factor, dtype=np.float64)

    def _noise_of_means(self, worlds: int, rng: np.random.Generator) -> Floats:
        drawn: Floats = rng.standard_normal((worlds, *self.trend.shape))
        return np.asarray(self._deviations(worlds, rng) * drawn / np.sqrt(self.seeds), dtype=np.float64)

    def _fitted(self, means: Floats, count: int, rng: np.random.Generator) -> Floats:
        """True scores: the common shape, plus the part of each algorithm's deviation that noise does not explain."""
        truth = self._matched(means[None], rng)[0]
        centre, shape = truth.mean(axis=1, keepdims=True), _standardised(truth)
        spread = truth.std(axis=1, keepdims=True)
        common, departure = _departures(shape)
        # True scores must be ascending, so the k-th position is the k-th best.
        alike = np.maximum.accumulate(centre + spread * common, axis=1)
        again = np.sort(alike + self._noise_of_means(REFITS, rng), axis=2)
        # With few architectures, noise looks like a deviation in shape; its size is estimated from worlds without any deviation.
        by_noise = _departures(_standardised(self._matched(again, rng)))[1]
        # A world with fewer architectures than observed has more deviation due to noise.
        by_chance = (by_noise**2).mean(axis=(0, 2)) * means.shape[1] / count
        # James and Stein's positive-part factor: the share of the squared deviation that noise does not explain.
        kept = np.clip(1 - by_chance / _or_one((departure**2).mean(axis=1)), 0, 1)
        return np.maximum.accumulate(centre + spread * _standardised(common + np.sqrt(kept)[:, None] * departure), axis=1)

    def _matched(self, means: Floats, rng: np.random.Generator) -> Floats:
        """True scores whose noisy means are distributed like the given means, (B, M, m)."""
        worlds, _, count = means.shape
        truth = _shrunk(means, self.trend.mean(axis=1) / self.seeds)
        draws = max(10, 2000 // count)
        for _ in range(MATCHING_ROUNDS):
            noise = self._noise_of_means(draws * worlds, rng).reshape(draws, *means.shape)
            found = np.sort(truth + noise, axis=3).mean(axis=0)
            # Smoothed; otherwise each true score would follow the noise of its own mean.
            truth = np.maximum.accumulate(truth + smooth(means - found), axis=2)
        return truth


def noise_heterogeneity(ratios: Floats, freedom: int) -> Floats:
    """Covariance, between algorithms, of the logarithms of the architectures' noise variances.

    Args:
        ratios: sample variances divided by their trend, (M, n), each with `freedom` degrees of freedom; 0 if all seeds are tied.
        freedom: degrees of freedom, d.

    Returns:
        (M, M), positive semi-definite up to rounding; 0 if variances do not vary more than by chance.

    >>> noise_heterogeneity(np.array([[1.0, 1.0, 1.0, 1.0]]), 2).tolist()
    [[0.0]]
    """
    usable = ratios > 0
    logs = np.log(np.where(usable, ratios, 1.0))
    both = usable[:, None] & usable[None, :]
    number = both.sum(axis=2)
    first, second = np.where(both, logs[:, None], 0.0), np.where(both, logs[None, :], 0.0)
    means = first.sum(axis=2) * second.sum(axis=2) / np.maximum(number, 1)
    found = ((first * second).sum(axis=2) - means) / np.maximum(number - 1, 1)
    # Only the diagonal: chance adds trigamma(d/2) to a log variance (Smyth 2004) and is assumed independent between algorithms.
    found -= polygamma(1, freedom / 2) * np.eye(len(found))
    # With one or two usable architectures, the variation is not informative.
    spread = np.sqrt(np.where(number.diagonal() > 2, np.maximum(found.diagonal(), 0), 0.0))
    scale = spread[:, None] * spread[None, :]
    correlation = np.clip(found / _or_one(scale), -1, 1)
    np.fill_diagonal(correlation, 1.0)
    return np.asarray(correlation * scale, dtype=np.float64)


def smooth(values: Floats, share: float = WINDOW) -> Floats:
    """Moving mean along the last axis over a share of its length, at least 11 values; shorter windows at the ends.

    >>> smooth(np.array([0.0] * 6 + [1.0] * 6)).round(2).tolist()[4:8]
    [0.4, 0.45, 0.55, 0.6]
    """
    count = values.shape[-1]
    half = max(5, int(share * count / 2))
    # Differences of a running sum: O(n) for any window.
    sums = np.concatenate([np.zeros((*values.shape[:-1], 1)), np.cumsum(values, axis=-1)], axis=-1)
    low, high = np.clip(np.arange(count) - half, 0, None), np.clip(np.arange(count) + half + 1, None, count)
    return np.asarray((sums[..., high] - sums[..., low]) / (high - low), dtype=np.float64)


def _shrunk(means: Floats, noise: Floats) -> Floats:
    """Mean scores (B, M, m), shrunk so that their variance is reduced by that of their noise, (M,)."""
    share = np.sqrt(np.clip(1 - noise / _or_one(means.var(axis=2, ddof=1)), 0, 1))
    centre = means.mean(axis=2, keepdims=True)
    return np.asarray(centre + (means - centre) * share[:, :, None], dtype=np.float64)


def _standardised(values: Floats) -> Floats:
    """Standardise to mean 0 and variance 1 along the last axis."""
    centred = values - values.mean(axis=-1, keepdims=True)
    return np.asarray(centred / _or_one(centred.std(axis=-1, keepdims=True)), dtype=np.float64)


def _departures(shapes: Floats) -> tuple[Floats, Floats]:
    """The common shape of the algorithms, (..., 1, m), and the deviation of each, (..., M, m)."""
    common = _standardised(shapes.mean(axis=-2, keepdims=True))
    return common, shapes - common


def _or_one(values: Floats) -> Floats:
    """A safe divisor: replaces a spread of 0."""
    return np.where(values > 0, values, 1.0)
