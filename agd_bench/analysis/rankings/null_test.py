"""A test of 'the two algorithms rank the architectures alike, but for seed noise'.

Let D_is be the difference between the two algorithms' normal scores of architecture i with seed s, each algorithm's scores scaled so that
seeds share the same variance under both. Without a shift the true scores cancel and D_is is noise: its products over disjoint
seeds have mean 0, **however noisy each architecture is** under either algorithm. A shift makes them positive. The mean product is
minus twice `covariance_gap`, the covariance between the algorithms less the one that equal rankings would have.

Two things remain to be calibrated, by worlds without a shift (`null_worlds`): true scores that are equally ranked but not linearly related,
which shift the mean of the products a little, and the law of their standardised mean. So

- `p` compares the mean of the products, each cut off at `CUT` standard deviations, with worlds and with Student's distribution, both
  with the standard error over architectures and centred at the worlds' mean, and is the larger of the two.
- `p_fitted` compares the covariance gap with that of the worlds, which trusts the fitted noise.

What was tried, and how often each version rejects: `tests/performance/README.md`.

References:
    A. Robertson, The sampling variance of the genetic correlation coefficient, Biometrics, 1959 (the interaction as half the variance of
        standardised differences).
    A. C. Davison, D. V. Hinkley, Bootstrap Methods and their Application, 1997, sections 4.4 and 5.2 (studentised null distributions).
    P. J. Huber, Robust estimation of a location parameter, Annals of Mathematical Statistics, 1964 (cutting off).
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

# Worlds held in memory at a time.
BATCH = 50
# In standard deviations of a product under noise alone.
CUT = 4.0
EQUAL = 1e-9
LEAST_COVARIANCE = 0.02
"""Of an algorithm's scores between seeds: with less signal than that, scaling by it would only multiply noise."""
SIMULATED = {"all": 500, "top-decile": 2000}
"""Architectures in a world at most; where more are compared, the spread of what is not standardised is scaled by the root."""


@dataclass(frozen=True)
class ShiftTest:
    """What worlds without a shift say of every pair of algorithms, each (M, M), NaN where there is nothing to compare.

    Attributes:
        offset: mean covariance gap of the worlds.
        p: one-sided p-value that holds however noisy each architecture is.
        p_fitted: one-sided p-value that trusts the fitted noise.
    """

    offset: Floats
    p: Floats
    p_fitted: Floats


@dataclass(frozen=True)
class _Products:
    """Of B data sets: covariance gaps, and minus the mean cut product of differences with its standard error, (B, M, M) each."""

    gap: Floats
    mean: Floats
    error: Floats


def shift_test(values: Floats, diverged: NDArray[np.bool_], subset: str, worlds: int, rng: np.random.Generator) -> ShiftTest:
    """Test 'no shift beyond noise' for every pair of algorithms, one-sided.

    Args:
        values: accuracies in [0, 1], (M, n, S), none missing.
        diverged: where a trial diverged, (M, n, S).
        subset: `all` or `top-decile`.
        worlds: how many to draw.
        rng: draws them.
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
    # The larger of both: worlds have the law's shape from fitted noise, Student's t holds without that fit.
    p = np.maximum(by_worlds, scipy.stats.t.cdf(t, size - 1))
    # Gaps spread as 1 / sqrt(architectures), so those of smaller worlds are shrunk; t needs no scaling, it is standardised.
    scaled = offset + (gap - offset) * np.sqrt(simulated / size)
    # Sees more with few architectures and seeds, but only if noise is as even as so few variances make it look.
    p_fitted = _share_at_or_below(scaled, seen.gap[0])
    known = np.isfinite(seen.gap[0]) & ~np.eye(len(values), dtype=bool)
    return ShiftTest(np.where(known, offset, 0.0), np.where(known, p, np.nan), np.where(known, p_fitted, np.nan))


def covariance_gap(between: Floats) -> Floats:
    """Covariance between two algorithms' scores, less the geometric mean of their covariances with themselves, over disjoint seeds.

    Args:
        between: covariances between disjoint seeds, (..., M, M).

    Returns:
        (..., M, M): 0 on average where true scores are equal but for their scale, whatever the noise.

    >>> covariance_gap(np.array([[0.8, 0.3], [0.3, 0.2]])).round(3).tolist()
    [[0.0, -0.1], [-0.1, 0.0]]
    """
    own = np.maximum(np.diagonal(between, axis1=-2, axis2=-1), LEAST_COVARIANCE)
    # Equal true rankings make the covariance the geometric mean of both own ones (Spearman 1904).
    gap = between - np.sqrt(own[..., :, None] * own[..., None, :])
    return np.asarray(gap, dtype=np.float64)


def _products(values: Floats, diverged: NDArray[np.bool_], subset: str) -> _Products:
    """Statistics of B data sets, (B, M, n, S)."""
    worlds, algorithms, count, seeds = values.shape
    scores = normal_scores(values.reshape(worlds * algorithms, count, seeds)).reshape(values.shape)
    splits = list(halves(values, diverged, subset, subset_size(count, subset)))
    # No rule for divergence: the 0 accuracy of a diverged trial already has the lowest normal score.
    ones = [_centred(means_over(scores, None, first, chosen)) for first, _, chosen in splits]
    twos = [_centred(means_over(scores, None, second, chosen)) for _, second, chosen in splits]
    cross = np.mean([np.einsum("bmi,bki->bmk", one, two) / one.shape[2] for one, two in zip(ones, twos, strict=True)], axis=0)
    between = (cross + np.swapaxes(cross, 1, 2)) / 2
    own = np.maximum(np.diagonal(between, axis1=1, axis2=2), LEAST_COVARIANCE)
    mean, error = np.full((2, worlds, algorithms, algorithms), np.nan)
    for a, b in itertools.combinations(range(algorithms), 2):
        # Fourth root: scores scale by it one way and by its inverse the other, so both get the variance sqrt(own_a own_b).
        ratio = (own[:, b] / own[:, a])[:, None] ** 0.25
        noise = _noise_variance(scores[:, a] * ratio[..., None] - scores[:, b] / ratio[..., None]) / len(splits[0][0])
        # A product of two independent halves of that variance has it as standard deviation. EQUAL avoids 0 / 0 without noise.
        limit = CUT * np.maximum(noise, EQUAL)[:, None]
        cut = []
        for one, two in zip(ones, twos, strict=True):
            product = (one[:, a] * ratio - one[:, b] / ratio) * (two[:, a] * ratio - two[:, b] / ratio)
            # Keeps one very noisy architecture from outweighing all others; symmetric, so the mean stays 0 for symmetric noise.
            cut.append(np.clip(product, -limit, limit) / limit)
        found = _mean_and_error(cut, [chosen for *_, chosen in splits], count)
        # Minus: a shift makes products positive and the covariance gap negative; both tests then look at the lower tail.
        mean[:, a, b] = mean[:, b, a] = -found[0]
        error[:, a, b] = error[:, b, a] = found[1]
    return _Products(covariance_gap(between), mean, error)


def _centred(values: Floats) -> Floats:
    return np.asarray(values - values.mean(axis=-1, keepdims=True), dtype=np.float64)


def _noise_variance(differences: Floats) -> Floats:
    """Variance of one seed's noise, (B,), from the median of the architectures' own, so that a few noisy ones do not set it."""
    freedom = differences.shape[2] - 1
    own = differences.var(axis=2, ddof=1)
    # A chi-square's median lies below its mean; the factor makes the median unbiased for equal noise.
    return np.asarray(np.median(own, axis=1) * freedom / scipy.stats.chi2.ppf(0.5, freedom), dtype=np.float64)


def _mean_and_error(parts: list[Floats], selected: list[NDArray[np.intp] | None], count: int) -> tuple[Floats, Floats]:
    """Mean over splits and architectures, and its standard error over architectures, which may be in several splits, (B,) each."""
    worlds, size = parts[0].shape
    mean = np.mean(parts, axis=(0, 2))
    # Summed by architecture first: its products in several splits depend on each other, those of two architectures do not.
    sums = np.zeros((worlds, count))
    for part, chosen in zip(parts, selected, strict=True):
        places = np.broadcast_to(np.arange(count), (worlds, count)) if chosen is None else chosen
        np.put_along_axis(sums, places, np.take_along_axis(sums, places, axis=1) + part - mean[:, None], axis=1)
    error = np.sqrt((sums**2).sum(axis=1) * size / (size - 1)) / (size * len(parts))
    return np.asarray(mean, dtype=np.float64), np.asarray(error, dtype=np.float64)


def _standardised(values: Floats, centre: Floats, errors: Floats) -> Floats:
    """Values less the centre over their standard errors; without any error whatever is not 0 is infinitely many of them away."""
    apart = np.where(np.abs(values) > EQUAL, np.copysign(np.inf, values), 0.0)
    return np.divide(values - centre, errors, out=apart, where=errors > EQUAL)


def _share_at_or_below(drawn: Floats, observed: Floats) -> Floats:
    """Share of worlds at or below the observed value, which counts as a world itself; one without a value counts as below."""
    # `~(a > b)`, not `a <= b`: a NaN must count against the finding. 1 + … keeps p above 0 (Davison and Hinkley 1997).
    return np.asarray((1 + (~(drawn > observed + EQUAL)).sum(axis=0)) / (1 + len(drawn)), dtype=np.float64)
