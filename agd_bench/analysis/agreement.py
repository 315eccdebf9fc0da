"""Agreement of rankings, beside the agreement of a ranking with itself over seeds: the noise ceiling.

With S seeds, everything is compared at h = floor(S / 2) seeds, over pairs of disjoint halves (F, G) of the seeds:

- `kendall_tau` of algorithms a and b: the mean over (F, G) of tau-b(a's means over F, b's means over G);
- the ceiling of a: the same with b = a, that is, how well a's ranking agrees with itself when only the seeds change.

The two are thus at equal numbers of seeds, never share a seed, and can be subtracted. If a and b rank the architectures equally
but for seed noise, `kendall_tau` equals the pair's `noise_ceiling`, which for algorithms of unequal noise follows from
Spearman's correction for attenuation, rho_ab = sqrt(rho_aa rho_bb), carried to tau by Greiner's relation rho = sin(pi tau / 2).
With one seed there is no ceiling: it is missing, never 1.

References:
    C. Spearman, The proof and measurement of association between two things, American Journal of Psychology, 1904.
    M. G. Kendall, The treatment of ties in ranking problems, Biometrika, 1945 (tau-b).
    W. H. Kruskal, Ordinal measures of association, Journal of the American Statistical Association, 1958 (Greiner's relation).
    P. J. Bickel, F. Götze, W. R. van Zwet, Resampling fewer than n observations, Statistica Sinica, 1997.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
import scipy.stats
from numpy.typing import NDArray

from agd_bench.analysis.pairing import GROUP, Floats, Scores, Split, describe, scores, seed_splits
from agd_bench.errors import InputError

FEWEST_FOR_INTERVAL = 8
"""Architectures below which no interval is given: a bootstrap over fewer says nothing reliable."""
RESAMPLE_SIZE = 150
"""Architectures drawn in each resample at most; more are resampled m out of n, and the interval is scaled."""

_COLUMNS = ["algorithm", "other", "architectures", "seeds", "seeds_compared", "kendall_tau", "noise_ceiling"]
_GAP = ["gap", "gap_low", "gap_high"]


def kendall_tau(trials: pd.DataFrame, metric: str = "test_accuracy", resamples: int = 1000, seed: int = 0) -> pd.DataFrame:
    """Kendall's tau-b between the rankings of every two algorithms, with its noise ceiling.

    The interval comes from a bootstrap over architectures, each drawn with all its seeds, so that it carries the seed noise too;
    pairs of an architecture with itself are dropped. An effect of a seed on all architectures at once is not in it.

    Args:
        trials: the table of trials.
        metric: which accuracy.
        resamples: bootstrap resamples; 0: no interval.
        seed: seed of the resampling.

    Returns:
        One row per group and unordered pair of algorithms, each with itself included: `search_space`, `dataset`, `profile`,
        `algorithm`, `other`; `architectures` (with an outcome for every seed under both); `seeds` (S); `seeds_compared` (h);
        `kendall_tau` in [-1, 1] (of a pair with itself: the ceiling); `noise_ceiling` in [-1, 1]; `gap` (kendall_tau − noise_ceiling;
        negative: the rankings differ more than seed noise explains) with `gap_low`, `gap_high` (95 % interval, not corrected for the
        number of pairs). NaN where missing: one seed, fewer than 2 architectures, all tied, or (interval) fewer than 8 architectures.

    >>> rows = [(a, s, g, v) for g in ("agd", "sgd") for s in (0, 1) for a, v in (("x", 0.5), ("y", 0.7), ("z", 0.9))]
    >>> trials = pd.DataFrame(rows, columns=["architecture", "seed", "algorithm", "test_accuracy"]).assign(
    ...     search_space="s", dataset="d", profile="p", purpose="final", status="done")
    >>> kendall_tau(trials)[["algorithm", "other", "kendall_tau", "noise_ceiling"]].round(6).values.tolist()
    [['agd', 'agd', 1.0, 1.0], ['agd', 'sgd', 1.0, 1.0], ['sgd', 'sgd', 1.0, 1.0]]
    """
    rows: list[dict[str, object]] = []
    for group in scores(trials, metric):
        rng = np.random.default_rng(seed)
        found: dict[tuple[int, int], dict[str, object]] = {}
        for kept, pairs in _by_shared_architectures(group):
            found |= _compare(group, kept, pairs, resamples, rng)
        rows += [found[pair] for pair in sorted(found)]
    return pd.DataFrame(rows, columns=[*GROUP, *_COLUMNS, *_GAP])


def _by_shared_architectures(group: Scores) -> list[tuple[NDArray[np.bool_], list[tuple[int, int]]]]:
    """Pairs of algorithms, together where they share the same architectures: one bootstrap serves them all."""
    complete = group.complete()
    found: dict[bytes, tuple[NDArray[np.bool_], list[tuple[int, int]]]] = {}
    for first in range(len(group.algorithms)):
        for second in range(first, len(group.algorithms)):
            kept = complete[first] & complete[second]
            found.setdefault(kept.tobytes(), (kept, []))[1].append((first, second))
    return list(found.values())


def _compare(
    group: Scores, kept: NDArray[np.bool_], pairs: list[tuple[int, int]], resamples: int, rng: np.random.Generator
) -> dict[tuple[int, int], dict[str, object]]:
    used = sorted({position for pair in pairs for position in pair})
    splits = seed_splits(len(group.seeds))
    halves = _halves(group, splits, used, kept)
    tau = _tau_at_splits(halves, splits) if splits else _tau_at_one_seed(group.means()[used][:, kept])
    count = int(kept.sum())
    drawn = _resampled_gaps(halves, splits, resamples, rng) if splits and resamples and count >= FEWEST_FOR_INTERVAL else None
    gap = tau - pair_ceiling(tau)
    rows: dict[tuple[int, int], dict[str, object]] = {}
    for first, second in pairs:
        a, b = used.index(first), used.index(second)
        row: dict[str, object] = {**describe(group.group), "algorithm": group.algorithms[first], "other": group.algorithms[second]}
        row |= {"architectures": count, "seeds": len(group.seeds), "seeds_compared": max(1, len(group.seeds) // 2)}
        row |= {"kendall_tau": tau[a, b], "noise_ceiling": tau[a, a] if a == b else pair_ceiling(tau)[a, b]}
        low, high = (np.nan, np.nan) if drawn is None or a == b else _interval(gap[a, b], drawn[:, a, b], count)
        row |= {"gap": np.nan if a == b else gap[a, b], "gap_low": low, "gap_high": high}
        rows[first, second] = row
    return rows


def _halves(group: Scores, splits: list[Split], used: list[int], kept: NDArray[np.bool_]) -> dict[tuple[int, ...], Floats]:
    """Mean accuracies over each half of the seeds: (algorithms, architectures)."""
    return {half: group.means(half)[used][:, kept] for split in splits for half in split}


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


def _tau_b(first: Floats, second: Floats) -> float:
    if len(first) < 2 or np.ptp(first) == 0 or np.ptp(second) == 0:
        return float("nan")
    return float(scipy.stats.kendalltau(first, second, variant="b").statistic)


def _tau_at_splits(halves: dict[tuple[int, ...], Floats], splits: list[Split]) -> Floats:
    """Mean tau-b over the splits, (M, M); the diagonal is each algorithm's agreement with itself."""
    count = len(next(iter(halves.values())))
    once = splits[: len(splits) // 2]  # the second half mirrors the first
    taus = np.array([[[_tau_b(a, b) for b in halves[second]] for a in halves[first]] for first, second in once])
    mean = taus.reshape(len(once), count, count).mean(axis=0)
    return np.asarray((mean + mean.T) / 2, dtype=np.float64)


def _tau_at_one_seed(means: Floats) -> Floats:
    tau = np.array([[_tau_b(a, b) for b in means] for a in means]).reshape(len(means), len(means))
    np.fill_diagonal(tau, np.nan)
    return tau


def _resampled_gaps(halves: dict[tuple[int, ...], Floats], splits: list[Split], resamples: int, rng: np.random.Generator) -> Floats:
    """Gaps of `resamples` bootstrap samples of architectures, (resamples, M, M).

    Tau-b of many pairs at once is a Gram matrix of signs: sum sign(x_i − x_j) sign(y_i − y_j) over the root of both sums of squares.
    A pair of an architecture with itself has sign 0 and so drops out of both.
    """
    algorithms, count = next(iter(halves.values())).shape
    size = min(count, RESAMPLE_SIZE)
    upper, lower = np.triu_indices(size, k=1)
    taus = np.empty((resamples, algorithms, algorithms))
    for index in range(resamples):
        chosen = rng.integers(0, count, size)
        signs = {half: _signs(means[:, chosen], upper, lower) for half, means in halves.items()}
        untied = {half: (sign * sign).sum(axis=1) for half, sign in signs.items()}
        total = np.zeros((algorithms, algorithms))
        with np.errstate(divide="ignore", invalid="ignore"):  # a resample in which all are tied has no tau and is left out
            for first, second in splits[: len(splits) // 2]:
                one = (signs[first] @ signs[second].T) / np.sqrt(np.outer(untied[first], untied[second]))
                total += (one + one.T) / 2
        taus[index] = total / (len(splits) // 2)
    return taus - pair_ceiling(taus)


def _signs(means: Floats, upper: NDArray[np.intp], lower: NDArray[np.intp]) -> NDArray[np.float32]:
    return np.sign(means[:, upper] - means[:, lower]).astype(np.float32)


def _interval(gap: float, drawn: Floats, count: int) -> tuple[float, float]:
    """95 % interval around the gap; m-out-of-n resamples vary sqrt(n / m) times too much and are scaled back."""
    drawn = drawn[np.isfinite(drawn)]
    if not np.isfinite(gap) or len(drawn) < 100:
        return float("nan"), float("nan")
    scale = np.sqrt(min(count, RESAMPLE_SIZE) / count)
    low, high = np.quantile(drawn - drawn.mean(), [0.025, 0.975]) * scale
    return float(gap + low), float(gap + high)


def top_k_overlap(trials: pd.DataFrame, k: int | None = None, metric: str = "test_accuracy") -> pd.DataFrame:
    """Share of one algorithm's k best architectures that are among another's k best.

    Compared at floor(S / 2) disjoint seeds, as `kendall_tau`. Architectures tied at the k-th place share what is left of the places.

    Args:
        trials: the table of trials.
        k: how many architectures; default: a tenth of them, at least one.
        metric: which accuracy.

    Returns:
        One row per group and unordered pair of algorithms, each with itself included: `search_space`, `dataset`, `profile`,
        `algorithm`, `other`, `architectures`, `seeds`, `seeds_compared`, `k`; `overlap` in [0, 1]; `noise_ceiling` (mean of both
        algorithms' overlap with themselves over disjoint seeds; NaN with one seed); `chance` (k / architectures: unrelated rankings).

    Raises:
        InputError: a k below 1.
    """
    if k is not None and k < 1:
        raise InputError(f"k = {k}: how many of the best architectures to compare; give 1 or more")
    rows: list[dict[str, object]] = []
    for group in scores(trials, metric):
        found: dict[tuple[int, int], dict[str, object]] = {}
        for kept, pairs in _by_shared_architectures(group):
            found |= _overlaps(group, kept, pairs, k)
        rows += [found[pair] for pair in sorted(found)]
    return pd.DataFrame(rows, columns=[*GROUP, *_COLUMNS[:5], "k", "overlap", "noise_ceiling", "chance"])


def _overlaps(
    group: Scores, kept: NDArray[np.bool_], pairs: list[tuple[int, int]], k: int | None
) -> dict[tuple[int, int], dict[str, object]]:
    count = int(kept.sum())
    if count == 0:
        return {}
    size = min(k or max(1, count // 10), count)
    alone = ((tuple(range(len(group.seeds))),) * 2,)
    splits = seed_splits(len(group.seeds))
    shares = []
    for first, second in splits or alone:
        shares.append(_membership(group.means(first)[:, kept], size) @ _membership(group.means(second)[:, kept], size).T / size)
    overlap = np.mean(shares, axis=0)
    own = np.diagonal(overlap) if splits else np.full(len(overlap), np.nan)
    rows: dict[tuple[int, int], dict[str, object]] = {}
    for a, b in pairs:
        row: dict[str, object] = {**describe(group.group), "algorithm": group.algorithms[a], "other": group.algorithms[b]}
        row |= {"architectures": count, "seeds": len(group.seeds), "seeds_compared": max(1, len(group.seeds) // 2), "k": size}
        row |= {"overlap": own[a] if a == b else overlap[a, b], "noise_ceiling": (own[a] + own[b]) / 2, "chance": size / count}
        rows[a, b] = row
    return rows


def _membership(means: Floats, size: int) -> Floats:
    """Share of a place among the `size` best that each architecture holds, (M, A); rows sum to `size`."""
    # Only algorithms with an outcome for all these architectures are read from the result; -1 keeps the others out of NaN.
    filled = np.where(np.isnan(means), -1.0, means)
    edge = -np.sort(-filled, axis=1)[:, size - 1 : size]
    above, tied = filled > edge, filled == edge
    left = size - above.sum(axis=1, keepdims=True)
    return np.asarray(above + tied * left / tied.sum(axis=1, keepdims=True), dtype=np.float64)
