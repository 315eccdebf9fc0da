"""Which architectures move: the rank shift of each architecture between two algorithms, compared with seed noise.

For each seed, the shift of an architecture is the difference of its ranks under the two algorithms. Its mean over seeds is compared with
simulations of equal true rankings (`null_worlds.NullWorlds`) by a t-test with moderated variances as in limma.

In simulated runs without any move (`tests/performance/rank_simulations.py --only moves`), some architecture is beyond noise after Holm's
correction in 0 to 15 % of runs with a noise ratio of up to 4:1 between the algorithms, but in 20 to 60 % if the ratio is 5:1 and the
architectures are skewed or in two clusters, or if noise changes by large factors along the ranking; interpret single moves with care in
such cases.

References:
    G. K. Smyth, Linear models and empirical Bayes methods for assessing differential expression in microarray experiments, Statistical
        Applications in Genetics and Molecular Biology, 2004, equations 6 to 11 (moderated t; equations for d0 and s0).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy.special
import scipy.stats
from numpy.typing import NDArray

from agd_bench.analysis.inference import holm, inverse_trigamma
from agd_bench.analysis.rankings.null_worlds import NullWorlds, smooth
from agd_bench.analysis.rankings.seed_splits import halves, means_over
from agd_bench.analysis.scores import Floats

# Number of simulated worlds, and largest number of architectures in a world, which limit the cost for large runs.
WORLDS = 400
SIMULATED = 500
SMOOTHED = 0.05
FEWEST = 8
"""Smallest number of architectures for a p-value; with fewer, ranks are too coarse."""


@dataclass(frozen=True)
class Moves:
    """Shifts of n architectures, challenger − baseline, each (n,).

    Attributes:
        mean_shift: mean over seeds of the rank shift of single seeds; positive: ranked worse by the challenger.
        shift_expected: expected shift without a move, from noise alone.
        shift_se: standard error of the mean shift, moderated; NaN with one seed or fewer than 8 architectures.
        p: two-sided p-value of 'does not move'; NaN in the same cases.
        p_holm: the same, corrected for all architectures.
        same_sign: share of the splits into disjoint halves of seeds, in both orders, in which the shift has the sign of `mean_shift`.
    """

    mean_shift: Floats
    shift_expected: Floats
    shift_se: Floats
    p: Floats
    p_holm: Floats
    same_sign: Floats


def moves(values: Floats, diverged: NDArray[np.bool_], rng: np.random.Generator) -> Moves:
    """Compute how far every architecture moves from the first algorithm to the second.

    Args:
        values: accuracies of baseline and challenger, (2, n, S), without missing values.
        diverged: whether each trial diverged, (2, n, S).
        rng: draws the worlds.
    """
    ranks = _ranks(values)
    # (n, S): paired by seed.
    shifts = ranks[1] - ranks[0]
    mean = shifts.mean(axis=1)
    count, seeds = shifts.shape
    missing = np.full(count, np.nan)
    if seeds < 2:
        return Moves(mean, missing, missing, missing, missing, missing)
    same_sign = _same_sign(values, diverged, mean)
    if count < FEWEST:
        return Moves(mean, missing, missing, missing, missing, same_sign)
    # The position is the mean rank under both algorithms, which is nearly independent of their difference, the shift.
    expected, prior = _without_moves(values, diverged, ranks.mean(axis=(0, 2)), rng)
    variance, freedom = moderated(shifts.var(axis=1, ddof=1), prior, seeds - 1)
    error = np.sqrt(variance / seeds)
    # Not exactly 0 without a move: the noisier algorithm ranks the best lower and the worst higher.
    excess = mean - expected
    # Without noise, any shift is a real move.
    studentised = np.divide(np.abs(excess), error, out=np.where(np.abs(excess) > 1e-9, np.inf, 0.0), where=error > 0)
    p = np.asarray(2 * scipy.stats.t.sf(studentised, freedom), dtype=np.float64)
    return Moves(mean, expected, error, p, holm(p), same_sign)


def _ranks(values: Floats) -> Floats:
    """Ranks of architectures seed by seed, 1 = best, (..., n, S)."""
    return np.asarray(scipy.stats.rankdata(-values, axis=-2), dtype=np.float64)


def _same_sign(values: Floats, diverged: NDArray[np.bool_], mean: Floats) -> Floats:
    found = []
    for first, second, _ in halves(values, diverged, "all", values.shape[1]):
        one, two = (scipy.stats.rankdata(-means_over(values, diverged, half), axis=-1) for half in (first, second))
        found += [np.sign(two[1] - one[0]), np.sign(one[1] - two[0])]
    return np.asarray((np.array(found) == np.sign(mean)).mean(axis=0), dtype=np.float64)


def _without_moves(values: Floats, diverged: NDArray[np.bool_], places: Floats, rng: np.random.Generator) -> tuple[Floats, Floats]:
    """Expected shift, and its variance over single seeds, at the given mean ranks, in worlds of equal true rankings."""
    worlds = NullWorlds(values, diverged, SIMULATED, rng)
    found, _ = worlds.draw(WORLDS, rng)
    ranks = _ranks(found)
    shifts = ranks[:, 1] - ranks[:, 0]
    # Ranks among fewer simulated architectures are coarser: one simulated rank corresponds to `step` observed ones.
    step = values.shape[1] / shifts.shape[1]
    expected, variance = (smooth(each[None], SMOOTHED)[0] for each in (shifts.mean(axis=(0, 2)), shifts.var(axis=(0, 2), ddof=1)))
    # The simulated architectures are in ascending order of accuracy, so their ranks descend.
    at = np.sort(ranks.mean(axis=(0, 1, 3)))
    # Subtract half a rank before scaling, so rank 1 of the world is in the middle of the `step` observed ranks it covers.
    return np.interp(places, step * (at - 0.5) + 0.5, expected[::-1] * step), np.interp(
        places, step * (at - 0.5) + 0.5, variance[::-1] * step**2
    )


def moderated(variances: Floats, prior: Floats, freedom: int) -> tuple[Floats, float]:
    """Moderate variances by their expected values (Smyth 2004).

    Args:
        variances: sample variances with `freedom` degrees of freedom each, (n,).
        prior: expected variances up to a common factor, (n,).
        freedom: degrees of freedom, d.

    Returns:
        Moderated variances, (n,), and their degrees of freedom, d + d0; infinite if the variances do not vary more than by chance.

    >>> moderated(np.array([1.0, 1.0, 1.0]), np.ones(3), 2)[1]
    inf
    """
    # A variance of 0 (the same rank with every seed) has no logarithm but is still moderated.
    usable = (variances > 0) & (prior > 0)
    if usable.sum() < 2:
        return np.maximum(variances, prior), np.inf
    # The log of a chi-square over d has mean digamma(d/2) − log(d/2) and variance trigamma(d/2); Smyth 2004, section 6.2.
    logs = np.log(variances[usable] / prior[usable]) - scipy.special.digamma(freedom / 2) + np.log(freedom / 2)
    excess = logs.var(ddof=1) - scipy.special.polygamma(1, freedom / 2)
    # Chance alone explains the variation: all architectures share the prior's shape, known exactly (d0 infinite).
    if excess <= 0:
        return prior * np.exp(logs.mean()), np.inf
    # d0: prior degrees of freedom, from trigamma(d0/2) = excess.
    own = 2 * inverse_trigamma(float(excess))
    factor = np.exp(logs.mean() + scipy.special.digamma(own / 2) - np.log(own / 2))
    # An architecture may be noisier than its neighbours, so its own variance is included, weighted by degrees of freedom.
    return (own * factor * prior + freedom * variances) / (own + freedom), float(own + freedom)
