"""Agreement of rankings, and the noise ceiling: the agreement to be expected with seed noise alone.

With S seeds, rankings are compared at h = floor(S / 2) seeds, over pairs of disjoint halves (F, G) of the seeds:

- `kendall_tau` of algorithms a and b: the mean over (F, G) of tau-b(a's means over F, b's means over G);
- the ceiling of a alone: the same with b = a, that is, how well a's ranking agrees with itself if only the seeds change;
- the ceiling of a pair: the expected `kendall_tau` if the two true rankings were equal.

The last one follows from the covariances of scores over disjoint seeds:

    gap = slope (tau(r) - tau(r0)),    tau(r) = 2 / pi arcsin(r),

with r the correlation between the two over disjoint seeds, r0 the one without what a shift takes from it (`null_test.Interaction`; for
true scores on a straight line it is the geometric mean of both own correlations), Greiner's relation tau(r), and a slope which is the
ratio of the observed agreements to those that the relation gives. The ceiling is tau less the gap. With one seed there is no ceiling:
it is missing, never 1. Scores are normal scores or accuracies (`null_test.score_scales`): the gap is that of the scale on which it is
smaller, since either scale alone may show a gap where there is none.

`gap_low` to `gap_high` says how far the gap may be off: it holds the intervals of both scales, by a jackknife over architectures; other
intervals by a bootstrap that draws them. What is not in the intervals is an effect of a seed on many architectures at once.
`shift_p` tests that there is no shift at all. `tests/performance/README.md` has sizes, powers and coverages.

References:
    C. Spearman, The proof and measurement of association between two things, American Journal of Psychology, 1904.
    M. G. Kendall, The treatment of ties in ranking problems, Biometrika, 1945 (tau-b).
    W. H. Kruskal, Ordinal measures of association, Journal of the American Statistical Association, 1958 (Greiner's relation).
    R. G. Miller, The jackknife: a review, Biometrika, 1974.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pandas as pd
import scipy.stats
from numpy.typing import NDArray

from agd_bench.analysis.bootstrap import FEWEST_FOR_INTERVAL, integer_weights
from agd_bench.analysis.rankings.kernels import orders, taus
from agd_bench.analysis.rankings.null_test import Interaction, score_scales
from agd_bench.analysis.rankings.reliability import covariances, true_correlations
from agd_bench.analysis.rankings.seed_splits import compared_seeds, halves, means_over, subset_size
from agd_bench.analysis.scores import GROUP, Floats, Scores, describe, paired_scores

LEVELS = (0.025, 0.975)
SplitOf = tuple[tuple[int, ...], tuple[int, ...], NDArray[np.intp] | None]
"""Seeds of either half, and the compared architectures (None: all), as of `seed_splits.halves`."""
TIE_Z = 1.96
"""Differences of accuracy up to this many standard errors of a difference count as ties by noise."""

_COLUMNS = ["algorithm", "other", "subset", "architectures", "seeds", "seeds_compared", "kendall_tau", "noise_ceiling"]
_GAP = ["gap", "gap_low", "gap_high", "shift_p", "shift_p_one_scale"]
_BESIDES = [
    "spearman",
    "spearman_ceiling",
    "kendall_tau_noise_ties",
    "noise_ties_ceiling",
    "corrected_tau",
    "corrected_low",
    "corrected_high",
]


def kendall_tau(
    trials: pd.DataFrame,
    metric: str = "test_accuracy",
    resamples: int = 1000,
    seed: int = 0,
    subset: str = "all",
    flips: int | None = None,
) -> pd.DataFrame:
    """Kendall's tau-b between the rankings of every two algorithms, with noise ceiling, interval and test.

    Args:
        trials: the table of trials.
        metric: the accuracy to use.
        resamples: bootstrap resamples; 0: no intervals and no test.
        seed: seed of the resampling.
        subset: `all` architectures, or the `top-decile` by seeds that are not compared (see `seed_splits`; from three seeds on).
        flips: draws of signs behind the test; default: as many as resamples.

    Returns:
        One row per group and unordered pair of algorithms, including each with itself: `search_space`, `dataset`, `profile`,
        `algorithm`, `other`, `subset`; `architectures` (compared ones, of those with an outcome for every seed under both); `seeds` (S);
        `seeds_compared` (h); `kendall_tau` in [-1, 1] (of a pair with itself: the ceiling); `noise_ceiling` in [-1, 1];
        `gap` (kendall_tau − noise_ceiling; negative: the rankings differ more than seed noise explains) with `gap_low`, `gap_high`
        (95 % interval, not corrected for the number of pairs); `shift_p` (p-value of 'no shift beyond noise', one-sided, not corrected
        either), `shift_p_one_scale` (the same, on the one of two scales that shows more, see `null_test`);
        `spearman` and `spearman_ceiling` (Spearman's rank correlation, alike); `kendall_tau_noise_ties` and
        `noise_ties_ceiling` (tau-b where architectures whose accuracies differ by no more than `TIE_Z` standard errors of a difference,
        from the pooled SD over seeds, count as tied); `corrected_tau` with `corrected_low`, `corrected_high` (tau of the true, noise-free
        rankings, see `reliability`; 95 % interval).
        NaN where missing: one seed (two for the top decile), fewer than 2 architectures, all tied, or (intervals, test) fewer than 8
        architectures.

    Raises:
        UnknownNameError: another metric or subset.

    >>> rows = [(a, s, g, v) for g in ("agd", "sgd") for s in (0, 1) for a, v in (("x", 0.5), ("y", 0.7), ("z", 0.9))]
    >>> trials = pd.DataFrame(rows, columns=["architecture", "seed", "algorithm", "test_accuracy"]).assign(
    ...     search_space="s", dataset="d", profile="p", purpose="final", status="done")
    >>> kendall_tau(trials)[["algorithm", "other", "kendall_tau", "noise_ceiling"]].round(6).values.tolist()
    [['agd', 'agd', 1.0, 1.0], ['agd', 'sgd', 1.0, 1.0], ['sgd', 'sgd', 1.0, 1.0]]
    """
    # Raises for an unknown subset even if there is no group to compare.
    subset_size(0, subset)
    rows: list[dict[str, object]] = []
    for group in paired_scores(trials, metric):
        found: dict[tuple[int, int], dict[str, object]] = {}
        for kept, pairs in shared_architectures(group):
            used = sorted({position for pair in pairs for position in pair})
            values, diverged = group.values[used][:, kept], group.diverged[used][:, kept]
            # A fresh generator of the same seed: a group's numbers do not depend on which other groups are in the table.
            outcome = compare(values, diverged, resamples, np.random.default_rng(seed), subset, flips)
            for first, second in pairs:
                row: dict[str, object] = {**describe(group.group), "algorithm": group.algorithms[first]}
                row |= {"other": group.algorithms[second], "subset": subset, "architectures": outcome.size, "seeds": len(group.seeds)}
                found[first, second] = row | outcome.of(used.index(first), used.index(second))
        rows += [found[pair] for pair in sorted(found)]
    return pd.DataFrame(rows, columns=[*GROUP, *_COLUMNS, *_GAP, *_BESIDES])


def shared_architectures(group: Scores) -> list[tuple[NDArray[np.bool_], list[tuple[int, int]]]]:
    """Pairs of algorithms, grouped by common architectures, so one bootstrap serves all pairs of a group.

    Returns:
        The architectures with an outcome for every seed under both, (A,), and the pairs of positions, including each with itself.
    """
    complete = group.complete()
    found: dict[bytes, tuple[NDArray[np.bool_], list[tuple[int, int]]]] = {}
    for first in range(len(group.algorithms)):
        for second in range(first, len(group.algorithms)):
            kept = complete[first] & complete[second]
            found.setdefault(kept.tobytes(), (kept, []))[1].append((first, second))
    return list(found.values())


@dataclass(frozen=True)
class Agreement:
    """Agreements of M algorithms' rankings; every array is (M, M) and symmetric, NaN where missing.

    Attributes:
        size: number of architectures compared.
        seeds_compared: h.
        tau, spearman, noise_tied: agreements; the diagonal holds each algorithm's agreement with itself, NaN with one seed.
        tau_ceiling, spearman_ceiling, noise_tied_ceiling: their expected values if all true rankings were equal.
        gap_low, gap_high: 95 % interval of tau − tau_ceiling.
        shift_p, shift_p_one_scale: p-values of 'no shift beyond noise', see `null_test`.
        corrected: tau of the true rankings, with `corrected_low`, `corrected_high`.
    """

    size: int
    seeds_compared: int
    tau: Floats
    spearman: Floats
    noise_tied: Floats
    tau_ceiling: Floats
    spearman_ceiling: Floats
    noise_tied_ceiling: Floats
    corrected: Floats
    gap_low: Floats
    gap_high: Floats
    shift_p: Floats
    shift_p_one_scale: Floats
    corrected_low: Floats
    corrected_high: Floats

    def of(self, a: int, b: int) -> dict[str, object]:
        """Columns of the pair's row, from `seeds_compared` on."""
        row: dict[str, object] = {"seeds_compared": self.seeds_compared, "kendall_tau": self.tau[a, b]}
        row |= {"noise_ceiling": self.tau_ceiling[a, b], "spearman": self.spearman[a, b]}
        row |= {"spearman_ceiling": self.spearman_ceiling[a, b], "kendall_tau_noise_ties": self.noise_tied[a, b]}
        row |= {"noise_ties_ceiling": self.noise_tied_ceiling[a, b]}
        if a == b:
            return row
        row |= {"gap": self.tau[a, b] - self.tau_ceiling[a, b], "gap_low": self.gap_low[a, b], "gap_high": self.gap_high[a, b]}
        row |= {"shift_p": self.shift_p[a, b], "shift_p_one_scale": self.shift_p_one_scale[a, b], "corrected_tau": self.corrected[a, b]}
        return row | {"corrected_low": self.corrected_low[a, b], "corrected_high": self.corrected_high[a, b]}


def compare(
    values: Floats,
    diverged: NDArray[np.bool_],
    resamples: int,
    rng: np.random.Generator,
    subset: str = "all",
    flips: int | None = None,
) -> Agreement:
    """Compute all agreements between algorithms with an outcome for every architecture and seed.

    Args:
        values: accuracies in [0, 1], (M, n, S), without missing values; 0 where diverged.
        diverged: whether each trial diverged, (M, n, S).
        resamples: bootstrap resamples; 0: no intervals and no test.
        rng: draws them, and the signs of the test.
        subset: `all` or `top-decile`.
        flips: draws of signs behind the test; default: as many as resamples.
    """
    algorithms, count, seeds = values.shape
    size = subset_size(count, subset)
    # Shared by all fields; safe, because results are replaced, never modified in place.
    nothing = np.full((algorithms, algorithms), np.nan)
    result = Agreement(size, max(1, compared_seeds(seeds, subset)), *(13 * [nothing]))
    if size < 2:
        return result
    if compared_seeds(seeds, subset) == 0:
        # A top decile must be selected with separate seeds; otherwise it would be selected by the noise of the compared ones.
        if subset != "all":
            return result
        tau, spearman = _at_one_seed(values, diverged)
        return dataclasses.replace(result, tau=tau, spearman=spearman)
    # Row 0 of the weights holds every architecture once (the estimate itself); the resamples follow.
    draws = resamples if size >= FEWEST_FOR_INTERVAL else 0
    weights = integer_weights(count, draws, rng)
    scales = score_scales(values, diverged)
    splits = list(halves(values, diverged, subset, size))
    tau, spearman, noise_tied = _agreements(values, diverged, splits)
    between, own = (np.array(each) for each in zip(*(_resampled(scores, splits, weights) for scores in scales), strict=True))
    interaction = Interaction(values, diverged, subset)
    ceilings = [_Ceiling(*_correlations(*each)) for each in zip(between[:, 0], own, interaction.variance, strict=True)]
    gaps = np.array([ceiling.gaps(tau, _tau_of) for ceiling in ceilings])
    nearer = np.abs(gaps).argmin(axis=0)

    def of_scale(each: list[Floats] | Floats) -> Floats:
        """What the scale of the smaller gap says of each pair, of (2, ..., M, M)."""
        return np.where(nearer == 0, each[0], each[1])

    # (1 + R, M, M).
    correlations = of_scale(np.array([true_correlations(each) for each in between]))
    result = dataclasses.replace(
        result,
        tau=tau,
        tau_ceiling=of_scale([ceiling.of(tau, _tau_of) for ceiling in ceilings]),
        spearman=spearman,
        spearman_ceiling=of_scale([ceiling.of(spearman, _spearman_of) for ceiling in ceilings]),
        noise_tied=noise_tied,
        noise_tied_ceiling=of_scale([ceiling.of(noise_tied, _tau_of) for ceiling in ceilings]),
        corrected=_tau_of(correlations[0]),
    )
    if draws == 0:
        return result
    left_out = [_Ceiling(*_correlations(*_left_out(*each, splits))) for each in zip(scales, interaction.left_out(), strict=True)]
    # An architecture is left out with all its seeds: their noise is independent between architectures, so no seeds need drawing.
    reach = np.array(
        [
            ceiling.slope(tau, _tau_of) * _reach(without.difference(_tau_of), ceiling.difference(_tau_of), size)
            for ceiling, without in zip(ceilings, left_out, strict=True)
        ]
    )
    low, high = (gaps - reach).min(axis=0), (gaps + reach).max(axis=0)
    true_low, true_high = (_tau_of(end) for end in _percentile_interval(correlations, size))
    result = dataclasses.replace(result, gap_low=low, gap_high=high, corrected_low=true_low, corrected_high=true_high)
    p, p_one_scale = interaction.p_values(flips or draws, rng)
    return dataclasses.replace(result, shift_p=p, shift_p_one_scale=p_one_scale)


@dataclass(frozen=True)
class _Ceiling:
    """Correlations between means over disjoint seeds, as observed and as equal true rankings would have them, (..., M, M) each."""

    observed: Floats
    null: Floats

    def difference(self, link: Callable[[Floats], Floats]) -> Floats:
        """Agreement beyond that of equal true rankings, as a relation gives it."""
        return np.asarray(link(self.observed) - link(self.null), dtype=np.float64)

    def gaps(self, agreements: Floats, link: Callable[[Floats], Floats]) -> Floats:
        """The same, on the scale of the agreements, (M, M); at least what a ceiling of 1 leaves."""
        return np.asarray(np.maximum(self.slope(agreements, link) * self.difference(link), agreements - 1), dtype=np.float64)

    def slope(self, agreements: Floats, link: Callable[[Floats], Floats]) -> Floats:
        """Ratio of the agreements of each pair, mutual and with themselves, to those from a relation, (M, M)."""
        # Includes both agreements with themselves, because a ratio of the pair's tau alone would be unstable near 0.
        seen, given = (each + each.diagonal()[:, None] + each.diagonal()[None, :] for each in (agreements, link(self.observed)))
        # Differs from 1 with ties or uneven noise; if the sum is near 0, the ratio is undetermined and set to 1.
        return np.asarray(np.where(given > 0.1, np.clip(seen / np.maximum(given, 0.1), 0.0, 2.0), 1.0), dtype=np.float64)

    def of(self, agreements: Floats, link: Callable[[Floats], Floats]) -> Floats:
        """Agreements less their gaps, at most 1; of an algorithm with itself there is no gap."""
        ceiling = agreements - self.gaps(agreements, link)
        # Exactly, not up to rounding: an algorithm's agreement with itself is its own ceiling.
        np.fill_diagonal(ceiling, agreements.diagonal())
        return np.asarray(ceiling, dtype=np.float64)


def _correlations(between: Floats, own: Floats, interaction: Floats) -> tuple[Floats, Floats]:
    """Correlations between means over disjoint seeds, as observed and as equal true rankings would have them, (..., M, M) each.

    Args:
        between: covariances between disjoint seeds, (..., M, M).
        own: variances of the means, (..., M).
        interaction: what a shift takes from the covariances, (..., M, M).
    """
    spread = np.sqrt(own[..., :, None] * own[..., None, :])
    with np.errstate(divide="ignore", invalid="ignore"):  # all tied: there is no correlation, and it reads as missing
        # Equal true rankings cannot disagree, whatever noise makes of few architectures.
        return between / spread, np.maximum(between + interaction, 0.0) / spread


def _tau_of(correlation: Floats) -> Floats:
    """Greiner's relation; a correlation above 1, possible with noise, counts as 1."""
    return np.asarray(2 / np.pi * np.arcsin(np.clip(correlation, -1, 1)), dtype=np.float64)


def _spearman_of(correlation: Floats) -> Floats:
    """Spearman's coefficient of normal variables with the given correlation."""
    return np.asarray(6 / np.pi * np.arcsin(np.clip(correlation, -1, 1) / 2), dtype=np.float64)


def _resampled(scores: Floats, splits: list[SplitOf], weights: NDArray[np.int32]) -> tuple[Floats, Floats]:
    """Covariances of scores between disjoint seeds, (R, M, M), and the variances of their means, (M,), over the splits."""
    between, own = np.zeros((len(weights), len(scores), len(scores))), np.zeros(len(scores))
    for first, second, chosen in splits:
        held = weights if chosen is None else np.ascontiguousarray(weights[:, chosen])
        one, two = (means_over(scores, None, half, chosen) for half in (first, second))
        between += covariances(one, two, held) / len(splits)
        own += (one.var(axis=1) + two.var(axis=1)) / (2 * len(splits))
    return between, own


def _left_out(scores: Floats, interaction: Floats, splits: list[SplitOf]) -> tuple[Floats, Floats, Floats]:
    """What `_resampled` gives, without each of the architectures, (n, M, M) and (n, M), with the interaction without them."""
    between = np.zeros((scores.shape[1], len(scores), len(scores)))
    own = np.zeros((scores.shape[1], len(scores)))
    for first, second, chosen in splits:
        one, two = (means_over(scores, None, half, chosen) for half in (first, second))
        size = one.shape[1]
        # Centred once, so that leaving one out is a rank-one update: O(n) in all instead of O(n²).
        one, two = (each - each.mean(axis=1, keepdims=True) for each in (one, two))
        cross = (one.T[:, :, None] * two.T[:, None, :] + two.T[:, :, None] * one.T[:, None, :]) / 2
        for total, products in ((between, cross), (own, (one.T**2 + two.T**2) / 2)):
            total += products.mean(axis=0) / len(splits)
            # Leaving one out also moves the mean of the others, hence n / (n - 1).
            change = (products.mean(axis=0) - size / (size - 1) * products) / (size - 1)
            total[slice(None) if chosen is None else chosen] += change / len(splits)
    return between, own, interaction


def _agreements(values: Floats, diverged: NDArray[np.bool_], splits: list[SplitOf]) -> tuple[Floats, Floats, Floats]:
    """Tau-b, Spearman's coefficient, and tau-b with ties by noise: means over the splits, (M, M) each."""
    algorithms = len(values)
    # Rankings 0..M−1 are over the first half of the seeds, M..2M−1 over the second.
    pairs = np.array([(a, algorithms + b) for a in range(algorithms) for b in range(algorithms)])
    found = []
    for first, second, chosen in splits:
        both = np.concatenate([means_over(values, diverged, half, chosen) for half in (first, second)])
        once = np.ones((1, both.shape[1]), dtype=np.int32)
        # A difference between two means over h seeds has the variance 2 σ² / h.
        widths = np.tile(TIE_Z * np.sqrt(2 / len(first)) * seed_deviation(values, diverged), 2)
        plain, tied = (taus(orders(both, each), pairs, once).reshape(algorithms, algorithms) for each in (None, widths))
        found.append([(each + each.T) / 2 for each in (plain, _spearman(both)[:algorithms, algorithms:], tied)])
    tau, spearman, noise_tied = np.mean(found, axis=0)
    return tau, spearman, noise_tied


def seed_deviation(values: Floats, diverged: NDArray[np.bool_]) -> Floats:
    """Standard deviation over the seeds of one architecture, pooled over architectures without a diverged seed; (M,), 0 if none."""
    # A diverged seed counts as 0 and would inflate the pooled deviation.
    calm = ~diverged.any(axis=2)
    variances = np.where(calm, values.var(axis=2, ddof=1), 0.0).sum(axis=1)
    return np.asarray(np.sqrt(variances / np.maximum(calm.sum(axis=1), 1)), dtype=np.float64)


def _spearman(means: Floats) -> Floats:
    ranks = scipy.stats.rankdata(means, axis=1)
    with np.errstate(divide="ignore", invalid="ignore"):  # all tied: the coefficient is undefined and becomes missing
        return np.asarray(np.corrcoef(ranks), dtype=np.float64)


def _at_one_seed(values: Floats, diverged: NDArray[np.bool_]) -> tuple[Floats, Floats]:
    """Tau-b and Spearman's coefficient for one seed: agreements between algorithms, but not of an algorithm with itself."""
    means = means_over(values, diverged, (0,))
    pairs = np.array(list(np.ndindex(len(means), len(means))))
    tau = taus(orders(means), pairs, np.ones((1, means.shape[1]), dtype=np.int32)).reshape(len(means), len(means))
    spearman = np.atleast_2d(_spearman(means))
    # With itself at the same seed it would agree perfectly, which is not informative about noise.
    own = np.eye(len(means), dtype=bool)
    return np.where(own, np.nan, tau), np.where(own, np.nan, spearman)


def _reach(left_out: Floats, estimate: Floats, size: int) -> Floats:
    """Half the width of a 95 % jackknife interval.

    Args:
        left_out: estimates without each architecture, (n, M, M).
        estimate: with all of them, (M, M).
        size: number of architectures for which leaving one out can make a difference.
    """
    # Miller 1974; the sum over all n has zero terms for architectures selected by no split.
    error = np.sqrt((size - 1) / size * ((left_out - estimate) ** 2).sum(axis=0))
    return np.asarray(scipy.stats.t.ppf(LEVELS[1], size - 1) * error, dtype=np.float64)


def _percentile_interval(drawn: Floats, size: int) -> tuple[Floats, Floats]:
    """95 % interval between quantiles of the resamples, with their distance from the median widened; (M, M) each."""
    kept = _enough(drawn[1:])
    low, middle, high = _quantiles(kept, (LEVELS[0], 0.5, LEVELS[1]))
    return middle + (low - middle) * _widening(size), middle + (high - middle) * _widening(size)


def _widening(size: int) -> float:
    """Correction of a bootstrap over few architectures: a variance with n − 1, and Student's quantile instead of the normal one."""
    return float(np.sqrt(size / (size - 1)) * scipy.stats.t.ppf(LEVELS[1], size - 1) / scipy.stats.norm.ppf(LEVELS[1]))


def _quantiles(drawn: Floats, levels: tuple[float, ...] = LEVELS) -> Floats:
    """Quantiles over the resamples that have a value, (levels, M, M); NaN for a pair without any."""
    some = np.isfinite(drawn).any(axis=0)
    return np.where(some, np.nanquantile(np.where(some, drawn, 0.0), levels, axis=0), np.nan)


def _enough(drawn: Floats) -> Floats:
    """The resamples, with pairs set to NaN that have a value in fewer than 95 % of them and thus no interval."""
    return np.where(np.isfinite(drawn).mean(axis=0) >= 0.95, drawn, np.nan)
