"""Which algorithms differ when ranked within each architecture: Friedman's test and corrected pairwise comparisons.

The architectures are the blocks; within each the algorithms are ranked by mean accuracy over seeds (1 = best, ties share their mean rank).

References:
    M. Friedman, The use of ranks to avoid the assumption of normality, Journal of the American Statistical Association, 1937.
    J. Demšar, Statistical comparisons of classifiers over multiple data sets, JMLR, 2006 (Nemenyi's critical difference).
    A. Benavoli, G. Corani, F. Mangili, Should we really use post-hoc tests based on mean-ranks?, JMLR, 2016 (no: Wilcoxon's, corrected).
"""

from __future__ import annotations

import itertools
from typing import Any, Literal

import numpy as np
import pandas as pd
import scipy.stats

from agd_bench.analysis.inference import ALPHA, holm
from agd_bench.analysis.rankings.ranks import rank_best_first
from agd_bench.analysis.scores import GROUP, Floats, describe, paired_scores
from agd_bench.errors import InputError

TESTS = ("wilcoxon-holm", "nemenyi")

_PAIR = ["algorithm", "other", "mean_rank", "other_mean_rank", "p_value", "different", "friedman_p", "critical_difference"]


def critical_difference(
    trials: pd.DataFrame, metric: str = "test_accuracy", test: Literal["wilcoxon-holm", "nemenyi"] = "wilcoxon-holm"
) -> pd.DataFrame:
    """Mean ranks of the algorithms over architectures, and which of them differ.

    Uses the architectures with an outcome for every seed under every algorithm; an algorithm with a diverged seed ranks last there. The
    test is based on the variation between architectures, so a difference is a statement about similar architectures.

    Args:
        trials: the table of trials.
        metric: which accuracy.
        test: `wilcoxon-holm`: signed ranks of each pair alone, Holm's correction over the pairs of a group; `nemenyi`: mean ranks
            against the studentised range, which depends on which other algorithms are there.

    Returns:
        One row per group and unordered pair: `search_space`, `dataset`, `profile`, `algorithm`, `other`; `mean_rank`,
        `other_mean_rank` (1 = best); `p_value` (corrected for all pairs of the group); `different` (p below 0.05); `friedman_p`
        (that all are equal; NaN for fewer than three algorithms); `critical_difference` (of mean ranks, by Nemenyi; what a diagram
        shows as its ruler); `architectures`, `seeds`, `test`. No rows for fewer than two algorithms or architectures.

    Raises:
        InputError: another test.

    >>> rows = [(f"a{i}", g, 0.5 + i / 100 + d) for i in range(10) for g, d in (("agd", 0.0), ("adamw", 0.004), ("sgd", 0.005 + i / 9999))]
    >>> trials = pd.DataFrame(rows, columns=["architecture", "algorithm", "test_accuracy"]).assign(
    ...     search_space="s", dataset="d", profile="p", purpose="final", status="done", seed=0)
    >>> table = critical_difference(trials)
    >>> table[["algorithm", "other", "mean_rank", "other_mean_rank", "different"]].values.tolist()
    [['agd', 'adamw', 3.0, 2.0, True], ['agd', 'sgd', 3.0, 1.0, True], ['adamw', 'sgd', 2.0, 1.0, True]]
    >>> table["p_value"].round(4).tolist()
    [0.0059, 0.0059, 0.0059]
    """
    if test not in TESTS:
        raise InputError(f"test = {test!r}: unknown test; allowed are {' and '.join(repr(name) for name in TESTS)}")
    rows: list[dict[str, Any]] = []
    for group in paired_scores(trials, metric, every_seed=True):
        kept = group.complete().all(axis=0)
        means = group.means()[:, kept].T
        blocks, treatments = means.shape
        if blocks < 2 or treatments < 2:
            continue
        ranks = rank_best_first(means).mean(axis=0)
        pairs = list(itertools.combinations(range(treatments), 2))
        # With mean ranks, a pair depends on the other algorithms (Benavoli et al.), so Wilcoxon is the default.
        p_values = _wilcoxon_holm(means, pairs) if test == TESTS[0] else _nemenyi(ranks, blocks, pairs)
        shared: dict[str, Any] = {"friedman_p": _friedman(means), "critical_difference": nemenyi_difference(treatments, blocks)}
        shared |= {"architectures": blocks, "seeds": len(group.seeds), "test": test}
        for (first, second), p_value in zip(pairs, p_values, strict=True):
            row: dict[str, Any] = {**describe(group.group), "algorithm": group.algorithms[first], "other": group.algorithms[second]}
            row |= {"mean_rank": ranks[first], "other_mean_rank": ranks[second], "p_value": p_value, "different": p_value < ALPHA}
            rows.append(row | shared)
    return pd.DataFrame(rows, columns=[*GROUP, *_PAIR, "architectures", "seeds", "test"])


def nemenyi_difference(algorithms: int, architectures: int) -> float:
    """Nemenyi's critical difference of two mean ranks (Demšar, section 3.2.2).

    Args:
        algorithms: how many are ranked.
        architectures: how many rankings.

    >>> round(nemenyi_difference(4, 14), 2)
    1.25
    """
    # Demšar divides the studentized range by sqrt(2); infinite degrees of freedom, since ranks have known variance.
    quantile = scipy.stats.studentized_range.ppf(1 - ALPHA, algorithms, np.inf) / np.sqrt(2)
    return float(quantile * np.sqrt(algorithms * (algorithms + 1) / (6 * architectures)))


def _friedman(means: Floats) -> float:
    # scipy requires three treatments; two are handled by the pairwise test.
    if means.shape[1] < 3:
        return float("nan")
    # If all are tied, the correction for ties would divide 0 by 0.
    if (means == means[:, :1]).all():
        return 1.0
    return float(scipy.stats.friedmanchisquare(*means.T).pvalue)


def _nemenyi(ranks: Floats, blocks: int, pairs: list[tuple[int, int]]) -> list[float]:
    # Standard error of a mean rank: variance k (k + 1) / 12 over the blocks.
    unit = np.sqrt(len(ranks) * (len(ranks) + 1) / (12 * blocks))
    far = np.array([abs(ranks[first] - ranks[second]) for first, second in pairs]) / unit
    return [float(value) for value in scipy.stats.studentized_range.sf(far, len(ranks), np.inf)]


def _wilcoxon_holm(means: Floats, pairs: list[tuple[int, int]]) -> list[float]:
    """Wilcoxon's signed-rank test of every pair, with Holm's correction; architectures on which both are equal are dropped."""
    raw = []
    for first, second in pairs:
        # Rounded; otherwise the last digits of sums would turn ties into differences.
        differences = (means[:, first] - means[:, second]).round(9)
        changed = differences[differences != 0]
        raw.append(float(scipy.stats.wilcoxon(changed).pvalue) if len(changed) else 1.0)
    return [float(value) for value in holm(np.array(raw))]
