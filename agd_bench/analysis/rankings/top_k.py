"""Overlap of the k best architectures of two rankings, compared with chance and noise."""

from __future__ import annotations

import numpy as np
import pandas as pd
import scipy.stats
from numpy.typing import NDArray

from agd_bench.analysis.bootstrap import FEWEST_FOR_INTERVAL
from agd_bench.analysis.rankings.kendall import shared_architectures
from agd_bench.analysis.rankings.null_worlds import SIMULATED, WORLDS, NullWorlds
from agd_bench.analysis.rankings.seed_splits import compared_seeds, halves, means_over, subset_size
from agd_bench.analysis.scores import GROUP, Floats, describe, paired_scores
from agd_bench.errors import InputError

SHARES = (0.01, 0.05, 0.10)
_COLUMNS = ["algorithm", "other", "subset", "architectures", "seeds", "seeds_compared", "k", "share", "overlap", "noise_ceiling"]
_CHANCE = ["chance", "chance_high", "chance_p"]


def top_k_overlap(
    trials: pd.DataFrame,
    k: int | None = None,
    metric: str = "test_accuracy",
    shares: tuple[float, ...] = SHARES,
    subset: str = "all",
) -> pd.DataFrame:
    """Share of one algorithm's k best architectures that are among another's k best.

    Compared at disjoint seeds, as in `kendall_tau`. Architectures tied at the k-th place share the remaining places. For unrelated
    rankings, the overlap of the two top k has a hypergeometric distribution.

    Args:
        trials: the table of trials.
        k: number of architectures; default: one for each of `shares`.
        metric: which accuracy.
        shares: shares of the architectures, in (0, 1], rounded to whole numbers, at least one; duplicate values of k are merged.
        subset: `all` architectures or the `top-decile`, see `seed_splits`.

    Returns:
        One row per group, unordered pair of algorithms, including each with itself, and k: `search_space`, `dataset`, `profile`,
        `algorithm`, `other`, `subset`, `architectures`, `seeds`, `seeds_compared`, `k`; `share` (asked for; k / architectures where k was);
        `overlap` in [0, 1]; `noise_ceiling` (mean of both algorithms' overlap with themselves over disjoint seeds, corrected for its bias
        in simulated worlds with equal true rankings, where noise differs between architectures; NaN with one seed); `chance`
        (k / architectures, for unrelated rankings) with `chance_high` (exceeded by chance in at most 2.5 % of cases) and `chance_p`
        (probability that unrelated rankings overlap as much or more). No row for the top decile with fewer than three seeds.

    References:
        V. Vovk, R. Wang, Combining p-values via averaging, Biometrika, 2020, proposition 1.

    Raises:
        InputError: k is below 1, or a share is outside (0, 1].
        UnknownNameError: another metric or subset.
    """
    if k is not None and k < 1:
        raise InputError(f"k = {k}: the number of best architectures to compare must be at least 1")
    if not all(0 < share <= 1 for share in shares):
        raise InputError(f"shares = {shares}: each share of the architectures must be above 0 and at most 1")
    # Raises for an unknown subset even if there is no group to compare.
    subset_size(0, subset)
    rows: list[dict[str, object]] = []
    for group in paired_scores(trials, metric):
        found: dict[tuple[int, int], list[dict[str, object]]] = {}
        for kept, pairs in shared_architectures(group):
            used = sorted({position for pair in pairs for position in pair})
            values, diverged = group.values[used][:, kept], group.diverged[used][:, kept]
            seeds, size = len(group.seeds), subset_size(int(kept.sum()), subset)
            if size == 0 or (subset != "all" and compared_seeds(seeds, subset) == 0):
                continue
            fixed = {"subset": subset, "architectures": size, "seeds": seeds, "seeds_compared": max(1, compared_seeds(seeds, subset))}
            tops = [(min(k, size), k / size)] if k is not None else _tops(size, shares)
            overlaps = {each: _overlaps(values, diverged, subset, size, each) for each, _ in tops}
            # The mean of the overlaps with themselves is too high a ceiling if noise differs between architectures.
            excess = _excess(values, diverged, subset, size, list(overlaps)) if seeds > 1 else dict.fromkeys(overlaps, 0.0)
            ceilings = {each: _own(overlaps[each].mean(axis=0)) - excess[each] for each in overlaps}
            for a, b in pairs:
                row = {**describe(group.group), "algorithm": group.algorithms[a], "other": group.algorithms[b], **fixed}
                one, two = used.index(a), used.index(b)
                found[a, b] = [
                    row | {"k": each, "share": share} | _judged(overlaps[each], ceilings[each], one, two, each, size)
                    for each, share in tops
                ]
        rows += [row for pair in sorted(found) for row in found[pair]]
    return pd.DataFrame(rows, columns=[*GROUP, *_COLUMNS, *_CHANCE])


def _tops(size: int, shares: tuple[float, ...]) -> list[tuple[int, float]]:
    """Each k with the largest share that gives it."""
    return sorted({max(1, round(share * size)): share for share in sorted(shares)}.items())


def _own(overlaps: Floats) -> Floats:
    """Mean of both algorithms' overlaps with themselves, (..., M, M)."""
    own = np.diagonal(overlaps, axis1=-2, axis2=-1)
    return np.asarray((own[..., :, None] + own[..., None, :]) / 2, dtype=np.float64)


def _excess(values: Floats, diverged: NDArray[np.bool_], subset: str, size: int, tops: list[int]) -> dict[int, Floats]:
    """Excess of that mean over the overlap of two algorithms with equal true rankings, for each k, (M, M)."""
    if size < FEWEST_FOR_INTERVAL:
        return {k: np.zeros((len(values), len(values))) for k in tops}
    # A fixed seed, so the ceiling depends only on the data and is the same for every k and caller.
    rng = np.random.default_rng(0)
    worlds = list(zip(*NullWorlds(values, diverged, SIMULATED[subset], rng).draw(WORLDS, rng), strict=True))
    simulated = subset_size(worlds[0][0].shape[1], subset)
    found = {}
    for k in tops:
        alike = max(1, round(k * simulated / size))
        overlaps = np.array([_overlaps(*world, subset, simulated, alike).mean(axis=0) for world in worlds])
        found[k] = (_own(overlaps) - overlaps).mean(axis=0)
        np.fill_diagonal(found[k], 0.0)
    return found


def _judged(overlaps: Floats, ceilings: Floats, a: int, b: int, k: int, size: int) -> dict[str, object]:
    """Columns of the pair's row, from `overlap` on."""
    chance = scipy.stats.hypergeom(size, k, k)
    overlap = overlaps.mean(axis=0)
    # Shares of tied places are rounded down to whole architectures, towards the larger p-value.
    each = chance.sf(np.floor(overlaps[:, a, b] * k + 1e-9) - 1)
    # Splits share seeds, so their p-values are dependent: twice the mean is valid for any dependence (Vovk and Wang 2020).
    p = float(min(1.0, 2 * each.mean())) if len(each) > 1 else float(each[0])
    row: dict[str, object] = {"overlap": overlap[a, b], "noise_ceiling": ceilings[a, b], "chance": k / size}
    beyond = p if np.isfinite(overlap[a, b]) else float("nan")
    return row | {"chance_high": float(chance.ppf(0.975)) / k, "chance_p": beyond}


def _overlaps(values: Floats, diverged: NDArray[np.bool_], subset: str, size: int, k: int) -> Floats:
    """Overlaps for every split, in both orders, (splits, M, M); with one seed, none of an algorithm with itself."""
    splits = list(halves(values, diverged, subset, size))
    found = []
    for first, second, chosen in splits or [((0,), (0,), None)]:
        one, two = (_membership(means_over(values, diverged, half, chosen), k) for half in (first, second))
        found.append(one @ two.T / k)
    if not splits:
        np.fill_diagonal(found[0], np.nan)
        return np.array(found)
    return np.array(found + [each.T for each in found])


def _membership(means: Floats, size: int) -> Floats:
    """Share of a place among the `size` best for each architecture, (M, n); rows sum to `size`."""
    edge = -np.sort(-means, axis=1)[:, size - 1 : size]
    above, tied = means > edge, means == edge
    left = size - above.sum(axis=1, keepdims=True)
    return np.asarray(above + tied * left / tied.sum(axis=1, keepdims=True), dtype=np.float64)
