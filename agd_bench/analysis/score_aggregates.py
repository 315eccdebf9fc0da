"""Aggregates over all architectures and seeds at once, with intervals for the seeds.

Each resample draws seeds anew within every architecture (stratified bootstrap). Used are the architectures that have an outcome for
every seed under every algorithm; a diverged trial scores 0.

References:
    R. Agarwal, M. Schwarzer, P. S. Castro, A. Courville, M. Bellemare, Deep reinforcement learning at the edge of the statistical
        precipice, NeurIPS 2021 (sections 4.2 and 4.3).
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from agd_bench.analysis.bootstrap import percentile_interval
from agd_bench.analysis.rankings.kernels import in_threads
from agd_bench.analysis.scores import GROUP, Floats, describe, paired_scores
from agd_bench.errors import InputError

STATISTICS = ("median", "iqm", "mean", "optimality_gap")


def aggregate_scores(
    trials: pd.DataFrame,
    metric: str = "test_accuracy",
    optimum: float = 1.0,
    level: float = 0.95,
    resamples: int = 1000,
    seed: int = 0,
) -> pd.DataFrame:
    """Median, interquartile mean, mean and optimality gap of every algorithm.

    Args:
        trials: the table of trials.
        metric: which accuracy.
        optimum: the accuracy from which a trial counts as optimal, in (0, 1].
        level: coverage of the intervals.
        resamples: bootstrap resamples.
        seed: seed of the resampling.

    Returns:
        One row per group, algorithm and statistic: `search_space`, `dataset`, `profile`, `algorithm`; `statistic`: `median` (over
        architectures of their means over seeds), `iqm` (mean of the middle half of all trials), `mean` (of all trials),
        `optimality_gap` (mean of what a trial lacks to the optimum; lower is better); `value` (in [0, 1]) with `low`, `high` (95 %
        interval over seeds; NaN with one seed); `architectures`, `seeds`.

    Raises:
        InputError: an optimum outside (0, 1].
    """
    if not 0 < optimum <= 1:
        raise InputError(f"optimum = {optimum}: accuracies are shares in [0, 1]; give an optimum above 0 and at most 1")
    rows: list[dict[str, Any]] = []
    for group in paired_scores(trials, metric):
        values = group.values[:, group.complete().all(axis=0)]
        algorithms, count, seeds = values.shape
        if not count:
            continue
        # Sorted once: a resample changes the weights of values, not their order.
        order = np.argsort(values.reshape(algorithms, -1), axis=1, kind="stable")
        rng = np.random.default_rng(seed)
        # Architectures are fixed, as the tasks of a suite; only the seeds would differ next time.
        drawn = [_seed_weights((count, seeds), rng) for _ in range(resamples if seeds > 1 else 0)]
        weights = [np.ones((count, seeds), dtype=np.int8), *drawn]
        both = in_threads(functools.partial(_statistics_at, values, order, weights, optimum), algorithms, small=count * seeds < 10_000)
        found, spread = np.array([each[0] for each in both]), np.stack([each[1:] for each in both], axis=1)
        for place, algorithm in enumerate(group.algorithms):
            for index, name in enumerate(STATISTICS):
                low, high = _interval(float(found[place, index]), spread[:, place, index], seeds, level)
                row: dict[str, Any] = {**describe(group.group), "algorithm": algorithm, "statistic": name, "value": found[place, index]}
                rows.append(row | {"low": low, "high": high, "architectures": count, "seeds": seeds})
    columns = ["algorithm", "statistic", "value", "low", "high", "architectures", "seeds"]
    return pd.DataFrame(rows, columns=[*GROUP, *columns])


def _interval(value: float, drawn: Floats, seeds: int, level: float) -> tuple[float, float]:
    """The middle of the resamples, stretched for few seeds, around the value; clipped to [0, 1]. NaN without resamples."""
    if not len(drawn):
        return float("nan"), float("nan")
    # Drawing from S seeds has (S − 1) / S of the true variance, which matters for few of them.
    low, high = percentile_interval(np.sqrt(seeds / (seeds - 1)) * (drawn - drawn.mean()), level)
    return max(value + low, 0.0), min(value + high, 1.0)


def _seed_weights(shape: tuple[int, ...], rng: np.random.Generator) -> NDArray[np.signedinteger[Any]]:
    """How often each seed of each architecture is drawn, (A, S); rows sum to S."""
    count, seeds = shape
    drawn = rng.integers(0, seeds, shape) + seeds * np.arange(count)[:, None]
    # Small integers: gathering them in sorted order takes a fraction of the time.
    small = np.int8 if 2 * seeds**2 < 128 else np.int16 if 2 * seeds**2 < 32768 else np.int64  # products of two, doubled, must fit
    return np.bincount(drawn.ravel(), minlength=count * seeds).reshape(shape).astype(small)


def _statistics_at(values: Floats, order: NDArray[np.intp], weights: list[NDArray[np.int8]], optimum: float, place: int) -> Floats:
    """`_statistics` of the algorithm at that place."""
    return _statistics(values[place], order[place], weights, optimum)


def _statistics(own: Floats, order: NDArray[np.intp], weights: Sequence[NDArray[np.signedinteger[Any]]], optimum: float) -> Floats:
    """The four statistics of an algorithm, (R, 4), from accuracies (A, S), their order (A·S,) and weights (A, S) of R resamples."""
    ascending, seeds = own.ravel()[order], own.shape[1]
    rows = np.empty((len(weights), len(STATISTICS)))
    for row, held in zip(rows, weights, strict=True):
        means = (own * held).sum(axis=1) / seeds
        middle = trimmed_mean(ascending, held.ravel()[order])
        # Accuracies never exceed 1, so with that optimum the gap is 1 − mean.
        gap = (np.maximum(optimum - own, 0.0) * held).mean() if optimum < 1 else 1.0 - means.mean()
        row[:] = np.median(means), middle, means.mean(), gap
    return rows


def trimmed_mean(ascending: Floats, weights: Floats | NDArray[np.signedinteger[Any]], cut: float = 0.25) -> float:
    """Mean without the lowest and the highest `cut` of the values, each of which stands there as often as its weight says.

    Args:
        ascending: values in order, (n,).
        weights: whole numbers, (n,).
        cut: share cut off at either end; whole values only, rounded down, as `scipy.stats.trim_mean` does.

    >>> trimmed_mean(np.array([1.0, 2.0, 4.0, 9.0]), np.ones(4))
    3.0
    """
    upto = np.cumsum(weights)
    edge = np.floor(cut * upto[-1])
    # Cumulative counts clipped to the middle: a value on the edge keeps the part of its copies that lies inside.
    kept = np.clip(upto, edge, upto[-1] - edge)
    return float((kept[0] - edge) * ascending[0] + (np.diff(kept) @ ascending[1:])) / float(upto[-1] - 2 * edge)


def probability_of_improvement(
    trials: pd.DataFrame, metric: str = "test_accuracy", level: float = 0.95, resamples: int = 1000, seed: int = 0
) -> pd.DataFrame:
    """Chance that a trial of one algorithm beats a trial of another on the same architecture, averaged over architectures.

    Args:
        trials: the table of trials.
        metric: which accuracy.
        level: coverage of the intervals.
        resamples: bootstrap resamples.
        seed: seed of the resampling.

    Returns:
        One row per group and ordered pair: `search_space`, `dataset`, `profile`, `algorithm`, `other`; `probability` (that
        `algorithm` is better, in [0, 1]; a tie counts one half; over all pairs of their seeds) with `low`, `high` (interval
        over seeds; NaN with one seed); `architectures`, `seeds`.
    """
    rows: list[dict[str, Any]] = []
    for group in paired_scores(trials, metric):
        kept = group.complete().all(axis=0)
        values = group.values[:, kept]
        algorithms, count, seeds = values.shape
        if not count:
            continue
        shared = {"architectures": count, "seeds": seeds}
        for first, second in itertools.combinations(range(algorithms), 2):
            wins = (1 + np.sign(values[first][:, :, None] - values[second][:, None, :])) / 2  # (A, S, S)
            chance = float(wins.mean())
            low, high = _interval(chance, _chances(wins, (seed, first, second), resamples), seeds, level)
            for a, b, value, bottom, top in ((first, second, chance, low, high), (second, first, 1 - chance, 1 - high, 1 - low)):
                row: dict[str, Any] = {**describe(group.group), "algorithm": group.algorithms[a], "other": group.algorithms[b]}
                rows.append(row | {"probability": value, "low": bottom, "high": top} | shared)
    return pd.DataFrame(rows, columns=[*GROUP, "algorithm", "other", "probability", "low", "high", "architectures", "seeds"])


def _chances(wins: Floats, key: tuple[int, ...], resamples: int) -> Floats:
    """The chance under each resample of the seeds, from wins (A, S, S) of 0, 1/2 or 1."""
    count, seeds, _ = wins.shape
    # Doubled, so that ties of 1/2 are whole numbers.
    halves = (2 * wins).astype(np.int8)
    drawn = np.empty(resamples if seeds > 1 else 0)
    for index, (mine, theirs) in enumerate(_both_weights(count, seeds, len(drawn), key)):
        drawn[index] = (mine[:, :, None] * theirs[:, None, :] * halves).sum(dtype=np.int64) / 2 / (count * seeds * seeds)
    return drawn


@functools.lru_cache(maxsize=1)
def _both_weights(count: int, seeds: int, resamples: int, key: tuple[int, ...]) -> NDArray[np.signedinteger[Any]]:
    """Weights of the seeds of two algorithms in every resample, (R, 2, A, S): one draw for all pairs of equal size that share a key."""
    rng = np.random.default_rng(key)
    drawn = [(_seed_weights((count, seeds), rng), _seed_weights((count, seeds), rng)) for _ in range(resamples)]
    weights = np.array(drawn).reshape(resamples, 2, count, seeds)
    weights.flags.writeable = False
    return weights
