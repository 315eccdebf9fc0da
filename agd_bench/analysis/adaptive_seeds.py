"""Adaptive seeds: which architectures get further seeds, as a function of the rows so far.

Seeds are given where the order of two architectures is still open. Every architecture gets the first few; then, at each interim look,
architectures in an open pair under any algorithm get more, for all algorithms, so every algorithm trains the same pairs of architecture
and seed. At a look with n seeds each, a pair under one algorithm is

- decided, if |difference of means| > t(family) · s / sqrt(n),
- close, if t(pair) · s / sqrt(n) is at most the rule's half-width: the difference is known accurately enough to leave the order open,
- open otherwise. A pair settled at one look is not reopened at later ones.

s² is the sum of both architectures' variances over seeds, each shrunk towards the mean variance (Smyth's moderated t). t(family) is the
two-sided quantile of Student's distribution at (1 − level) / (algorithms · pairs · looks), and t(pair) the one at (1 − level) / looks. The
probability of any wrong decision is at most 1 − level; `tests/performance/adaptive_seeds.py` measures it.

References:
    S. J. Pocock, Group sequential methods in the design and analysis of clinical trials, Biometrika, 1977 (equal levels at the looks).
    G. K. Smyth, Linear models and empirical Bayes methods for assessing differential expression in microarray experiments,
        Statistical Applications in Genetics and Molecular Biology, 2004 (section 6.2: prior degrees of freedom).
    R. E. Bechhofer, A single-sample multiple decision procedure for ranking means of normal populations with known variances,
        Annals of Mathematical Statistics, 1954 (a difference below which an order does not matter).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import pandas as pd
import scipy.special
import scipy.stats
from numpy.typing import NDArray

from agd_bench.analysis.inference import inverse_trigamma
from agd_bench.analysis.scores import GROUP, Floats, Scores, describe, paired_scores
from agd_bench.errors import InputError
from agd_bench.records import AdaptiveSeeds

# Never the test split, which must not affect any choice.
METRIC = "val_accuracy"
WAITING = ("pending", "running", "unneeded")
LEAST_VARIANCE = 1e-3
"""Lower bound of a variance as a share of the mean variance: equal accuracies of a few seeds do not prove that there is no noise."""
CHUNK = 4_000_000
"""Number of pairs processed together: all pairs of 15,625 architectures at once would not fit into memory."""

Bools = NDArray[np.bool_]
Counts = NDArray[np.int64]


def next_seeds(trials: pd.DataFrame, rule: AdaptiveSeeds) -> dict[str, int]:
    """Number of seeds that each architecture of a comparison group should have, given the results so far.

    Depends only on its arguments: it goes through the looks from the first one, and stops at one with unfinished trials or without open
    pairs. Rows beyond the requested seeds do not change the result.

    Args:
        trials: the planned trials of one search space, data set and profile, whether or not they have ended.
        rule: the rule of the sweep.

    Returns:
        Number of seeds (a prefix of the group's seeds, ascending) by architecture, in the order of the table. Architectures with the most
        seeds may still need more; the others do not.

    Raises:
        InputError: trials of several groups, or fewer planned seeds than the rule's `most`.

    >>> rows = [(a, s, v + s / 1000) for a, v in (("x", 0.5), ("y", 0.9), ("z", 0.902)) for s in (0, 1)]
    >>> rows += [(a, s, None) for a in "xyz" for s in (2, 3)]
    >>> trials = pd.DataFrame(rows, columns=["architecture", "seed", "val_accuracy"]).assign(
    ...     search_space="s", dataset="d", profile="p", algorithm="agd", purpose="final")
    >>> trials["status"] = np.where(trials["val_accuracy"].isna(), "pending", "done")
    >>> next_seeds(trials, AdaptiveSeeds(first=2, most=4, half_width=0.001))
    {'x': 2, 'y': 3, 'z': 3}
    """
    groups = list(paired_scores(trials, METRIC, every_seed=True))
    if len(groups) != 1:
        raise InputError(
            f"got trials of {len(groups)} comparison groups; pass the trials of one, because seeds are assigned within a group"
        )
    group = groups[0]
    if len(group.seeds) < rule.most:
        raise InputError(f"{' / '.join(group.group)}: {len(group.seeds)} seeds are planned, but adaptive seeds may need {rule.most}")
    counts = allot(group, reached_seeds(trials, group), rule)
    return dict(zip(group.architectures, counts.tolist(), strict=True))


def reached_seeds(trials: pd.DataFrame, group: Scores) -> Counts:
    """Number of consecutive seeds, from the first one, that each architecture has completed under all algorithms, (A,).

    Args:
        trials: the table of trials.
        group: one of its comparison groups, with every seed.
    """
    place = np.logical_and.reduce([trials[column] == value for column, value in describe(group.group).items()])
    final = trials[place & (trials["purpose"] == "final")]
    ended = (~final["status"].isin(WAITING)).groupby([final["architecture"], final["seed"]]).all().unstack(fill_value=False)
    # A seed that was never planned counts as not ended.
    ended = ended.reindex(index=list(group.architectures), columns=list(group.seeds), fill_value=False)
    # The cumulative product stops at the first seed that has not ended; later seeds do not count yet.
    return np.asarray(np.cumprod(ended.to_numpy(dtype=np.int64), axis=1).sum(axis=1), dtype=np.int64)


def allot(group: Scores, reached: Counts, rule: AdaptiveSeeds) -> Counts:
    """Number of seeds of each architecture, (A,), for `next_seeds`.

    Args:
        group: accuracies with every seed, (M, A, S).
        reached: number of seeds that each architecture has completed, (A,).
        rule: the rule of the sweep.
    """
    counts = np.full(len(group.architectures), rule.first, dtype=np.int64)
    for look, size in enumerate(rule.looks[:-1]):
        # An open pair was open at every earlier look, so both of its architectures have exactly this many seeds: each decision
        # is made at a size fixed in advance, so Bonferroni's correction over the looks bounds the error.
        active = counts == size
        # All or none: with only some of the trials, the order in which they end would affect the decision.
        if (reached[active] < size).any():
            break
        still_open = _in_open_pair(group, counts, rule, active)
        if not still_open.any():
            break
        counts[still_open] = rule.looks[look + 1]
    return counts


def _in_open_pair(group: Scores, sizes: Counts, rule: AdaptiveSeeds, active: Bools) -> Bools:
    """Whether each architecture is in an open pair of active architectures, (A,)."""
    found = np.zeros(len(group.architectures), dtype=bool)
    for position in range(len(group.algorithms)):
        # One open pair under one algorithm is enough, so skip architectures that already have one.
        for rows, columns, decided, close in judge(group, position, sizes, rule, active, active & ~found):
            is_open = ~decided & ~close & (rows[:, None] != columns[None, :])
            found[rows] |= is_open.any(axis=1)
            found[columns] |= is_open.any(axis=0)
    return found


def judge(
    group: Scores,
    position: int,
    sizes: Counts,
    rule: AdaptiveSeeds,
    active: Bools | None = None,
    asked: Bools | None = None,
) -> Iterator[tuple[Counts, Counts, Bools, Bools]]:
    """Decisions on all pairs of architectures under one algorithm, in blocks of rows of the matrix.

    Args:
        group: accuracies with every seed, (M, A, S).
        position: position of the algorithm.
        sizes: seeds of each architecture, (A,); architectures without seeds are left out.
        rule: the rule of the sweep.
        active: the architectures whose pairs are considered, (A,); None: all.
        asked: the active architectures to use as rows, (A,); None: all.

    Yields:
        Positions of the rows' architectures (R,) and of the columns' (C,); whether each pair is decided, and whether it is close, (R, C).
    """
    values = group.values[position]
    # Seeds before the first one that diverged or is missing.
    sound = np.cumprod(~(np.isnan(values) | group.diverged[position]), axis=1, dtype=np.int64).sum(axis=1)
    # A diverged architecture ranks last by definition and a missing one has no rank, so neither needs more seeds under this algorithm.
    ranked = (sizes >= rule.first) & (sound >= sizes)
    kept = np.flatnonzero(ranked if active is None else ranked & active)
    wanted = kept if asked is None else kept[asked[kept]]
    if len(kept) < 2:
        return
    been = [size for size in rule.looks if size <= sizes[kept].max()]
    looks = [_look(values, np.minimum(sizes, sound) >= size, size, _family(group), rule) for size in been]
    step = max(1, CHUNK // len(kept))
    for begin in range(0, len(wanted), step):
        rows = wanted[begin : begin + step]
        decided, close = np.zeros((2, len(rows), len(kept)), dtype=bool)
        # A pair is evaluated at the looks that both have reached, (R, C).
        smaller = np.minimum.outer(sizes[rows], sizes[kept])
        for size, look in zip(been, looks, strict=True):
            error = np.sqrt(look.squares[rows, None] + look.squares[None, kept])
            # Pairs settled at an earlier look stay settled; otherwise the levels of the looks would not add up.
            waiting = (smaller >= size) & ~decided & ~close
            decided |= waiting & (np.abs(look.means[rows, None] - look.means[None, kept]) > look.family * error)
            close |= waiting & ~decided & (look.pair * error <= rule.half_width)
        yield rows, kept, decided, close


class _Look(NamedTuple):
    """Statistics at one look: means and their squared standard errors, (A,), NaN where not reached, and the two quantiles."""

    means: Floats
    squares: Floats
    family: float
    pair: float


def _look(values: Floats, there: Bools, size: int, family: float, rule: AdaptiveSeeds) -> _Look:
    """The look with `size` seeds, from all architectures that have reached it, so it is the same whenever it is computed."""
    means, squares = np.full((2, len(values)), np.nan)
    if not there.any():
        return _Look(means, squares, np.nan, np.nan)
    seen = values[there, :size]
    # Two to eight seeds give a poor estimate of one variance, and a pooled variance would be too small for noisy architectures.
    variances, freedom = moderate(seen.var(axis=1, ddof=1), size - 1)
    means[there], squares[there] = seen.mean(axis=1), variances / size
    # Equal levels at the looks (Pocock), two-sided.
    wrong = (1 - rule.level) / len(rule.looks) / 2
    return _Look(means, squares, float(scipy.stats.t.isf(wrong / family, freedom)), float(scipy.stats.t.isf(wrong, freedom)))


def _family(group: Scores) -> float:
    """Number of decisions at one look: pairs of all planned architectures, under all algorithms."""
    count = len(group.architectures)
    # All planned pairs, not only the open ones, because the family must not depend on the results.
    return max(1.0, len(group.algorithms) * count * (count - 1) / 2)


def moderate(variances: Floats, freedom: int) -> tuple[Floats, float]:
    """Shrink variances towards their mean according to their similarity, and return the resulting degrees of freedom.

    If the variances follow a scaled inverse chi-squared distribution with d degrees of freedom, their logarithms have the variance
    trigamma(freedom / 2) + trigamma(d / 2), which is solved for d.

    Args:
        variances: variance of each architecture over seeds, (A,), A at least 1.
        freedom: degrees of freedom of each variance.

    Returns:
        The moderated variances, (A,), and `freedom` + d; with one architecture d is 0.

    >>> alike, freedom = moderate(np.array([1.0, 1.2, 0.8, 1.1, 0.9] * 40), 7)
    >>> alike.round(2)[:3].tolist(), freedom > 30
    ([1.0, 1.02, 0.98], True)
    """
    mean = float(variances.mean())
    if len(variances) < 2 or mean == 0:
        return variances, float(freedom)
    # Without the lower bound, the logarithm of a zero variance would make all variances look dissimilar.
    logs = np.log(np.maximum(variances, LEAST_VARIANCE * mean))
    # Variance and fourth cumulant of the logarithm of a chi-squared variable: trigamma and its second derivative.
    by_chance, fourth = (float(scipy.special.polygamma(order, freedom / 2)) for order in (1, 3))
    # Standard error of a sample variance from the fourth cumulant.
    error = np.sqrt((fourth + 2 * by_chance**2) / len(logs))
    # Add one standard error to the variation, which gives a smaller d and thus rather too little shrinkage than too much.
    prior = 2 * inverse_trigamma(max(float(logs.var(ddof=1)) - by_chance, 0.0) + error)
    return (prior * mean + freedom * variances) / (prior + freedom), prior + freedom


def order_decisions(trials: pd.DataFrame, rule: AdaptiveSeeds) -> pd.DataFrame:
    """Decisions of adaptive seeds, and the number of seeds used.

    Args:
        trials: the table of trials of an adaptive sweep.
        rule: the rule of the sweep.

    Returns:
        One row per group and algorithm: `search_space`, `dataset`, `profile`, `algorithm`; `pairs` (of architectures that are neither
        diverged nor missing), of them `decided` (the order is known; all such orders of a group are correct with probability `level`),
        `close` (known to differ by less than twice the half-width) and `undecided`; `seeds_mean`, `seeds_most` (completed seeds per
        architecture); `unneeded` (planned final trials that were not trained).

    Raises:
        InputError: fewer planned seeds than the rule's `most`.
    """
    rows: list[dict[str, object]] = []
    for group in paired_scores(trials, METRIC, every_seed=True):
        if len(group.seeds) < rule.most:
            raise InputError(f"{' / '.join(group.group)}: {len(group.seeds)} seeds are planned, but adaptive seeds may need {rule.most}")
        reached = reached_seeds(trials, group)
        # The last look completed by each architecture; 0 before the first.
        sizes = np.array([max((size for size in rule.looks if size <= count), default=0) for count in reached], dtype=np.int64)
        place = np.logical_and.reduce([trials[column] == value for column, value in describe(group.group).items()])
        for position, algorithm in enumerate(group.algorithms):
            pairs, decided, close = _tally(group, position, sizes, rule)
            row: dict[str, object] = {**describe(group.group), "algorithm": algorithm, "pairs": pairs, "decided": decided}
            row |= {"close": close, "undecided": pairs - decided - close, "seeds_mean": reached.mean(), "seeds_most": int(reached.max())}
            own = trials[place & (trials["algorithm"] == algorithm)]
            rows.append(row | {"unneeded": int((own["status"] == "unneeded").sum())})
    columns = ["algorithm", "pairs", "decided", "close", "undecided", "seeds_mean", "seeds_most", "unneeded"]
    return pd.DataFrame(rows, columns=[*GROUP, *columns])


def _tally(group: Scores, position: int, sizes: Counts, rule: AdaptiveSeeds) -> tuple[int, int, int]:
    """Numbers of pairs, decided pairs and close pairs under one algorithm."""
    pairs = decided = close = 0
    for rows, columns, is_decided, is_close in judge(group, position, sizes, rule):
        # The matrix contains each pair twice, and the diagonal.
        once = rows[:, None] < columns[None, :]
        pairs += int(once.sum())
        decided += int((is_decided & once).sum())
        close += int((is_close & once).sum())
    return pairs, decided, close
