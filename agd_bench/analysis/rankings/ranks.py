"""Ranks of architectures (1 = best) and their shifts between two algorithms."""

from __future__ import annotations

import numpy as np
import pandas as pd
import scipy.stats
from numpy.typing import NDArray

from agd_bench.analysis.inference import ALPHA
from agd_bench.analysis.rankings.displacement import moves
from agd_bench.analysis.scores import GROUP, Floats, Scores, describe, paired_scores, seed_splits


def rank_best_first(accuracies: Floats) -> Floats:
    """Ranks along the last axis, 1 = highest accuracy; ties share their mean rank; values must not be missing.

    >>> rank_best_first(np.array([0.9, 0.0, 0.7, 0.0])).tolist()
    [1.0, 3.5, 2.0, 3.5]
    """
    return np.asarray(scipy.stats.rankdata(-accuracies, axis=-1), dtype=np.float64)


def rank_architectures(trials: pd.DataFrame, metric: str = "test_accuracy") -> pd.DataFrame:
    """Rank of every architecture under every algorithm.

    An algorithm ranks the architectures with an outcome for every seed; the others are left out. An architecture with a diverged seed ranks
    last, tied with all other such architectures; ties share their mean rank.

    Args:
        trials: the table of trials.
        metric: which accuracy.

    Returns:
        One row per group, algorithm and architecture: `search_space`, `dataset`, `profile`, `algorithm`, `architecture`;
        `accuracy` (mean over seeds in [0, 1], rounded to 1e-9; 0 where a seed diverged); `rank` (1 = best);
        `ranked` (how many architectures the rank is among).

    >>> rows = [("a", 0.5, "done"), ("b", 0.7, "done"), ("c", None, "diverged"), ("d", None, "refused")]
    >>> trials = pd.DataFrame(rows, columns=["architecture", "test_accuracy", "status"]).assign(
    ...     search_space="s", dataset="d", profile="p", algorithm="agd", purpose="final", seed=0)
    >>> rank_architectures(trials)[["architecture", "rank"]].values.tolist()
    [['a', 2.0], ['b', 1.0], ['c', 3.0]]
    """
    tables = [_ranks_of(group) for group in paired_scores(trials, metric, every_seed=True)]
    columns = [*GROUP, "algorithm", "architecture", "accuracy", "rank", "ranked"]
    return pd.concat(tables, ignore_index=True) if tables else pd.DataFrame(columns=columns)


def _ranks_of(group: Scores) -> pd.DataFrame:
    means = group.means()
    names = np.array(group.architectures, dtype=object)
    parts = []
    for position, algorithm in enumerate(group.algorithms):
        kept = ~np.isnan(means[position])
        accuracy = means[position, kept]
        columns = {"algorithm": algorithm, "architecture": names[kept], "accuracy": accuracy, "rank": rank_best_first(accuracy)}
        parts.append(pd.DataFrame({**describe(group.group), **columns, "ranked": int(kept.sum())}))
    return pd.concat(parts, ignore_index=True)


def rank_shift(trials: pd.DataFrame, baseline: str, challenger: str, metric: str = "test_accuracy", seed: int = 0) -> pd.DataFrame:
    """Rank shift of every architecture if the challenger trains it instead of the baseline.

    Both rankings are over the architectures with an outcome for all seeds under both algorithms.

    Args:
        trials: the table of trials.
        baseline: label of the algorithm to compare with.
        challenger: label of the other.
        metric: which accuracy.
        seed: seed of the simulated worlds without a shift, see `displacement`.

    Returns:
        One row per group and architecture: `search_space`, `dataset`, `profile`, `architecture`; `baseline_rank`, `challenger_rank`;
        `rank_shift` (challenger − baseline; positive: ranked worse by the challenger); `baseline_accuracy`, `challenger_accuracy`
        (means over seeds, 0 where one diverged); `noise_sd` (standard deviation that seed noise alone would give the shift, see
        `rank_noise`; the same for all architectures of a group; NaN with one seed); `seeds`;
        `mean_shift` (mean over seeds of the shift between the rankings of single seeds) with `shift_se` (its standard error) and
        `shift_expected` (what it would be if the true rankings were equal); `same_sign_share` (share of the splits into disjoint halves
        of the seeds, both ways, in which the shift has the sign of `mean_shift`); `shift_p` (two-sided p-value of 'does not move beyond
        noise'), `shift_p_holm` (corrected for all architectures of the group) and `beyond_noise` (whether that is at most 0.05).
        NaN, and not beyond noise, where missing: one seed, or (all but `mean_shift` and `same_sign_share`) fewer than 8 architectures.

    Raises:
        UnknownNameError: a label that a group does not hold.
    """
    columns = ["architecture", "baseline_rank", "challenger_rank", "rank_shift", "baseline_accuracy", "challenger_accuracy"]
    moved = ["mean_shift", "shift_se", "shift_expected", "same_sign_share", "shift_p", "shift_p_holm"]
    tables = []
    for group in paired_scores(trials, metric):
        pair = [group.position(baseline), group.position(challenger)]
        # Ranks are only comparable among the same architectures, because an additional one would shift the others.
        kept = np.asarray(group.complete()[pair].all(axis=0))
        means = group.means()[pair][:, kept]
        placed = rank_best_first(means)
        names = np.array(group.architectures, dtype=object)[kept]
        values = (names, placed[0], placed[1], placed[1] - placed[0], means[0], means[1])
        table = pd.DataFrame({**describe(group.group), **dict(zip(columns, values, strict=True))})
        table = table.assign(noise_sd=rank_noise(group, pair, kept), seeds=len(group.seeds))
        found = moves(group.values[pair][:, kept], group.diverged[pair][:, kept], np.random.default_rng(seed))
        told = (found.mean_shift, found.shift_se, found.shift_expected, found.same_sign, found.p, found.p_holm)
        table = table.assign(**dict(zip(moved, told, strict=True)), beyond_noise=found.p_holm <= ALPHA)
        tables.append(table)
    every = [*GROUP, *columns, "noise_sd", "seeds", *moved, "beyond_noise"]
    return pd.concat(tables, ignore_index=True) if tables else pd.DataFrame(columns=every)


def rank_noise(group: Scores, pair: list[int], kept: NDArray[np.bool_]) -> float:
    """Standard deviation of the rank shift from seed noise alone.

    Each algorithm's ranking is compared with itself over disjoint halves of the seeds, and the variance is extrapolated to all S seeds.

    Args:
        group: the accuracies.
        pair: positions of the two algorithms.
        kept: the architectures to rank, (A,).

    Returns:
        Ranks; NaN with one seed or no architectures.
    """
    splits = seed_splits(len(group.seeds))
    if not splits or not kept.any():
        return float("nan")
    squares = []
    # The second half of the splits mirrors the first.
    for first, second in splits[: len(splits) // 2]:
        shift = rank_best_first(group.means(first)[pair][:, kept]) - rank_best_first(group.means(second)[pair][:, kept])
        # Averaged over both algorithms: the variance of a shift between two equal true rankings at h = floor(S / 2) seeds.
        squares.append(float((shift**2).mean()))
    # h / S: the noise variance of a mean is proportional to 1 / seeds; for ranks this holds to first order in the noise.
    return float(np.sqrt(np.mean(squares) * (len(group.seeds) // 2) / len(group.seeds)))
