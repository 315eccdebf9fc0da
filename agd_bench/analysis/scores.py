"""Comparison groups, and the accuracies of one group as an array with the same pairs of architecture and seed for every algorithm.

A comparison group is one (search space, data set, profile); within it, every algorithm trains the same architectures from the same seeds.
All of `analysis` uses the final trials of such groups:

- a trial that is `done` counts with its accuracy;
- a trial that `diverged` is an outcome: it counts as accuracy 0, and an architecture with a diverged seed ranks last, tied with all other
  such architectures;
- any other trial (refused, failed, not finished) is missing: its architecture is left out of comparisons of that algorithm.

With adaptive seeds, architectures have different numbers of seeds. Means and ranks use all seeds of an architecture; comparisons of
rankings at equal numbers of seeds (tau, its ceiling, shifts, regrets) use the seeds that all architectures have.

A table may not contain an architecture and seed for any algorithm, as in `complete_cases` of an unfinished run; that seed is treated as not
given. Rankings at equal numbers of seeds then use some architectures with several seeds rather than all with one, because noise cannot
be estimated from one seed; see `_equal_seeds`.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from agd_bench.errors import InputError, UnknownNameError

Floats = NDArray[np.float64]
Split = tuple[tuple[int, ...], tuple[int, ...]]
Made = TypeVar("Made")

LEVEL = 0.95
"""Coverage of every interval."""
GROUP = ["search_space", "dataset", "profile"]
FEWEST_REPLICATED = 8
"""Smallest number of architectures with several seeds for comparing rankings with noise, as for intervals."""
METRICS = ("test_accuracy", "val_accuracy", "train_accuracy")
MAX_SPLITS = 12
DECIMALS = 9
"""Means are rounded to 1e-9 before ranking, so a different order of summation does not break ties."""


@dataclass(frozen=True)
class Scores:
    """The accuracies of one comparison group.

    Attributes:
        group: search space, data set, profile.
        algorithms: labels, in the order of the table; M of them.
        architectures: canonical strings, in the order of the table; A of them.
        seeds: the final trials' seeds, ascending; S of them.
        values: accuracies in [0, 1], (M, A, S); 0 where diverged, NaN where missing.
        diverged: whether each trial diverged, (M, A, S).
        spared: whether a trial was not needed by an adaptive sweep, or no algorithm has it, (M, A, S); None: all architectures have all
            seeds.
    """

    group: tuple[str, str, str]
    algorithms: tuple[str, ...]
    architectures: tuple[str, ...]
    seeds: tuple[int, ...]
    values: Floats
    diverged: NDArray[np.bool_]
    spared: NDArray[np.bool_] | None = None

    def means(self, positions: tuple[int, ...] | None = None) -> Floats:
        """Mean accuracies over seeds, (M, A), rounded to 1e-9; 0 if a seed diverged, NaN if one is missing.

        Args:
            positions: positions of the seeds to use; default: all.
        """
        chosen = list(range(len(self.seeds)) if positions is None else positions)
        # Means use only the seeds that an adaptive sweep gave the architecture.
        given = True if self.spared is None else ~self.spared[:, :, chosen]
        means = self.values[:, :, chosen].mean(axis=2, where=given).round(DECIMALS)
        # One diverged seed ranks the architecture last, regardless of the others.
        hurt = self.diverged[:, :, chosen].any(axis=2) & ~np.isnan(means)
        return np.where(hurt, 0.0, means)

    def complete(self) -> NDArray[np.bool_]:
        """Whether an architecture has an outcome for every seed it was given, (M, A)."""
        missing = np.isnan(self.values) if self.spared is None else np.isnan(self.values) & ~self.spared
        return np.asarray(~missing.any(axis=2))

    def position(self, algorithm: str) -> int:
        """Position of an algorithm in `algorithms`.

        Raises:
            UnknownNameError: the group has no algorithm with that label.
        """
        if algorithm not in self.algorithms:
            raise UnknownNameError("algorithm", algorithm, self.algorithms)
        return self.algorithms.index(algorithm)


def comparison_groups(trials: pd.DataFrame) -> Iterator[tuple[tuple[str, str, str], pd.DataFrame]]:
    """The comparison groups of a table of trials, in the order of their first row.

    Yields:
        (search space, data set, profile) and the rows of that group.
    """
    for key, rows in trials.groupby(GROUP, sort=False, observed=True):
        search_space, dataset, profile = (str(part) for part in key)
        yield (search_space, dataset, profile), rows


def trained_rows(trials: pd.DataFrame) -> pd.DataFrame:
    """The trials without those that reuse the results of an equal network, which are not separate observations.

    Args:
        trials: the table of trials; an older table without the column `representative` is returned unchanged.
    """
    return trials[trials["representative"].isna()] if "representative" in trials else trials


def paired_scores(trials: pd.DataFrame, metric: str = "test_accuracy", every_seed: bool = False) -> Iterator[Scores]:
    """The final trials of every comparison group as arrays; equal networks that share results count once (`trained_rows`).

    Args:
        trials: the table of trials.
        metric: which accuracy: `test_accuracy`, `val_accuracy` or `train_accuracy`.
        every_seed: whether to include seeds that only some architectures of an adaptive sweep have; otherwise only common seeds.

    Raises:
        UnknownNameError: an unknown metric.
        InputError: duplicate final trials for one architecture, algorithm and seed, or an accuracy outside [0, 1].
    """
    if metric not in METRICS:
        raise UnknownNameError("metric", metric, METRICS)
    yield from once(trials, ("scores", metric, every_seed), lambda: _all_scores(trials, metric, every_seed))


@contextmanager
def shared_work() -> Iterator[None]:
    """Context in which intermediate results shared by several tables, mainly `paired_scores`, are computed only once.

    The tables of trials must not be modified meanwhile; the arrays of scores are read-only. Nothing is shared with other threads.
    """
    before = _SHARED.set({})
    try:
        yield
    finally:
        _SHARED.reset(before)


def once(trials: pd.DataFrame, what: tuple[object, ...], make: Callable[[], Iterator[Made]]) -> Iterator[Made]:
    """The items that `make` yields from a table; within `shared_work`, it is called once per table and `what`."""
    shared = _SHARED.get()
    if shared is None:
        yield from make()
        return
    key = (id(trials), *what)
    if key not in shared:
        shared[key] = trials, list(make())  # keep a reference to the table, so its id is not reused
    yield from shared[key][1]


_SHARED: ContextVar[dict[tuple[object, ...], tuple[pd.DataFrame, list[Any]]] | None] = ContextVar("_SHARED", default=None)


def _all_scores(trials: pd.DataFrame, metric: str, every_seed: bool) -> Iterator[Scores]:
    final = trained_rows(trials[trials["purpose"] == "final"])
    for group, rows in comparison_groups(final):
        spared = rows["status"] == "unneeded"
        # Rankings are compared at equal numbers of seeds, so one spared trial removes its seed for all architectures.
        kept = rows if every_seed else rows[~rows["seed"].isin(rows.loc[spared, "seed"])]
        yield _scores_of(group, kept, metric, equal=not every_seed)


def _equal_seeds(given: NDArray[np.bool_]) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """A set of architectures and seeds for which all combinations exist, if not all architectures have all seeds.

    Among numbers of at least two seeds shared by at least `FEWEST_REPLICATED` architectures, choose the one with the most trials; otherwise
    use one seed. Seeds that more architectures have come first, so a run that proceeds seed by seed is cut to a prefix.

    Args:
        given: whether an architecture has a seed, (A, S).

    Returns:
        Positions of architectures and of seeds, ascending.
    """
    order = np.argsort(-given.sum(axis=0), kind="stable")
    # Column k: the architectures that have all of the k + 1 most frequent seeds.
    nested = np.logical_and.accumulate(given[:, order], axis=1)
    shared = nested.sum(axis=0)
    # With one seed, noise is unknown, so several seeds of some architectures are better than one seed of all.
    several = [count for count in range(2, len(order) + 1) if shared[count - 1] >= FEWEST_REPLICATED]
    chosen = max(several, key=lambda count: (int(count * shared[count - 1]), count), default=1)
    return np.flatnonzero(nested[:, chosen - 1]), np.sort(order[:chosen])


def _scores_of(group: tuple[str, str, str], rows: pd.DataFrame, metric: str, equal: bool) -> Scores:
    algorithm, algorithms = pd.factorize(rows["algorithm"])
    architecture, architectures = pd.factorize(rows["architecture"])
    seed, seeds = pd.factorize(rows["seed"], sort=True)
    shape = (len(algorithms), len(architectures), len(seeds))
    cells = np.ravel_multi_index((algorithm, architecture, seed), shape)
    counts = np.bincount(cells, minlength=math.prod(shape))
    if counts.max(initial=0) > 1:
        raise InputError(
            f"{' / '.join(group)}: duplicate final trials of one algorithm, architecture and seed; pass the trials of one sweep only"
        )
    done, lost, unneeded = ((rows["status"] == status).to_numpy(dtype=bool) for status in ("done", "diverged", "unneeded"))
    accuracy = pd.to_numeric(rows[metric]).to_numpy(dtype=np.float64, na_value=np.nan)
    accuracy = np.where(done, accuracy, np.nan)
    if bool(((accuracy < 0) | (accuracy > 1)).any()):
        raise InputError(f"{' / '.join(group)}: {metric} outside [0, 1]; accuracies must be shares of correct answers, not per cent")
    values, diverged = np.full(math.prod(shape), np.nan), np.zeros(math.prod(shape), dtype=bool)
    values[cells] = np.where(lost, 0.0, accuracy)
    diverged[cells] = lost
    spared = np.zeros(math.prod(shape), dtype=bool)
    spared[cells] = unneeded
    outcomes = [array.reshape(shape) for array in (values, diverged, spared)]
    given: NDArray[np.bool_] = np.asarray(counts.reshape(shape).any(axis=0))
    if not given.all():
        if equal:
            place, number = _equal_seeds(given)
            outcomes = [array[:, place][:, :, number] for array in outcomes]
            architectures, seeds = architectures[place], seeds[number]
        else:
            outcomes[2] = outcomes[2] | ~given
    for array in outcomes:
        array.flags.writeable = False  # they may be shared
    labels = tuple(str(label) for label in algorithms)
    names = tuple(str(name) for name in architectures)
    known = (outcomes[0], outcomes[1], outcomes[2] if outcomes[2].any() else None)
    return Scores(group, labels, names, tuple(int(value) for value in seeds), *known)


def seed_splits(count: int) -> list[Split]:
    """Pairs of disjoint halves of the seeds, each of size floor(count / 2), in both orders.

    Returns:
        At most `MAX_SPLITS` pairs of positions, a fixed random sample if there are more; none for fewer than two seeds.

    >>> seed_splits(3)
    [((0,), (1,)), ((0,), (2,)), ((1,), (2,)), ((1,), (0,)), ((2,), (0,)), ((2,), (1,))]
    >>> seed_splits(1)
    []
    """
    half = count // 2
    if half == 0:
        return []
    # Few enough to enumerate.
    if count <= 4:
        subsets = itertools.combinations(range(count), half)
        pairs = [(first, second) for first, second in itertools.combinations(subsets, 2) if not set(first) & set(second)]
    else:
        # Seeded by the count, so every table of a report uses the same splits.
        rng = np.random.default_rng(count)
        drawn = [tuple(int(value) for value in rng.permutation(count)[: 2 * half]) for _ in range(MAX_SPLITS // 2)]
        pairs = [(tuple(sorted(order[:half])), tuple(sorted(order[half:]))) for order in drawn]
    return pairs + [(second, first) for first, second in pairs]


def describe(group: tuple[str, str, str]) -> dict[str, str]:
    """The group's columns of a result row."""
    return dict(zip(GROUP, group, strict=True))
