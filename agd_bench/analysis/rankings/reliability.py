"""How well a ranking would repeat with other seeds, and so how well it can agree with any other: reliability, and what follows.

The reliability of an algorithm's ranking is the share of the variance of its normal scores (`decomposing.normal_scores`) that
belongs to the architectures and not to seeds: the intraclass correlation, which is also the correlation of two single
seeds' rankings. With S seeds on average it is R_S = S R / (1 + (S − 1) R) by Spearman and Brown, and two such rankings, S seeds against
S others, agree to tau = 2 / pi arcsin(R_S) by Greiner's relation: the noise ceiling. Two algorithms that rank the
architectures alike but for noise agree to 2 / pi arcsin(sqrt(R_S R'_S)), however many architectures there are.

Greiner's relation supposes normal scores that are jointly normal. `agreement.kendall_tau` measures the ceiling without that, but only
at half the seeds that were run; where both exist, compare them.

References:
    C. Spearman, Correlation calculated from faulty data; W. Brown, Some experimental results in the correlation of mental abilities,
    British Journal of Psychology, 1910.
    P. E. Shrout, J. L. Fleiss, Intraclass correlations: uses in assessing rater reliability, Psychological Bulletin, 1979 (ICC(1,1)
    and its exact interval for normal scores of equal noise).
    W. H. Kruskal, Ordinal measures of association, Journal of the American Statistical Association, 1958 (Greiner's relation).
"""

from __future__ import annotations

import numpy as np
import scipy.stats

from agd_bench.analysis.scores import Floats
from agd_bench.analysis.variance import LEVEL, normal_scores


def spearman_brown(reliability: Floats | float, seeds: Floats | float) -> Floats:
    """Reliability of a mean over so many seeds, from that of one seed in [0, 1].

    >>> spearman_brown(0.5, np.array([1, 2, 4])).round(3).tolist()
    [0.5, 0.667, 0.8]
    """
    return np.asarray(seeds * np.asarray(reliability) / (1 + (seeds - 1) * np.asarray(reliability)), dtype=np.float64)


def tau_of_correlation(correlation: Floats | float) -> Floats:
    """Kendall's tau of normal variables of that correlation, in [-1, 1].

    >>> tau_of_correlation(np.array([0.0, 0.5, 1.0])).round(3).tolist()
    [0.0, 0.333, 1.0]
    """
    return np.asarray(2 / np.pi * np.arcsin(np.clip(correlation, -1, 1)), dtype=np.float64)


def correlation_of_tau(tau: Floats | float) -> Floats:
    """Correlation of normal variables of that Kendall's tau, in [-1, 1].

    >>> correlation_of_tau(0.59).round(3).item()
    0.8
    """
    return np.asarray(np.sin(np.pi / 2 * np.asarray(tau)), dtype=np.float64)


def one_seed_reliability(values: Floats) -> tuple[float, float, float]:
    """Intraclass correlation of one algorithm's normal scores, with the ends of its 95 % interval.

    Args:
        values: accuracies, (A, S), NaN where missing.

    Returns:
        Estimate (unbiased mean squares, possibly negative), low, high; all NaN where it cannot be told.

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
