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

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
import scipy.stats

from agd_bench.analysis.scores import GROUP, Floats, describe, paired_scores
from agd_bench.analysis.variance import LEVEL, normal_scores
from agd_bench.errors import InputError

SEED_COUNTS = (1, 2, 3, 5, 10, 20)


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


def noise_ceilings(trials: pd.DataFrame, metric: str = "test_accuracy", seeds: Sequence[int] = SEED_COUNTS) -> pd.DataFrame:
    """Reliability and noise ceiling of every algorithm's ranking, for numbers of seeds that were run or not.

    Args:
        trials: the table of trials.
        metric: which accuracy.
        seeds: numbers of seeds on each side of the comparison, each at least 1.

    Returns:
        One row per group, algorithm and number of seeds: `search_space`, `dataset`, `profile`, `algorithm`; `seeds` (of each of the two
        rankings); `reliability` in [0, 1] with `reliability_low`, `reliability_high`; `noise_ceiling` (Kendall's tau between two
        rankings by that algorithm, with `seeds` disjoint seeds each) with `ceiling_low`, `ceiling_high`; `architectures` (with an
        outcome) and `seeds_run` (most seeds that any of them has). Intervals are 95 %, exact where normal scores have equal
        noise; an estimate below 0 is 0. NaN where missing: one seed, fewer than 3 architectures, or all accuracies equal.

    Raises:
        InputError: a number of seeds below 1.
    """
    if min(seeds, default=1) < 1:
        raise InputError(f"{min(seeds)} seeds: give numbers of seeds from 1")
    counts = np.array(seeds, dtype=np.float64)
    tables = []
    for group in paired_scores(trials, metric):
        for label, values in zip(group.algorithms, group.values, strict=True):
            found = one_seed_reliability(values)
            reliability, low, high = (spearman_brown(max(value, 0.0), counts) for value in found)
            ceiling, ceiling_low, ceiling_high = (tau_of_correlation(value) for value in (reliability, low, high))
            present = (~np.isnan(values)).sum(axis=1)
            columns: dict[str, Any] = {"algorithm": label, "seeds": list(seeds), "reliability": reliability}
            columns |= {"reliability_low": low, "reliability_high": high}
            columns |= {"noise_ceiling": ceiling, "ceiling_low": ceiling_low, "ceiling_high": ceiling_high}
            columns |= {"architectures": int((present > 0).sum()), "seeds_run": int(present.max(initial=0))}
            tables.append(pd.DataFrame({**describe(group.group), **columns}))
    names = ["reliability", "reliability_low", "reliability_high", "noise_ceiling", "ceiling_low", "ceiling_high"]
    empty = pd.DataFrame(columns=[*GROUP, "algorithm", "seeds", *names, "architectures", "seeds_run"])
    return pd.concat(tables, ignore_index=True) if tables else empty


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
