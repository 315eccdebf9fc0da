"""Comparison groups, and the accuracies of one group as an array in which every algorithm meets the same pairs.

A comparison group is one (search space, data set, profile); within it every algorithm trains the same architectures from
the same seeds. All of `analysis` works on the final trials of such groups:

- a trial that is `done` counts with its accuracy;
- a trial that `diverged` is an outcome: it counts as accuracy 0, and an architecture with a diverged seed ranks last, tied with
  all others of that kind;
- every other trial (refused, failed, not finished) is missing: its architecture is left out of the comparisons of that algorithm.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from agd_bench.errors import InputError, UnknownNameError

Floats = NDArray[np.float64]
Split = tuple[tuple[int, ...], tuple[int, ...]]

GROUP = ["search_space", "dataset", "profile"]
METRICS = ("test_accuracy", "val_accuracy", "train_accuracy")
MAX_SPLITS = 12
DECIMALS = 9
"""Means are rounded to 1e-9 before they are ranked: sums in another order must not split ties."""


@dataclass(frozen=True)
class Scores:
    """The accuracies of one comparison group.

    Attributes:
        group: search space, data set, profile.
        algorithms: labels, in the order of the table; M of them.
        architectures: canonical strings, in the order of the table; A of them.
        seeds: the final trials' seeds, ascending; S of them.
        values: accuracies in [0, 1], (M, A, S); 0 where diverged, NaN where missing.
        diverged: where a trial diverged, (M, A, S).
    """

    group: tuple[str, str, str]
    algorithms: tuple[str, ...]
    architectures: tuple[str, ...]
    seeds: tuple[int, ...]
    values: Floats
    diverged: NDArray[np.bool_]

    def means(self, positions: tuple[int, ...] | None = None) -> Floats:
        """Mean accuracies over seeds, (M, A), rounded to 1e-9: 0 where a seed diverged, NaN where one is missing.

        Args:
            positions: positions of the seeds to use; default: all.
        """
        chosen = list(range(len(self.seeds)) if positions is None else positions)
        means = self.values[:, :, chosen].mean(axis=2).round(DECIMALS)
        hurt = self.diverged[:, :, chosen].any(axis=2) & ~np.isnan(means)
        return np.where(hurt, 0.0, means)

    def complete(self) -> NDArray[np.bool_]:
        """Where an architecture has an outcome for every seed, (M, A)."""
        return np.asarray(~np.isnan(self.values).any(axis=2))

    def position(self, algorithm: str) -> int:
        """Place of an algorithm in `algorithms`.

        Raises:
            UnknownNameError: no algorithm of that label in the group.
        """
        if algorithm not in self.algorithms:
            raise UnknownNameError("algorithm", algorithm, self.algorithms)
        return self.algorithms.index(algorithm)


def comparison_groups(trials: pd.DataFrame) -> Iterator[tuple[tuple[str, str, str], pd.DataFrame]]:
    """The comparison groups of a table of trials, in the order of their first row.

    Yields:
        (search space, data set, profile) and the rows of that group.
    """
    for key, rows in trials.groupby(GROUP, sort=False):
        search_space, dataset, profile = (str(part) for part in key)
        yield (search_space, dataset, profile), rows


def scores(trials: pd.DataFrame, metric: str = "test_accuracy") -> Iterator[Scores]:
    """The final trials of every comparison group as arrays.

    Args:
        trials: the table of trials.
        metric: which accuracy: `test_accuracy`, `val_accuracy` or `train_accuracy`.

    Raises:
        UnknownNameError: another metric.
        InputError: two final trials for one architecture, algorithm and seed, or an accuracy outside [0, 1].
    """
    if metric not in METRICS:
        raise UnknownNameError("metric", metric, METRICS)
    final = trials[trials["purpose"] == "final"]
    for group, rows in comparison_groups(final):
        yield _scores_of(group, rows, metric)


def _scores_of(group: tuple[str, str, str], rows: pd.DataFrame, metric: str) -> Scores:
    algorithm, algorithms = pd.factorize(rows["algorithm"])
    architecture, architectures = pd.factorize(rows["architecture"])
    seed, seeds = pd.factorize(rows["seed"], sort=True)
    shape = (len(algorithms), len(architectures), len(seeds))
    cells = np.ravel_multi_index((algorithm, architecture, seed), shape)
    if len(np.unique(cells)) < len(cells):
        raise InputError(
            f"{' / '.join(group)}: two final trials of one algorithm, architecture and seed; give the trials of one sweep only"
        )
    status = rows["status"].to_numpy(dtype=object)
    accuracy = pd.to_numeric(rows[metric]).to_numpy(dtype=np.float64, na_value=np.nan)
    accuracy = np.where(status == "done", accuracy, np.nan)
    if bool(((accuracy < 0) | (accuracy > 1)).any()):
        raise InputError(f"{' / '.join(group)}: {metric} outside [0, 1]; accuracies are shares of correct answers, not per cent")
    values, diverged = np.full(math.prod(shape), np.nan), np.zeros(math.prod(shape), dtype=bool)
    values[cells] = np.where(status == "diverged", 0.0, accuracy)
    diverged[cells] = status == "diverged"
    labels = tuple(str(label) for label in algorithms)
    names = tuple(str(name) for name in architectures)
    return Scores(group, labels, names, tuple(int(value) for value in seeds), values.reshape(shape), diverged.reshape(shape))


def seed_splits(count: int) -> list[Split]:
    """Pairs of disjoint halves of the seeds, each of floor(count / 2), both orders of every pair.

    Args:
        count: how many seeds.

    Returns:
        At most `MAX_SPLITS` pairs of positions, a fixed draw where there are more; none for fewer than two seeds.

    >>> seed_splits(3)
    [((0,), (1,)), ((0,), (2,)), ((1,), (2,)), ((1,), (0,)), ((2,), (0,)), ((2,), (1,))]
    >>> seed_splits(1)
    []
    """
    half = count // 2
    if half == 0:
        return []
    if count <= 4:
        subsets = itertools.combinations(range(count), half)
        pairs = [(first, second) for first, second in itertools.combinations(subsets, 2) if not set(first) & set(second)]
    else:
        rng = np.random.default_rng(count)
        drawn = [tuple(int(value) for value in rng.permutation(count)[: 2 * half]) for _ in range(MAX_SPLITS // 2)]
        pairs = [(tuple(sorted(order[:half])), tuple(sorted(order[half:]))) for order in drawn]
    return pairs + [(second, first) for first, second in pairs]


def describe(group: tuple[str, str, str]) -> dict[str, str]:
    """The group's columns of a result row."""
    return dict(zip(GROUP, group, strict=True))
