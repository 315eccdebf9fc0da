"""Performance profiles and mean speed-ups from times to target.

A problem is one architecture with one seed (and one target); it is used if every algorithm of its group has an outcome for it. Intervals
are percentile bootstraps over architectures, each with all its seeds.

References:
    E. D. Dolan, J. J. Moré, Benchmarking optimization software with performance profiles, Mathematical Programming, 2002.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from agd_bench.analysis.bootstrap import FEWEST_FOR_INTERVAL, percentile_interval, resampled_means
from agd_bench.analysis.costs.time_to_target import TIMES
from agd_bench.analysis.scores import GROUP, LEVEL, Floats
from agd_bench.errors import InputError, UnknownNameError

FACTORS = 64
"""Number of points of a profile, evenly spaced in the logarithm."""


def profile_performance(times: pd.DataFrame, time: str = "flops", factors: Sequence[float] = (), resamples: int = 1000) -> pd.DataFrame:
    """Share of the problems that each algorithm solves within a factor of the fastest algorithm's time.

    The time to a target that was never reached is infinite; a problem that no algorithm solves counts as unsolved by all.

    Args:
        times: as `time_to_target` gives them.
        time: which column to compare: `epochs`, `flops`, `seconds`, `flops_with_tuning` or `seconds_with_tuning`.
        factors: at which factors, from 1; default: 64 from 1 to the largest that occurs.
        resamples: bootstrap resamples.

    Returns:
        One row per group, quantile, algorithm and factor: `search_space`, `dataset`, `profile`, `quantile`, `algorithm`, `factor`;
        `share` (of the problems solved within factor × the best time, in [0, 1]; at factor 1: how often it is fastest, ties included)
        with `low`, `high` (NaN for fewer than 8 architectures); `problems`, `architectures`, `unsolved` (problems that no algorithm
        solves).

    Raises:
        UnknownNameError: no such column of times.
        InputError: a factor is below 1, or times are missing.
    """
    if any(factor < 1 for factor in factors):
        raise InputError(f"factors: {min(factors)} is below 1; factors must be at least 1")
    tables = []
    for names, algorithms, architecture, values in _problems(times, time):
        best = values.min(axis=1, keepdims=True)
        # Infinite divided by infinite would be NaN; no algorithm solves such a problem.
        ratios = np.divide(values, best, out=np.full(values.shape, np.inf), where=np.isfinite(values))
        largest = float(ratios[np.isfinite(ratios)].max(initial=1.0))
        # At least up to 1.01; otherwise equal times would give 64 equal factors.
        grid = np.array(factors) if len(factors) else np.geomspace(1.0, max(largest, 1.01), FACTORS)
        # The margin makes a ratio equal to a factor up to rounding count as solved.
        solved = _solved(ratios, architecture, grid * (1 + 1e-12))
        low, high = _shares(solved, np.bincount(architecture), resamples)
        counts = {"problems": len(values), "architectures": len(np.unique(architecture)), "unsolved": int(np.isinf(best).sum())}
        for place, algorithm in enumerate(algorithms):
            columns = {"factor": grid, "share": solved[:, place].sum(axis=0) / len(values), "low": low[place], "high": high[place]}
            tables.append(pd.DataFrame({**names, "algorithm": algorithm, **columns, **counts}))
    columns_ = [*GROUP, "quantile", "algorithm", "factor", "share", "low", "high", "problems", "architectures", "unsolved"]
    return pd.concat(tables, ignore_index=True) if tables else pd.DataFrame(columns=columns_)


def _problems(times: pd.DataFrame, time: str) -> Iterator[tuple[dict[str, Any], list[str], NDArray[np.intp], Floats]]:
    """Per group and quantile: names, algorithms, the architecture of each problem by number, and times (problems, algorithms)."""
    if time not in TIMES:
        raise UnknownNameError("column of times", time, TIMES)
    used = [*GROUP, "quantile", "algorithm", "architecture", "seed", time]  # the others need not be copied
    for names, rows in times[used].groupby([*GROUP, "quantile"], sort=False):
        figures = rows[time].to_numpy(dtype=np.float64, na_value=np.nan)
        if np.isnan(figures).any():
            raise InputError(f"{time}: missing for some trials, so they cannot be compared by it; use another column, for example 'epochs'")
        algorithm, algorithms = pd.factorize(rows["algorithm"])
        found, texts = pd.factorize(rows["architecture"])
        # Problems in the order of their architectures' strings, because resamples draw architectures by number.
        place = np.argsort(np.argsort(np.array([str(text) for text in texts]), kind="stable"))
        seed, seeds = pd.factorize(rows["seed"], sort=True)
        shape = (len(texts), len(seeds), len(algorithms))
        cells = np.ravel_multi_index((place[found], seed, algorithm), shape)
        if np.bincount(cells, minlength=1).max() > 1:
            raise InputError("times: duplicate rows for one algorithm, architecture, seed and quantile; pass the times of one sweep only")
        table = np.full(shape, np.nan).reshape(-1, len(algorithms))
        table.flat[cells] = figures
        # A problem is used if every algorithm has an outcome for it, whether or not the target was reached.
        kept = ~np.isnan(table).any(axis=1)
        if kept.any():
            numbers = np.unique(np.repeat(np.arange(len(texts)), len(seeds))[kept], return_inverse=True)[1]
            yield dict(zip([*GROUP, "quantile"], names, strict=True)), [str(label) for label in algorithms], numbers, table[kept]


def _solved(ratios: Floats, architecture: NDArray[np.intp], grid: Floats) -> Floats:
    """Number of problems of each architecture that each algorithm solves within each factor, (A, algorithms, factors).

    Args:
        ratios: times divided by the best time, (problems, algorithms).
        architecture: architecture of each problem, by number.
        grid: factors, ascending or not.
    """
    order = np.argsort(grid, kind="stable")
    count, algorithms, factors = int(architecture.max()) + 1, ratios.shape[1], len(grid)
    # Count problems by the first factor within which they are solved (or one beyond the last if unsolved), then accumulate.
    first = np.searchsorted(grid[order], ratios, side="left")
    cells = (architecture[:, None] * algorithms + np.arange(algorithms)) * (factors + 1) + first
    counts = np.bincount(cells.ravel(), minlength=count * algorithms * (factors + 1)).reshape(count, algorithms, factors + 1)
    solved = np.empty((count, algorithms, factors))
    solved[:, :, order] = np.cumsum(counts[:, :, :-1], axis=2)
    return solved


def _shares(solved: Floats, sizes: NDArray[np.intp], resamples: int) -> tuple[Floats, Floats]:
    """Ends of the intervals of the shares, (algorithms, factors) each, from problems solved (A, …) of so many of each architecture."""
    count, *shape = solved.shape
    if count < FEWEST_FOR_INTERVAL or not resamples:
        return np.full(shape, np.nan), np.full(shape, np.nan)
    drawn = resampled_means(np.column_stack([solved.reshape(count, -1), sizes]), resamples, np.random.default_rng(0))
    # A ratio of resampled sums, because architectures may have unequal numbers of seeds.
    shares = drawn[:, :-1] / drawn[:, -1:]
    low, high = np.quantile(shares, [(1 - LEVEL) / 2, (1 + LEVEL) / 2], axis=0)
    return low.reshape(shape), high.reshape(shape)


def speed_ups(times: pd.DataFrame, baseline: str, time: str = "flops", resamples: int = 1000) -> pd.DataFrame:
    """Geometric mean of the baseline's time over each other algorithm's, on the problems that both solve.

    The counts state how many problems are not solved by one or both.

    Args:
        times: as returned by `time_to_target`.
        baseline: label of the algorithm compared with.
        time: which column to compare.
        resamples: bootstrap resamples.

    Returns:
        One row per group, quantile and other algorithm: `search_space`, `dataset`, `profile`, `quantile`, `baseline`, `algorithm`;
        `speed_up` (above 1: faster than the baseline; NaN if no problem is solved by both) with `low`, `high` (NaN for fewer than 8
        architectures); `both`, `only_algorithm`, `only_baseline`, `neither` (problems by which of the two solves them).

    Raises:
        UnknownNameError: the column does not exist, or a group does not contain the baseline.
        InputError: times are missing.
    """
    rows: list[dict[str, Any]] = []
    for names, algorithms, architecture, values in _problems(times, time):
        if baseline not in algorithms:
            raise UnknownNameError("algorithm", baseline, algorithms)
        reference = values[:, algorithms.index(baseline)]
        for place, algorithm in enumerate(algorithms):
            if algorithm == baseline:
                continue
            own = values[:, place]
            solved, other = np.isfinite(own), np.isfinite(reference)
            # A problem that one of them does not solve has no ratio, so the mean favours algorithms that give up on hard problems.
            both = solved & other
            logs = np.log(reference[both]) - np.log(own[both])
            low, high = _mean_interval(logs, architecture[both], resamples)
            row = {**names, "baseline": baseline, "algorithm": algorithm, "speed_up": np.exp(logs.mean()) if len(logs) else np.nan}
            row |= {"low": np.exp(low), "high": np.exp(high), "both": int(both.sum()), "only_algorithm": int((solved & ~other).sum())}
            rows.append(row | {"only_baseline": int((other & ~solved).sum()), "neither": int((~other & ~solved).sum())})
    columns = ["quantile", "baseline", "algorithm", "speed_up", "low", "high", "both", "only_algorithm", "only_baseline", "neither"]
    return pd.DataFrame(rows, columns=[*GROUP, *columns])


def _mean_interval(logs: Floats, architecture: NDArray[np.intp], resamples: int) -> tuple[float, float]:
    used = np.unique(architecture, return_inverse=True)[1] if len(logs) else architecture
    if len(logs) == 0 or used.max() + 1 < FEWEST_FOR_INTERVAL or not resamples:
        return np.nan, np.nan
    # Sums and counts by architecture, because an architecture is drawn with all its seeds.
    sums = np.column_stack([np.bincount(used, weights=logs), np.bincount(used).astype(np.float64)])
    drawn = resampled_means(sums, resamples, np.random.default_rng(0))
    return percentile_interval(drawn[:, 0] / drawn[:, 1])
