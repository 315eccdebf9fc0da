"""Test of the null hypothesis that two algorithms rank the architectures alike except for seed noise.

Let D_is be the difference between the two algorithms' normal scores of architecture i with seed s, scaled so that seeds share the same
variance under both algorithms. Without a shift, the true scores cancel and D_is is noise, so its products over disjoint seeds have mean 0,
**however noisy each architecture is** under either algorithm. A shift makes them positive. The mean product is minus twice
`covariance_gap`, the covariance between the algorithms minus the one for equal rankings.

Two things are calibrated by simulated worlds without a shift (`null_worlds`): true scores that are equally ranked but not linearly related
slightly shift the mean of the products, and the distribution of their standardised mean. Therefore

- `p` compares the mean of the products, each clipped at `CUT` standard deviations, with the worlds and with Student's distribution, both
  with the standard error over architectures and centred at the worlds' mean, and is the larger of the two.
- `p_fitted` compares the covariance gap with that of the worlds, which relies on the fitted noise.

`tests/performance/README.md` lists the alternatives tried and their rejection rates.

References:
    A. Robertson, The sampling variance of the genetic correlation coefficient, Biometrics, 1959 (the interaction as half the variance of
        standardised differences).
    A. C. Davison, D. V. Hinkley, Bootstrap Methods and their Application, 1997, sections 4.4 and 5.2 (studentised null distributions).
    P. J. Huber, Robust estimation of a location parameter, Annals of Mathematical Statistics, 1964 (clipping).
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import numpy as np
import scipy.stats
from numpy.typing import NDArray

from agd_bench.analysis.rankings.null_worlds import NullWorlds
from agd_bench.analysis.rankings.seed_splits import halves, means_over, subset_size
from agd_bench.analysis.scores import Floats
from agd_bench.analysis.variance import normal_scores

# Largest number of worlds in memory.
BATCH = 50
# In standard deviations of a product under pure noise.
CUT = 4.0
EQUAL = 1e-9
LEAST_COVARIANCE = 0.02
"""Smallest covariance of an algorithm's scores between seeds; with less signal, scaling by it would only amplify noise."""
SIMULATED = {"all": 500, "top-decile": 2000}
"""Largest number of architectures in a world; if more are compared, non-standardised spreads are scaled by the square root."""


@dataclass(frozen=True)
class ShiftTest:
    """Results of worlds without a shift for every pair of algorithms, each (M, M), NaN if there is nothing to compare.

    Attributes:
        offset: mean covariance gap of the worlds.
        p: one-sided p-value, valid however noisy each architecture is.
        p_fitted: one-sided p-value that relies on the fitted noise.
    """

    offset: Floats
    p: Floats
    p_fitted: Floats


@dataclass(frozen=True)
class _Products:
    """Statistics of B data sets: covariance gaps, and minus the mean clipped product of differences with its standard error, (B, M, M)."""

    gap: Floats
    mean: Floats
    error: Floats


def shift_test(values: Floats, diverged: NDArray[np.bool_], subset: str, worlds: int, rng: np.random.Generator) -> ShiftTest:
    """Test 'no shift beyond noise' for every pair of algorithms, one-sided.

    Args:
        values: accuracies in [0, 1], (M, n, S), none missing.
        diverged: where a trial diverged, (M, n, S).
        subset: `all` or `top-decile`.
        worlds: number of simulated worlds.
        rng: generator for the worlds.
    """
    fitted = NullWorlds(values, diverged, SIMULATED[subset], rng)
    size, simulated = (subset_size(count, subset) for count in (values.shape[1], fitted.truth.shape[1]))
    # (1, M, M): the observed data as one more data set.
    seen = _products(values[None], diverged[None], subset)
    drawn = [fitted.draw(min(BATCH, worlds - start), rng) for start in range(0, worlds, BATCH)]
    null = [_products(*each, subset) for each in drawn]
    gap, mean, error = (np.concatenate([getattr(each, name) for each in null]) for name in ("gap", "mean", "error"))
    offset, centre = gap.mean(axis=0), mean.mean(axis=0)
    null_t, t = _standardised(mean, centre, error), _standardised(seen.mean, centre, seen.error)[0]
    by_worlds = _share_at_or_below(null_t, t)
    # The larger of both: worlds give the shape of the distribution from fitted noise, Student's t does not depend on the fit.
    p = np.maximum(by_worlds, scipy.stats.t.cdf(t, size - 1))
    # The spread of gaps is proportional to 1 / sqrt(architectures), so gaps of smaller worlds are shrunk; t is already standardised.
    scaled = offset + (gap - offset) * np.sqrt(simulated / size)
    # More powerful with few architectures and seeds, but valid only if noise is as even as the few variances suggest.
    p_fitted = _share_at_or_below(scaled, seen.gap[0])
    known = np.isfinite(seen.gap[0]) & ~np.eye(len(values), dtype=bool)
    return ShiftTest(np.where(known, offset, 0.0), np.where(known, p, np.nan), np.where(known, p_fitted, np.nan))


def covariance_gap(between: Floats) -> Floats:
    """Covariance between two algorithms' scores minus the geometric mean of their covariances with themselves, over disjoint seeds.

    Args:
        between: covariances between disjoint seeds, (..., M, M).

    Returns:
        (..., M, M): 0 on average if true scores are equal up to scale, whatever the noise.

    >>> covariance_gap(np.array([[0.8, 0.3], [0.3, 0.2]])).round(3).tolist()
    [[0.0, -0.1], [-0.1, 0.0]]
    """
    own = np.maximum(np.diagonal(between, axis1=-2, axis2=-1), LEAST_COVARIANCE)
    # For equal true rankings, the covariance is the geometric mean of both algorithms' own covariances (Spearman 1904).
    gap = between - np.sqrt(own[..., :, None] * own[..., None, :])
    return np.asarray(gap, dtype=np.float64)


def _products(values: Floats, diverged: NDArray[np.bool_], subset: str) -> _Products:
    """Statistics of B data sets, (B, M, n, S)."""
    worlds, algorithms, count, seeds = values.shape
    scores = normal_scores(values.reshape(worlds * algorithms, count, seeds)).reshape(values.shape)
    splits = list(halves(values, diverged, subset, subset_size(count, subset)))
    # No special case for divergence: the accuracy of 0 already has the lowest normal score.
    ones = [_centred(means_over(scores, None, first, chosen)) for first, _, chosen in splits]
    twos = [_centred(means_over(scores, None, second, chosen)) for _, second, chosen in splits]
    cross = np.mean([np.einsum("bmi,bki->bmk", one, two) / one.shape[2] for one, two in zip(ones, twos, strict=True)], axis=0)
    between = (cross + np.swapaxes(cross, 1, 2)) / 2
    own = np.maximum(np.diagonal(between, axis1=1, axis2=2), LEAST_COVARIANCE)
    mean, error = np.full((2, worlds, algorithms, algorithms), np.nan)
    for a, b in itertools.combinations(range(algorithms), 2):
        # Fourth root: one algorithm's scores are scaled by it and the other's by its inverse, so both get the variance sqrt(own_a own_b).
        ratio = (own[:, b] / own[:, a])[:, None] ** 0.25
        noise = _noise_variance(scores[:, a] * ratio[..., None] - scores[:, b] / ratio[..., None]) / len(splits[0][0])
        # A product of two independent halves with this variance has it as standard deviation. EQUAL avoids 0 / 0 without noise.
        limit = CUT * np.maximum(noise, EQUAL)[:, None]
        cut = []
        for one, two in zip(ones, twos, strict=True):
            product = (one[:, a] * ratio - one[:, b] / ratio) * (two[:, a] * ratio - two[:, b] / ratio)
            # Prevents one very noisy architecture from dominating; symmetric, so the mean stays 0 for symmetric noise.
            cut.append(np.clip(product, -limit, limit) / limit)
        found = _mean_and_error(cut, [chosen for *_, chosen in splits], count)
        # Negated, because a shift makes products positive and the covariance gap negative; both tests then use the lower tail.
        mean[:, a, b] = mean[:, b, a] = -found[0]
        error[:, a, b] = error[:, b, a] = found[1]
    return _Products(covariance_gap(between), mean, error)


def _centred(values: Floats) -> Floats:
    return np.asarray(values - values.mean(axis=-1, keepdims=True), dtype=np.float64)


def _noise_variance(differences: Floats) -> Floats:
    """Variance of one seed's noise, (B,), from the median over architectures, which is robust to a few noisy ones."""
    freedom = differences.shape[2] - 1
    own = differences.var(axis=2, ddof=1)
    # The median of a chi-square is below its mean; the factor makes the median unbiased for equal noise.
    return np.asarray(np.median(own, axis=1) * freedom / scipy.stats.chi2.ppf(0.5, freedom), dtype=np.float64)


def _mean_and_error(parts: list[Floats], selected: list[NDArray[np.intp] | None], count: int) -> tuple[Floats, Floats]:
    """Mean over splits and architectures, and its standard error over architectures, which may occur in several splits, (B,) each."""
    worlds, size = parts[0].shape
    mean = np.mean(parts, axis=(0, 2))
    # Sum by architecture first, because its products in several splits are dependent, but those of different architectures are not.
    sums = np.zeros((worlds, count))
    for part, chosen in zip(parts, selected, strict=True):
        places = np.broadcast_to(np.arange(count), (worlds, count)) if chosen is None else chosen
        np.put_along_axis(sums, places, np.take_along_axis(sums, places, axis=1) + part - mean[:, None], axis=1)
    error = np.sqrt((sums**2).sum(axis=1) * size / (size - 1)) / (size * len(parts))
    return np.asarray(mean, dtype=np.float64), np.asarray(error, dtype=np.float64)


def _standardised(values: Floats, centre: Floats, errors: Floats) -> Floats:
    """(Values − centre) / standard errors; infinite for non-zero differences if the standard error is 0."""
    apart = np.where(np.abs(values) > EQUAL, np.copysign(np.inf, values), 0.0)
    return np.divide(values - centre, errors, out=apart, where=errors > EQUAL)


def _share_at_or_below(drawn: Floats, observed: Floats) -> Floats:
    """Share of worlds at or below the observed value, counting the observation as a world; worlds without a value count as below."""
    # `~(a > b)`, not `a <= b`, because a NaN must count against the finding. 1 + … keeps p above 0 (Davison and Hinkley 1997).
    return np.asarray((1 + (~(drawn > observed + EQUAL)).sum(axis=0)) / (1 + len(drawn)), dtype=np.float64)
