"""A tabular benchmark: stored trainings of many architectures, queried instead of training them.

A query costs simulated seconds: those of the training, and those of the tuning study that chose its hyperparameters. A tuning study is
charged once, with the first training that uses it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from agd_bench.errors import InputError, UnknownNameError

Floats = NDArray[np.float64]
ARRAYS = ("val_accuracy", "test_accuracy", "val_loss", "seconds", "flops")
"""Fields of `Cells` with one value for each training."""
SeedChoice = int | Literal["random", "all"]


class Key(NamedTuple):
    """What all trainings of one set of cells have in common.

    Attributes:
        dataset: name of the data set.
        algorithm: label of the training algorithm.
        epochs: passes over the training images.
    """

    dataset: str
    algorithm: str
    epochs: int

    def __str__(self) -> str:
        return f"{self.dataset}/{self.algorithm}@{self.epochs}"


@dataclass(frozen=True)
class Cells:
    """The trainings of N architectures with S seeds; every array is (N, S), NaN where there is no training.

    Attributes:
        val_accuracy: on the validation split, in [0, 1]; 0 where the training diverged.
        test_accuracy: on the test split, likewise.
        val_loss: mean cross-entropy on the validation split.
        seconds: charged for the training, lost attempts included.
        flops: of the training, 2 per multiply-add.
        studies: number of the tuning study that each architecture uses, (N,), the same at all budgets that share it; -1: not tuned.
        study_seconds: charged for each study, (K,).
        means: whether accuracies are means over several trainings, so that they have less noise than one training.
        truncated: whether accuracies are of a longer training that was stopped here, not of one with a schedule of this length.
    """

    val_accuracy: Floats
    test_accuracy: Floats
    val_loss: Floats
    seconds: Floats
    flops: Floats
    studies: NDArray[np.int64]
    study_seconds: Floats
    means: bool = False
    truncated: bool = False


class Answer(NamedTuple):
    """The answer to a query.

    Attributes:
        accuracy: on the validation split, in [0, 1], the mean over `seeds`; visible to a search.
        test_accuracy: on the test split, likewise; not visible to a search. NaN if it was not measured.
        loss: mean cross-entropy on the validation split; NaN if it was not measured.
        train_seconds: charged for the trainings.
        tuning_seconds: charged for the tuning, if this is the first query that needs it.
        flops: of the trainings, 2 per multiply-add.
        seeds: seeds included in the answer.
    """

    accuracy: float
    test_accuracy: float
    loss: float
    train_seconds: float
    tuning_seconds: float
    flops: float
    seeds: tuple[int, ...]

    @property
    def charged_seconds(self) -> float:
        """Seconds by which the simulated clock advanced."""
        return self.train_seconds + self.tuning_seconds


@dataclass
class Table:
    """A tabular benchmark with a simulated clock.

    Attributes:
        name: of the run, published folder or search space.
        search_space: name of the search space's plug-in.
        architectures: their strings, N of them.
        seeds: S of them.
        cells: by data set, algorithm and epochs.
        baseline: label of the algorithm that the results are compared with; the default when a network is deployed.
        parameters: trainable scalars of each architecture by data set, (N,); NaN where unknown.
        scores: zero-cost scores by data set and name, (N,); NaN where there is none.
        clock_seconds: seconds charged for all queries since `reset`.
    """

    name: str
    search_space: str
    architectures: tuple[str, ...]
    seeds: tuple[int, ...]
    cells: dict[Key, Cells]
    baseline: str
    parameters: Mapping[str, Floats]
    scores: Mapping[str, Mapping[str, Floats]]
    clock_seconds: float = 0.0

    def __post_init__(self) -> None:
        self.reset()

    @cached_property
    def position(self) -> dict[str, int]:
        """Number of each architecture."""
        return {name: number for number, name in enumerate(self.architectures)}

    @property
    def datasets(self) -> list[str]:
        """Names of the data sets."""
        return list(dict.fromkeys(key.dataset for key in self.cells))

    @property
    def algorithms(self) -> list[str]:
        """Labels of the training algorithms."""
        return list(dict.fromkeys(key.algorithm for key in self.cells))

    def budgets(self, dataset: str, algorithm: str) -> list[int]:
        """The epochs for which there are trainings, ascending."""
        return sorted(key.epochs for key in self.cells if key[:2] == (dataset, algorithm))

    def key(self, algorithm: str | None = None, dataset: str | None = None, epochs: int | None = None) -> Key:
        """Complete a choice of cells.

        Args:
            algorithm: label; default: the only one, or the baseline.
            dataset: name; default: the only one.
            epochs: default: the most there are.

        Raises:
            UnknownNameError: the table has no such algorithm or data set.
            InputError: the data set is missing, or there are no trainings with these epochs.
        """
        if dataset is None and len(self.datasets) > 1:
            raise InputError(f"{self.name} has several data sets; name one of {', '.join(self.datasets)}")
        dataset = dataset or self.datasets[0]
        algorithm = algorithm or (self.baseline if self.baseline in self.algorithms else self.algorithms[0])
        for kind, given, known in (("data set", dataset, self.datasets), ("algorithm", algorithm, self.algorithms)):
            if given not in known:
                raise UnknownNameError(f"{kind} of {self.name}:", given, known)
        there = self.budgets(dataset, algorithm)
        if not there or (epochs is not None and epochs not in there):
            what = f"{epochs} epochs" if epochs is not None else "trainings"
            raise InputError(f"{self.name} has no {what} of {algorithm} on {dataset}; it has {', '.join(map(str, there)) or 'none'} epochs")
        return Key(dataset, algorithm, there[-1] if epochs is None else epochs)

    def reset(self, seed: int = 0) -> None:
        """Set the clock to 0, with no tuning paid, and seed the random choice of trainings."""
        self.clock_seconds = 0.0
        self._rng = np.random.default_rng(seed)
        self._paid: set[tuple[str, str, int]] = set()

    @contextmanager
    def stopped_clock(self) -> Iterator[None]:
        """Within the block, queries are not charged."""
        clock, paid = self.clock_seconds, set(self._paid)
        try:
            yield
        finally:
            self.clock_seconds, self._paid = clock, paid

    def query(
        self,
        architecture: str,
        algorithm: str | None = None,
        dataset: str | None = None,
        epochs: int | None = None,
        seed: SeedChoice = "random",
    ) -> Answer:
        """Return the result of training an architecture, and advance the clock by its cost.

        Args:
            architecture: its string.
            algorithm: label of the training algorithm; default: the only one, or the baseline.
            dataset: default: the only one.
            epochs: of the training; default: the most there are.
            seed: a training's seed; `random`: one at random; `all`: the mean over all of them, each of which is charged.

        Raises:
            InputError: there is no such training; the message lists the available ones.
        """
        key = self.key(algorithm, dataset, epochs)
        if architecture not in self.position:
            raise UnknownNameError(f"architecture of {self.name}:", architecture, self.architectures)
        cells, number = self.cells[key], self.position[architecture]
        chosen = self._seeds(cells, number, seed, f"{architecture} trained by {key.algorithm} for {key.epochs} epochs on {key.dataset}")
        study, tuning = int(cells.studies[number]), 0.0
        if study >= 0 and (key.dataset, key.algorithm, study) not in self._paid:
            self._paid.add((key.dataset, key.algorithm, study))
            tuning = float(cells.study_seconds[study])
        seconds = float(cells.seconds[number, chosen].sum())
        self.clock_seconds += seconds + tuning
        val, test, loss = (float(each[number, chosen].mean()) for each in (cells.val_accuracy, cells.test_accuracy, cells.val_loss))
        flops = float(cells.flops[number, chosen].sum())
        return Answer(val, test, loss, seconds, tuning, flops, tuple(self.seeds[place] for place in chosen))

    def _seeds(self, cells: Cells, number: int, seed: SeedChoice, what: str) -> list[int]:
        """Return the positions of the requested trainings."""
        there = np.flatnonzero(~np.isnan(cells.val_accuracy[number])).tolist()
        if not there:
            known = [str(key) for key, other in self.cells.items() if not np.isnan(other.val_accuracy[number]).all()]
            raise InputError(f"{self.name}: no training of {what}; this architecture has {', '.join(known) or 'no trainings at all'}")
        if seed == "all":
            return there
        if seed == "random":
            return [there[self._rng.integers(len(there))]]
        found = [place for place in there if self.seeds[place] == seed]
        if not found:
            known = [str(self.seeds[place]) for place in there]
            raise InputError(f"{self.name}: no training of {what} with seed {seed}; there are {', '.join(known)}, `random` and `all`")
        return found
