"""Compiled kernels that count concordant and discordant pairs: Kendall's tau-b of many rankings under many resamples.

A resample is an integer weight for every architecture; weight w means w copies. Sixteen resamples share each pass over a pair of
rankings: the pass inserts the architectures in the order of the first ranking into a Fenwick tree over the second, O(n log n).

References:
    W. R. Knight, A computer method for calculating Kendall's tau with ungrouped data, Journal of the American Statistical
        Association, 1966.
    P. M. Fenwick, A new data structure for cumulative frequency tables, Software: Practice and Experience, 1994.
"""

from __future__ import annotations

import functools
import logging
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from agd_bench.analysis.scores import DECIMALS, Floats
from agd_bench.cores import usable_cores

Integers = NDArray[np.int64]
Positions = NDArray[np.int32]

_WORTH_THREADS = 10_000_000
"""Number of comparisons below which starting threads takes longer than the work."""
WORDS = 4
"""Number of 64-bit words per pass, each with the weights of 4 resamples, or of 2 for more than 32,767 architectures."""


@dataclass(frozen=True)
class Orders:
    """V rankings of n architectures, prepared for counting.

    Attributes:
        order: architectures by ascending accuracy, (V, n).
        place: position of each architecture in that order, (V, n).
        below: number of architectures below each one by more than the width, (V, n).
        upto: number of architectures not above each one by more than the width, (V, n).
    """

    order: Positions
    place: Positions
    below: Positions
    upto: Positions


def on_grid(accuracies: Floats) -> Integers:
    """Accuracies as whole multiples of 1e-9.

    >>> on_grid(np.array([0.1 + 0.2, 0.3])).tolist()
    [300000000, 300000000]
    """
    # Exact comparisons, because a different order of summation changes the last bits and would break ties.
    return np.asarray(np.rint(accuracies * 10**DECIMALS), dtype=np.int64)


def orders(accuracies: Floats, widths: Floats | None = None) -> Orders:
    """The orders of V rankings.

    Args:
        accuracies: shares in [0, 1], (V, n), none missing.
        widths: differences of accuracy up to which architectures count as tied, (V,); default: 0.

    Returns:
        Input for `taus`.
    """
    grid = on_grid(accuracies)
    width = np.zeros(len(grid), dtype=np.int64) if widths is None else on_grid(widths)
    order = np.argsort(grid, axis=1, kind="stable").astype(np.int32)
    place, below, upto = np.empty_like(order), np.empty_like(order), np.empty_like(order)
    for row, values in enumerate(grid):
        ascending = values[order[row]]
        place[row, order[row]] = np.arange(len(values))
        # With a width, ties may not be transitive: each architecture has its own range below..upto, which may overlap others'.
        below[row] = np.searchsorted(ascending, values - width[row], side="left")
        upto[row] = np.searchsorted(ascending, values + width[row], side="right")
    return Orders(order, place, below, upto)


def taus(rankings: Orders, pairs: Integers, weights: NDArray[np.int32]) -> Floats:
    """Tau-b of pairs of rankings under resamples.

    Args:
        rankings: V rankings of n architectures.
        pairs: positions of the two rankings of each pair, (P, 2).
        weights: number of copies of each architecture in each resample, (R, n).

    Returns:
        Tau-b in [-1, 1], (P, R); NaN if all architectures are tied in one of the two rankings.

    >>> both = orders(np.array([[0.1, 0.2, 0.3], [0.1, 0.3, 0.2]]))
    >>> taus(both, np.array([[0, 1]]), np.array([[1, 1, 1], [1, 0, 2]], dtype=np.int32)).round(6).tolist()
    [[0.333333, 1.0]]
    """
    words, bits = _packed(weights)
    levels, tying = compiled(_count_levels), compiled(_count_untied)
    given = (rankings.order, rankings.place, rankings.below, rankings.upto)
    chunks = np.array_split(weights, min(len(weights), 4 * usable_cores()))
    small = weights.size * len(pairs) < _WORTH_THREADS
    parts = in_threads(lambda index: tying(rankings.order, rankings.below, chunks[index]), len(chunks), small)
    # (V, R): pairs untied in each ranking, the normaliser of tau-b. Copies of an architecture are tied, so they drop out.
    untied = np.concatenate(parts, axis=1)
    counted = np.concatenate(in_threads(lambda index: levels(*given, pairs, words[index], bits), len(words), small), axis=1)
    first, second = untied[pairs[:, 0]].astype(np.float64), untied[pairs[:, 1]].astype(np.float64)
    # The count is 1 + concordance of the untied pairs, so subtracting their number leaves concordant − discordant; padding is cut off.
    agreeing = counted[:, : len(weights)] - untied[pairs[:, 0]]
    with np.errstate(divide="ignore", invalid="ignore"):  # 0 / 0 if all are tied: tau is undefined and becomes missing
        return np.asarray(agreeing / np.sqrt(first * second), dtype=np.float64)


def _packed(weights: NDArray[np.int32]) -> tuple[NDArray[np.uint64], int]:
    """Pack weights of several resamples into 64-bit words, (passes, n, WORDS); return them and the number of bits per weight."""
    resamples, count = weights.shape
    # A field holds at most 2 × the number of copies (lower ones count 2); more would carry into the next resample's field.
    bits = 16 if 2 * int(weights.sum(axis=1).max(initial=0)) < 1 << 16 else 32
    per = 64 // bits
    passes = -(-resamples // (WORDS * per))
    padded = np.zeros((passes * WORDS * per, count), dtype=np.uint64)
    padded[:resamples] = weights
    shifts = (bits * np.arange(per, dtype=np.uint64))[:, None]
    # Fields do not overlap, so the sum is a bitwise or, and adding words adds all resamples at once.
    words = (padded.reshape(passes, WORDS, per, count) << shifts).sum(axis=2, dtype=np.uint64)
    # (passes, n, WORDS): the words of one architecture are next to each other, in one cache line.
    return np.ascontiguousarray(words.transpose(0, 2, 1)), bits


def in_threads(work: Callable[[int], Any], count: int, small: bool = False) -> list[Any]:
    """Run `work(0)` to `work(count - 1)` on all cores, for work that releases the GIL, such as compiled kernels.

    Args:
        work: function of each number.
        count: number of calls.
        small: whether the work is too small for threads and runs in this one.
    """
    if small or count == 1:
        return [work(index) for index in range(count)]
    with ThreadPoolExecutor(min(count, usable_cores())) as pool:
        return list(pool.map(work, range(count)))


def _count_untied(  # type: ignore[no-untyped-def]  # types are given in _SIGNATURES
    order, below, weights
):
    """Pairs that are not tied, (V, R), of resamples (R, n)."""
    resamples, count = weights.shape
    untied = np.zeros((len(order), resamples), np.int64)
    upto = np.zeros(count + 1, np.int64)
    for resample in range(resamples):
        for row in range(len(order)):
            total = 0
            for index in range(count):
                total += weights[resample, order[row, index]]
                upto[index + 1] = total
            pairs = 0
            # `upto[k]` is the weight of the k lowest, so `upto[below]` is the weight strictly below the item.
            for item in range(count):
                pairs += weights[resample, item] * upto[below[row, item]]
            untied[row, resample] = pairs
    return untied


def _count_levels(  # type: ignore[no-untyped-def]  # types are given in _SIGNATURES
    order, place, below, upto, pairs, words, bits
):
    """For pairs of rankings, the sum over pairs of architectures of 1 + their concordance, (P, lanes): 2, 1 or 0 for each that is
    untied in the first ranking; words (n, WORDS) hold the weights of WORDS · 64 / bits resamples.
    """
    count, per = order.shape[1], 64 // bits
    # Constants of 64 unsigned bits: numba turns uint64 mixed with int64 into float64.
    one_bit, field = np.uint64(1), (np.uint64(1) << np.uint64(bits)) - np.uint64(1)
    sums = np.zeros((len(pairs), 4 * per), np.int64)
    tree = np.zeros((count + 1, 4), np.uint64)
    for pair in range(len(pairs)):
        one, two = pairs[pair]
        tree[:] = 0
        inserted = 0
        for index in range(count):
            item = order[one, index]
            # The tree contains only items strictly below this one in the first ranking; ties there count nothing.
            while inserted < below[one, item]:
                new = order[one, inserted]
                # Four named words instead of an inner loop, so they stay in registers.
                new_0, new_1, new_2, new_3 = words[new, 0], words[new, 1], words[new, 2], words[new, 3]
                node = np.uint64(place[two, new] + 1)
                while node <= np.uint64(count):
                    tree_0, tree_1 = tree[node, 0] + new_0, tree[node, 1] + new_1
                    tree_2, tree_3 = tree[node, 2] + new_2, tree[node, 3] + new_3
                    tree[node, 0], tree[node, 1], tree[node, 2], tree[node, 3] = tree_0, tree_1, tree_2, tree_3
                    # The lowest set bit, node & −node, in unsigned arithmetic.
                    node += node & (~node + one_bit)
                inserted += 1
            # Lower items count 2, tied items count 1: the prefix up to `low` plus that up to `high`, which share the rest of their paths.
            high, low = np.uint64(upto[two, item]), np.uint64(below[two, item])
            sum_0 = sum_1 = sum_2 = sum_3 = np.uint64(0)
            while high > low:
                sum_0, sum_1 = sum_0 + tree[high, 0], sum_1 + tree[high, 1]
                sum_2, sum_3 = sum_2 + tree[high, 2], sum_3 + tree[high, 3]
                high &= high - one_bit
            while low > high:
                sum_0, sum_1 = sum_0 + tree[low, 0], sum_1 + tree[low, 1]
                sum_2, sum_3 = sum_2 + tree[low, 2], sum_3 + tree[low, 3]
                low &= low - one_bit
            both_0 = both_1 = both_2 = both_3 = np.uint64(0)
            while low > np.uint64(0):
                both_0, both_1 = both_0 + tree[low, 0], both_1 + tree[low, 1]
                both_2, both_3 = both_2 + tree[low, 2], both_3 + tree[low, 3]
                low &= low - one_bit
            sum_0, sum_1, sum_2, sum_3 = sum_0 + 2 * both_0, sum_1 + 2 * both_1, sum_2 + 2 * both_2, sum_3 + 2 * both_3
            for part in range(per):
                shift = np.uint64(bits * part)
                # A pair counts with the product of both weights; separate the fields first, because a product of words would mix resamples.
                sums[pair, part] += np.int64(((words[item, 0] >> shift) & field) * ((sum_0 >> shift) & field))
                sums[pair, per + part] += np.int64(((words[item, 1] >> shift) & field) * ((sum_1 >> shift) & field))
                sums[pair, 2 * per + part] += np.int64(((words[item, 2] >> shift) & field) * ((sum_2 >> shift) & field))
                sums[pair, 3 * per + part] += np.int64(((words[item, 3] >> shift) & field) * ((sum_3 >> shift) & field))
    return sums


_SIGNATURES = {
    "_count_untied": "i8[:,::1](i4[:,::1],i4[:,::1],i4[:,::1])",
    "_count_levels": "i8[:,::1](i4[:,::1],i4[:,::1],i4[:,::1],i4[:,::1],i8[:,::1],u8[:,::1],i8)",
}


@functools.cache
def compiled(function: Callable[..., Any]) -> Callable[..., Any]:
    """The machine code of a kernel, cached next to the package (or in `NUMBA_CACHE_DIR`) for later processes.

    If it cannot be cached, every process compiles it again, which takes seconds, and logs a warning.
    """
    import numba  # takes half a second, so import it only if needed

    # Explicit types are compiled once in advance; otherwise a slice or another integer type would compile a second version.
    signature = _SIGNATURES[function.__name__]
    try:
        kernel: Callable[..., Any] = numba.njit([signature], cache=True, nogil=True)(function)
    except (RuntimeError, OSError) as error:  # no writable folder, or a full or broken disk
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        logging.getLogger(__name__).warning("compiled kernels cannot be cached (%s); set NUMBA_CACHE_DIR to a writable folder", reason)
        kernel = numba.njit([signature], nogil=True)(function)
    return kernel
