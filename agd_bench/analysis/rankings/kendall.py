"""Agreement of rankings, beside the agreement of a ranking with itself over seeds: the noise ceiling.

With S seeds, everything is compared at h = floor(S / 2) seeds, over pairs of disjoint halves (F, G) of the seeds:

- `kendall_tau` of algorithms a and b: the mean over (F, G) of tau-b(a's means over F, b's means over G);
- the ceiling of a: the same with b = a, that is, how well a's ranking agrees with itself when only the seeds change.

The two are thus at equal numbers of seeds, never share a seed, and can be subtracted. If a and b rank the architectures equally
but for seed noise, `kendall_tau` equals the pair's `noise_ceiling`, which for algorithms of unequal noise follows from
Spearman's correction for attenuation, rho_ab = sqrt(rho_aa rho_bb), carried to tau by Greiner's relation rho = sin(pi tau / 2).
With one seed there is no ceiling: it is missing, never 1.

Whether a gap can be noise is asked twice. `gap_low` to `gap_high` says how far it may be off, by a bootstrap over architectures.
`shift_p` tests that there is no shift at all, against worlds without one (`shifting`); it also stands where noise is so unequal, or
so uneven along the ranking, that the ceiling itself is off by a little.

The bootstrap draws architectures, and with each of them all its seeds under all algorithms. Seeds are not drawn again within an
architecture: noise is independent between architectures, so their own draw already carries it, and a seed drawn twice would stand in
both halves and make a ranking agree with itself. What is not in the interval is an effect of a seed on many architectures at once.
`tests/performance/rank_simulations.py` measures what is claimed here: size and power of the test, and coverage of the intervals.

References:
    C. Spearman, The proof and measurement of association between two things, American Journal of Psychology, 1904.
    M. G. Kendall, The treatment of ties in ranking problems, Biometrika, 1945 (tau-b).
    W. H. Kruskal, Ordinal measures of association, Journal of the American Statistical Association, 1958 (Greiner's relation).
    P. Hall, The Bootstrap and Edgeworth Expansion, 1992 (centred percentile intervals).
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

import numpy as np
import pandas as pd
import scipy.stats
from numpy.typing import NDArray

from agd_bench.analysis.bootstrap import FEWEST_FOR_INTERVAL, integer_weights
from agd_bench.analysis.rankings.attenuation import covariances, true_correlations
from agd_bench.analysis.rankings.kernels import orders, taus
from agd_bench.analysis.rankings.null_test import shift_p_values
from agd_bench.analysis.rankings.seed_splits import compared_seeds, halves, means_over, subset_size
from agd_bench.analysis.scores import GROUP, Floats, Scores, describe, paired_scores
from agd_bench.analysis.variance import normal_scores

LEVELS = (0.025, 0.975)
TIE_Z = 1.96
"""Differences of accuracy up to this many standard errors of a difference count as ties by noise."""

_COLUMNS = ["algorithm", "other", "subset", "architectures", "seeds", "seeds_compared", "kendall_tau", "noise_ceiling"]
_GAP = ["gap", "gap_low", "gap_high", "shift_p"]
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
    worlds: int | None = None,
) -> pd.DataFrame:
    """Kendall's tau-b between the rankings of every two algorithms, with its noise ceiling, its interval and a test.

    Args:
        trials: the table of trials.
        metric: which accuracy.
        resamples: bootstrap resamples; 0: no intervals and no test.
        seed: seed of the resampling.
        subset: `all` architectures, or the `top-decile` by seeds that are not compared (see `halving`; from three seeds on).
        worlds: worlds without a shift that the test draws; default: as many as resamples.

    Returns:
        One row per group and unordered pair of algorithms, each with itself included: `search_space`, `dataset`, `profile`,
        `algorithm`, `other`, `subset`; `architectures` (compared ones, of those with an outcome for every seed under both); `seeds` (S);
        `seeds_compared` (h); `kendall_tau` in [-1, 1] (of a pair with itself: the ceiling); `noise_ceiling` in [-1, 1];
        `gap` (kendall_tau − noise_ceiling; negative: the rankings differ more than seed noise explains) with `gap_low`, `gap_high`
        (95 % interval, not corrected for the number of pairs); `shift_p` (p-value of 'no shift beyond noise', one-sided, not corrected
        either); `spearman` and `spearman_ceiling` (Spearman's rank correlation, alike); `kendall_tau_noise_ties` and
        `noise_ties_ceiling` (tau-b where architectures whose accuracies differ by no more than `TIE_Z` standard errors of a difference,
        from the pooled SD over seeds, count as tied); `corrected_tau` with `corrected_low`, `corrected_high` (tau of the true rankings,
        freed of noise, see `correcting`; 95 % interval).
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
    subset_size(0, subset)
    rows: list[dict[str, object]] = []
    for group in paired_scores(trials, metric):
        found: dict[tuple[int, int], dict[str, object]] = {}
        for kept, pairs in shared_architectures(group):
            used = sorted({position for pair in pairs for position in pair})
            values, diverged = group.values[used][:, kept], group.diverged[used][:, kept]
            outcome = compare(values, diverged, resamples, np.random.default_rng(seed), subset, worlds=worlds)
            for first, second in pairs:
                row: dict[str, object] = {**describe(group.group), "algorithm": group.algorithms[first]}
                row |= {"other": group.algorithms[second], "subset": subset, "architectures": outcome.size, "seeds": len(group.seeds)}
                found[first, second] = row | outcome.of(used.index(first), used.index(second))
        rows += [found[pair] for pair in sorted(found)]
    return pd.DataFrame(rows, columns=[*GROUP, *_COLUMNS, *_GAP, *_BESIDES])


def shared_architectures(group: Scores) -> list[tuple[NDArray[np.bool_], list[tuple[int, int]]]]:
    """Pairs of algorithms, together where they share the same architectures: one bootstrap serves them all.

    Returns:
        Which architectures have an outcome for every seed under both, (A,), and the pairs of positions, each with itself included.
    """
    complete = group.complete()
    found: dict[bytes, tuple[NDArray[np.bool_], list[tuple[int, int]]]] = {}
    for first in range(len(group.algorithms)):
        for second in range(first, len(group.algorithms)):
            kept = complete[first] & complete[second]
            found.setdefault(kept.tobytes(), (kept, []))[1].append((first, second))
    return list(found.values())


def pair_ceiling(tau: Floats) -> Floats:
    """Tau between two algorithms of equal true ranking, from their agreements with themselves.

    Args:
        tau: agreements, (M, M); the diagonal holds each algorithm's own ceiling. A negative one counts as 0.

    Returns:
        (M, M): for equal own ceilings that same value.

    >>> pair_ceiling(np.array([[0.6, 0.1], [0.1, 0.6]])).round(6).tolist()
    [[0.6, 0.6], [0.6, 0.6]]
    """
    rho = np.sin(np.pi / 2 * np.clip(np.diagonal(tau, axis1=-2, axis2=-1), 0, 1))
    both = np.sqrt(rho[..., :, None] * rho[..., None, :])
    return np.asarray(2 / np.pi * np.arcsin(np.minimum(both, 1.0)), dtype=np.float64)


def _gaps(tau: Floats) -> Floats:
    return tau - pair_ceiling(tau)


@dataclass(frozen=True)
class Agreement:
    """Agreements of M algorithms' rankings; every array is (M, M) and symmetric, NaN where missing.

    Attributes:
        size: architectures compared.
        seeds_compared: h.
        tau, spearman, noise_tied: agreements; the diagonal holds each algorithm's agreement with itself, NaN with one seed.
        gap_low, gap_high: 95 % interval of tau − `pair_ceiling(tau)`.
        shift_p: p-value of 'no shift beyond noise'.
        corrected: tau of the true rankings, with `corrected_low`, `corrected_high`.
    """

    size: int
    seeds_compared: int
    tau: Floats
    spearman: Floats
    noise_tied: Floats
    corrected: Floats
    gap_low: Floats
    gap_high: Floats
    shift_p: Floats
    corrected_low: Floats
    corrected_high: Floats

    def of(self, a: int, b: int) -> dict[str, object]:
        """Columns of the pair's row, from `seeds_compared` on."""
        rho = 2 * np.sin(np.pi / 6 * np.clip(np.diagonal(self.spearman), 0, 1))  # Spearman's coefficient of normal variables
        ceiling = 6 / np.pi * np.arcsin(np.sqrt(rho[a] * rho[b]) / 2)
        row: dict[str, object] = {"seeds_compared": self.seeds_compared, "kendall_tau": self.tau[a, b]}
        row |= {"spearman": self.spearman[a, b], "kendall_tau_noise_ties": self.noise_tied[a, b]}
        if a == b:
            return row | {
                "noise_ceiling": self.tau[a, a],
                "spearman_ceiling": self.spearman[a, a],
                "noise_ties_ceiling": self.noise_tied[a, a],
            }
        row |= {"noise_ceiling": pair_ceiling(self.tau)[a, b], "spearman_ceiling": ceiling}
        row |= {"noise_ties_ceiling": pair_ceiling(self.noise_tied)[a, b], "gap": _gaps(self.tau)[a, b]}
        row |= {"gap_low": self.gap_low[a, b], "gap_high": self.gap_high[a, b], "shift_p": self.shift_p[a, b]}
        row |= {"corrected_tau": self.corrected[a, b], "corrected_low": self.corrected_low[a, b]}
        return row | {"corrected_high": self.corrected_high[a, b]}


def compare(
    values: Floats,
    diverged: NDArray[np.bool_],
    resamples: int,
    rng: np.random.Generator,
    subset: str = "all",
    test: bool = True,
    worlds: int | None = None,
) -> Agreement:
    """All agreements between algorithms that have an outcome for every architecture and seed.

    Args:
        values: accuracies in [0, 1], (M, n, S), none missing; 0 where diverged.
        diverged: where a trial diverged, (M, n, S).
        resamples: bootstrap resamples; 0: no intervals and no test.
        rng: draws them, and the worlds.
        subset: `all` or `top-decile`.
        test: whether to test; without it `shift_p` is missing.
        worlds: worlds without a shift; default: as many as resamples.
    """
    algorithms, count, seeds = values.shape
    size = subset_size(count, subset)
    nothing = np.full((algorithms, algorithms), np.nan)
    result = Agreement(size, max(1, compared_seeds(seeds, subset)), *(9 * [nothing]))
    if size < 2:
        return result
    if compared_seeds(seeds, subset) == 0:
        if subset != "all":
            return result
        tau, spearman = _at_one_seed(values, diverged)
        return dataclasses.replace(result, tau=tau, spearman=spearman)
    draws = resamples if size >= FEWEST_FOR_INTERVAL else 0
    weights = integer_weights(count, draws, rng)
    tau, between = _resampled(values, diverged, subset, size, weights)
    gaps, correlations = _gaps(tau), true_correlations(between)
    spearman, noise_tied = _without_resamples(values, diverged, subset, size)
    corrected = _tau_of(correlations[0])
    result = dataclasses.replace(result, tau=tau[0], corrected=corrected, spearman=spearman, noise_tied=noise_tied)
    if draws == 0:
        return result
    low, high = _centred_interval(gaps, size)
    true_low, true_high = (_tau_of(end) for end in _percentile_interval(correlations, size))
    p = shift_p_values(values, diverged, gaps[0], _gaps, subset, worlds or draws, rng) if test else nothing
    return dataclasses.replace(result, gap_low=low, gap_high=high, corrected_low=true_low, corrected_high=true_high, shift_p=p)


def _tau_of(correlation: Floats) -> Floats:
    """Greiner's relation; a correlation beyond 1, which noise can give, counts as 1."""
    return np.asarray(2 / np.pi * np.arcsin(np.clip(correlation, -1, 1)), dtype=np.float64)


def _resampled(values: Floats, diverged: NDArray[np.bool_], subset: str, size: int, weights: NDArray[np.int32]) -> tuple[Floats, Floats]:
    """Tau-b, and covariances of normal scores between disjoint seeds, of every resample: (R, M, M) each, means over the splits."""
    algorithms = len(values)
    pairs = np.array([(a, algorithms + b) for a in range(algorithms) for b in range(algorithms)])
    normal = normal_scores(values)
    tau, between = np.zeros((2, len(weights), algorithms, algorithms))
    splits = list(halves(values, diverged, subset, size))
    for first, second, chosen in splits:
        held = weights if chosen is None else np.ascontiguousarray(weights[:, chosen])
        both = np.concatenate([means_over(values, diverged, half, chosen) for half in (first, second)])
        each = taus(orders(both), pairs, held).T.reshape(tau.shape)
        tau += (each + np.swapaxes(each, 1, 2)) / (2 * len(splits))
        one, two = (means_over(normal, None, half, chosen) for half in (first, second))
        between += covariances(one, two, held) / len(splits)
    return tau, between


def _without_resamples(values: Floats, diverged: NDArray[np.bool_], subset: str, size: int) -> tuple[Floats, Floats]:
    """Spearman's coefficient, and tau-b with ties by noise: means over the splits, (M, M) each."""
    algorithms = len(values)
    pairs = np.array([(a, algorithms + b) for a in range(algorithms) for b in range(algorithms)])
    found = []
    for first, second, chosen in halves(values, diverged, subset, size):
        both = np.concatenate([means_over(values, diverged, half, chosen) for half in (first, second)])
        widths = np.tile(TIE_Z * np.sqrt(2 / len(first)) * seed_deviation(values, diverged), 2)
        tied = taus(orders(both, widths), pairs, np.ones((1, size), dtype=np.int32)).reshape(algorithms, algorithms)
        both_ways = (_spearman(both)[:algorithms, algorithms:], tied)
        found.append([(each + each.T) / 2 for each in both_ways])
    spearman, noise_tied = np.mean(found, axis=0)
    return spearman, noise_tied


def seed_deviation(values: Floats, diverged: NDArray[np.bool_]) -> Floats:
    """Standard deviation over the seeds of one architecture, pooled over those without a diverged seed; (M,), 0 where there is none."""
    calm = ~diverged.any(axis=2)
    variances = np.where(calm, values.var(axis=2, ddof=1), 0.0).sum(axis=1)
    return np.asarray(np.sqrt(variances / np.maximum(calm.sum(axis=1), 1)), dtype=np.float64)


def _spearman(means: Floats) -> Floats:
    ranks = scipy.stats.rankdata(means, axis=1)
    with np.errstate(divide="ignore", invalid="ignore"):  # all tied: there is no coefficient, and it reads as missing
        return np.asarray(np.corrcoef(ranks), dtype=np.float64)


def _at_one_seed(values: Floats, diverged: NDArray[np.bool_]) -> tuple[Floats, Floats]:
    """What one seed can say, tau-b and Spearman's coefficient: the agreements between algorithms, none of an algorithm with itself."""
    means = means_over(values, diverged, (0,))
    pairs = np.array(list(np.ndindex(len(means), len(means))))
    tau = taus(orders(means), pairs, np.ones((1, means.shape[1]), dtype=np.int32)).reshape(len(means), len(means))
    spearman = np.atleast_2d(_spearman(means))
    own = np.eye(len(means), dtype=bool)
    return np.where(own, np.nan, tau), np.where(own, np.nan, spearman)


def _centred_interval(drawn: Floats, size: int) -> tuple[Floats, Floats]:
    """95 % interval around the sample's value, drawn[0], as wide as the resamples spread about their mean; (M, M) each."""
    kept = _enough(drawn[1:])
    low, high = _quantiles(kept - _middle(kept)) * _widening(size)
    return drawn[0] + low, drawn[0] + high


def _percentile_interval(drawn: Floats, size: int) -> tuple[Floats, Floats]:
    """95 % interval between quantiles of the resamples, whose distance from the median is widened; (M, M) each."""
    kept = _enough(drawn[1:])
    low, middle, high = _quantiles(kept, (LEVELS[0], 0.5, LEVELS[1]))
    return middle + (low - middle) * _widening(size), middle + (high - middle) * _widening(size)


def _widening(size: int) -> float:
    """What a bootstrap over few architectures leaves out: a variance over n − 1 of them, and Student's quantile for the normal one."""
    return float(np.sqrt(size / (size - 1)) * scipy.stats.t.ppf(LEVELS[1], size - 1) / scipy.stats.norm.ppf(LEVELS[1]))


def _quantiles(drawn: Floats, levels: tuple[float, ...] = LEVELS) -> Floats:
    """Quantiles over the resamples that have a value, (levels, M, M); NaN for a pair without any."""
    some = np.isfinite(drawn).any(axis=0)
    return np.where(some, np.nanquantile(np.where(some, drawn, 0.0), levels, axis=0), np.nan)


def _enough(drawn: Floats) -> Floats:
    """The resamples, without those of a pair that has a value in fewer than 95 % of them: it has no interval."""
    return np.where(np.isfinite(drawn).mean(axis=0) >= 0.95, drawn, np.nan)


def _middle(drawn: Floats) -> Floats:
    """Mean over the resamples that have a value, (M, M); 0 for a pair without any."""
    held = np.isfinite(drawn)
    return np.asarray(np.where(held, drawn, 0.0).sum(axis=0) / np.maximum(held.sum(axis=0), 1), dtype=np.float64)
