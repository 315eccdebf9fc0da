"""Reliability of a ranking across seeds, its largest agreement with any other ranking, and noise-free agreement of rankings.

The reliability of an algorithm's ranking is the share of the variance of its normal scores (`variance.normal_scores`) due to the
architectures and not to seeds: the intraclass correlation, which is also the correlation between the rankings of two single seeds. For the
mean of S seeds it is R_S = S R / (1 + (S − 1) R) (Spearman–Brown), and two such rankings with disjoint seeds agree to
tau = 2 / pi arcsin(R_S) by Greiner's relation, the noise ceiling. Two algorithms that rank the architectures alike except for noise agree
to 2 / pi arcsin(sqrt(R_S R'_S)), for any number of architectures.

Greiner's relation assumes jointly normal scores. `kendall.kendall_tau` measures the ceiling without this assumption, but only at half of
the seeds; if both exist, compare them.

The agreement of the true rankings follows from Spearman's correction for attenuation. A normal score is the architecture's true score plus
seed noise, and covariances over architectures between disjoint seeds are those of the true scores, so

    rho_ab = cov(a, b) / sqrt(cov(a, a) cov(b, b)),    tau = 2 / pi arcsin(rho_ab).

References:
    C. Spearman, The proof and measurement of association between two things, American Journal of Psychology, 1904 (attenuation).
    C. Spearman, Correlation calculated from faulty data; W. Brown, Some experimental results in the correlation of mental abilities,
    British Journal of Psychology, 1910.
    P. E. Shrout, J. L. Fleiss, Intraclass correlations: uses in assessing rater reliability, Psychological Bulletin, 1979 (ICC(1,1)
    and its exact interval for normal scores of equal noise).
    W. H. Kruskal, Ordinal measures of association, Journal of the American Statistical Association, 1958 (Greiner's relation).
"""

from __future__ import annotations

import numpy as np
import scipy.stats
from numpy.typing import NDArray

from agd_bench.analysis.scores import LEVEL, Floats
from agd_bench.analysis.variance import normal_scores


def spearman_brown(reliability: Floats | float, seeds: Floats | float) -> Floats:
    """Reliability of a mean over several seeds, from that of one seed in [0, 1].

    >>> spearman_brown(0.5, np.array([1, 2, 4])).round(3).tolist()
    [0.5, 0.667, 0.8]
    """
    return np.asarray(seeds * np.asarray(reliability) / (1 + (seeds - 1) * np.asarray(reliability)), dtype=np.float64)


def tau_of_correlation(correlation: Floats | float) -> Floats:
    """Kendall's tau of normal variables with the given correlation, in [-1, 1].

    >>> tau_of_correlation(np.array([0.0, 0.5, 1.0])).round(3).tolist()
    [0.0, 0.333, 1.0]
    """
    return np.asarray(2 / np.pi * np.arcsin(np.clip(correlation, -1, 1)), dtype=np.float64)


def correlation_of_tau(tau: Floats | float) -> Floats:
    """Correlation of normal variables with the given Kendall's tau, in [-1, 1].

    >>> correlation_of_tau(0.59).round(3).item()
    0.8
    """
    return np.asarray(np.sin(np.pi / 2 * np.asarray(tau)), dtype=np.float64)


def one_seed_reliability(values: Floats) -> tuple[float, float, float]:
    """Intraclass correlation of one algorithm's normal scores, with the ends of its 95 % interval.

    Args:
        values: accuracies, (A, S), NaN where missing.

    Returns:
        Estimate (unbiased mean squares, possibly negative), low, high; all NaN if it cannot be estimated.

    >>> [round(value, 3) for value in one_seed_reliability(np.array([[0.1, 0.2], [0.5, 0.4], [0.8, 0.9]]))]
    [0.838, -0.171, 0.996]
    """
    observed = (~np.isnan(values)).sum(axis=1)
    values, observed = values[observed > 0], observed[observed > 0]
    groups, total = len(values), int(observed.sum())
    if groups < 3 or total == groups or np.nanmin(values) == np.nanmax(values):
        return float("nan"), float("nan"), float("nan")
    scored = normal_scores(values[None])[0]
    means = np.nanmean(scored, axis=1)
    between = float((observed * (means - np.average(means, weights=observed)) ** 2).sum()) / (groups - 1)
    within = float(np.nansum((scored - means[:, None]) ** 2)) / (total - groups)
    if within == 0:
        return 1.0, 1.0, 1.0
    size = (total - float((observed**2).sum()) / total) / (groups - 1)
    tail = (1 - LEVEL) / 2
    ratio = between / within
    low, high = (ratio / scipy.stats.f.ppf(level, groups - 1, total - groups) for level in (1 - tail, tail))
    estimate, lowest, highest = (float((f - 1) / (f + size - 1)) for f in (ratio, low, high))
    return estimate, lowest, highest


def covariances(first: Floats, second: Floats, weights: NDArray[np.int32]) -> Floats:
    """Weighted covariances over architectures between the scores of disjoint seeds.

    Args:
        first: scores over one half of the seeds, (M, n).
        second: scores over the other half, (M, n).
        weights: how often each resample holds each architecture, (R, n).

    Returns:
        (R, M, M), symmetric: the mean of both assignments of the halves.

    >>> one, two = np.array([[0.0, 2.0, 4.0]]), np.array([[1.0, 1.0, 5.0]])
    >>> covariances(one, two, np.array([[1, 1, 1], [1, 0, 1]], dtype=np.int32)).ravel().round(6).tolist()
    [2.666667, 4.0]
    """
    # Divided by n, not n − 1, because the factor cancels in every ratio. An empty resample gives 0 instead of a division by 0.
    share = weights / np.maximum(weights.sum(axis=1, keepdims=True), 1)
    products = (first[:, None] * second[None, :]).reshape(-1, first.shape[1])
    both = (share @ products.T).reshape(len(weights), len(first), len(second))
    # No noise term to subtract: the halves share no seed, so noise averages to 0, even if algorithms share it through a seed.
    cross = both - (share @ first.T)[:, :, None] * (share @ second.T)[:, None, :]
    # The order of the halves is arbitrary; averaging both orders makes the matrix symmetric.
    return np.asarray((cross + np.swapaxes(cross, 1, 2)) / 2, dtype=np.float64)


def true_correlations(between: Floats) -> Floats:
    """Correlations of true scores, not clipped to [-1, 1].

    Args:
        between: covariances between disjoint seeds, (..., M, M).

    Returns:
        (..., M, M); NaN for an algorithm whose seeds do not agree at all (a covariance with itself of 0 or less).

    >>> true_correlations(np.array([[0.8, 0.4], [0.4, 0.5]])).round(3).tolist()
    [[1.0, 0.632], [0.632, 1.0]]
    """
    own = np.diagonal(between, axis1=-2, axis2=-1)
    # A covariance of 0 up to rounding would make the ratio explode; NaN means that no correction is possible.
    spread = np.sqrt(np.where(own > 1e-12, own, np.nan))
    # Not clipped: noise can push the estimate above 1, and quantiles over resamples need those values.
    return np.asarray(between / (spread[..., :, None] * spread[..., None, :]), dtype=np.float64)
