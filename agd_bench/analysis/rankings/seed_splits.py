"""Seeds and architectures for comparing rankings: disjoint halves of the seeds; all architectures or the top decile.

For all architectures, the seeds are split into two disjoint halves of h = floor(S / 2). For the top decile, the seeds are split into three
parts: two of h = floor((S − 1) / 2) that are compared, and the rest, which selects the architectures: the tenth (at least
`FEWEST_SELECTED`) with the lowest rank, averaged over algorithms. The selection is as noisy as its few seeds and would differ for other
seeds. Tau and its ceiling are both lower there. With two seeds, there is no top decile.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Literal

import numpy as np
import scipy.stats
from numpy.typing import NDArray

from agd_bench.analysis.scores import DECIMALS, MAX_SPLITS, Floats, Split, seed_splits
from agd_bench.errors import UnknownNameError

Subset = Literal["all", "top-decile"]
SUBSETS: tuple[Subset, ...] = ("all", "top-decile")
# The number required for an interval or a test.
FEWEST_SELECTED = 8


def subset_size(architectures: int, subset: str) -> int:
    """Number of architectures in a subset.

    Raises:
        UnknownNameError: an unknown subset.

    >>> subset_size(36, "all"), subset_size(36, "top-decile"), subset_size(15625, "top-decile")
    (36, 8, 1563)
    """
    if subset not in SUBSETS:
        raise UnknownNameError("subset", subset, SUBSETS)
    return architectures if subset == "all" else min(architectures, max(FEWEST_SELECTED, -(-architectures // 10)))


def compared_seeds(count: int, subset: str) -> int:
    """Number of seeds in each half, h; 0 if there are too few seeds.

    >>> [compared_seeds(count, "top-decile") for count in (2, 3, 4, 5)]
    [0, 1, 1, 2]
    """
    # At least one seed must remain to select the top decile, even if S is even.
    return count // 2 if subset == "all" else (count - 1) // 2


def splits_for(count: int, subset: str) -> list[Split]:
    """Unordered pairs of disjoint halves of the seeds, each of size `compared_seeds`; the remaining seeds select.

    Args:
        count: number of seeds.
        subset: `all` or `top-decile`.

    Returns:
        At most `MAX_SPLITS` / 2 pairs of positions, spread evenly over all pairs; none if there are too few seeds.

    >>> splits_for(3, "top-decile")
    [((0,), (1,)), ((0,), (2,)), ((1,), (2,))]
    """
    # With an odd S, the two halves leave one seed, which selects.
    if subset == "all" or count % 2 == 1:
        both = seed_splits(count)
        return both[: len(both) // 2]
    half = compared_seeds(count, subset)
    subsets = list(itertools.combinations(range(count), half)) if half else []
    pairs = [(first, second) for first, second in itertools.combinations(subsets, 2) if not set(first) & set(second)]
    # Evenly over the enumeration, because the first ones all share seed 0.
    places = np.linspace(0, max(len(pairs) - 1, 0), min(len(pairs), MAX_SPLITS // 2))
    return [pairs[index] for index in places.round().astype(int)]


def selected(ranking_means: Floats, size: int) -> NDArray[np.intp]:
    """Positions of the architectures with the lowest rank, averaged over algorithms; the first ones in case of ties.

    Args:
        ranking_means: accuracies over the selecting seeds, (..., M, n), none missing.
        size: number of architectures, k.

    Returns:
        Ascending positions, (..., k).
    """
    places = scipy.stats.rankdata(-ranking_means, axis=-1).mean(axis=-2)
    return np.sort(np.argsort(places, axis=-1, kind="stable")[..., :size], axis=-1)


def halves(
    values: Floats, diverged: NDArray[np.bool_], subset: str, size: int
) -> Iterator[tuple[tuple[int, ...], tuple[int, ...], NDArray[np.intp] | None]]:
    """Yield the seeds and architectures to compare for every split.

    Args:
        values: accuracies, (..., M, n, S), none missing.
        diverged: whether each trial diverged, (..., M, n, S).
        subset: `all` or `top-decile`.
        size: number of architectures in the subset, k.

    Yields:
        Positions of the seeds of each half, and of the architectures, (..., k); None: all.
    """
    count = values.shape[-1]
    for first, second in splits_for(count, subset):
        # Seeds that are not compared, so the noise that selected an architecture does not affect the comparison.
        rest = tuple(sorted(set(range(count)) - {*first, *second}))
        yield first, second, None if subset == "all" else selected(means_over(values, diverged, rest), size)


def means_over(
    values: Floats, diverged: NDArray[np.bool_] | None, seeds: tuple[int, ...], chosen: NDArray[np.intp] | None = None
) -> Floats:
    """Means over seeds, rounded to 1e-9.

    Args:
        values: accuracies or scores, (..., M, n, S), none missing.
        diverged: whether each trial diverged, (..., M, n, S); one diverged seed makes the mean 0. None: no such rule.
        seeds: positions of the seeds.
        chosen: positions of the architectures, (..., k); None: all.

    Returns:
        (..., M, n) or (..., M, k).
    """
    held = list(seeds)
    # Rounded, so equal accuracies in a different order of seeds stay tied.
    means: Floats = values[..., held].mean(axis=-1).round(DECIMALS)
    if diverged is not None:
        means = np.where(diverged[..., held].any(axis=-1), 0.0, means)
    if chosen is None:
        return means
    wide = np.broadcast_to(chosen[..., None, :], (*means.shape[:-1], chosen.shape[-1]))
    return np.asarray(np.take_along_axis(means, wide, axis=-1), dtype=np.float64)
