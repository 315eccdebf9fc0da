"""Tabular benchmarks through interfaces of other projects: NATS-Bench's API, an Optuna objective, a Parquet file."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from agd_bench.errors import InputError, UnknownNameError
from agd_bench.tabular.benchmark import Table
from agd_bench.tabular.domain import Domain

NATS_NAMES = {"cifar10-valid": "cifar10", "cifar10": "cifar10", "cifar100": "cifar100", "ImageNet16-120": "imagenet16_120"}
"""Our data sets by NATS-Bench's names."""
MEANINGS = {
    "dataset": "name of the data set",
    "algorithm": "label of the training algorithm",
    "epochs": "passes over the training images",
    "architecture": "the network as its search space writes it",
    "seed": "seed of the training",
    "val_accuracy": "accuracy on the validation split, in [0, 1]; 0: the training diverged",
    "test_accuracy": "accuracy on the test split, in [0, 1]; missing: not measured",
    "val_loss": "mean cross-entropy on the validation split; missing: not measured",
    "train_seconds": "charged for the training, lost attempts included",
    "flops": "of the training, 2 per multiply-add",
    "study": "number of the tuning study, which is charged once even if several budgets use it; -1: not tuned",
    "study_seconds": "charged for the whole study; 0: not tuned",
    "truncated": "whether the accuracy is of a longer training that was stopped at these epochs",
}
"""Columns of the Parquet file."""


class NatsApi:
    """The calls of NATS-Bench's API (Dong et al. 2021, package `nats_bench`) on a tabular benchmark.

    Accuracies are in per cent, as there. `hp` is the number of epochs as text. Times include only training, because tables have no
    evaluation times. Values that a table does not have are omitted from dictionaries.

    Args:
        table: whose clock is advanced.
        algorithm: label; default: the only one, or the baseline.
    """

    def __init__(self, table: Table, algorithm: str | None = None) -> None:
        self.table, self.algorithm = table, algorithm
        self.meta_archs = list(table.architectures)

    def __len__(self) -> int:
        return len(self.meta_archs)

    def __getitem__(self, index: int) -> str:
        return self.arch(index)

    def arch(self, index: int) -> str:
        """Return the architecture with a number."""
        return self.meta_archs[index]

    def query_index_by_arch(self, arch: str) -> int:
        """Return the number of an architecture, or -1."""
        return self.table.position.get(arch, -1)

    @property
    def used_time(self) -> float:
        """Simulated seconds since `reset_time`."""
        return self.table.clock_seconds

    def reset_time(self) -> None:
        """Set the clock to 0."""
        self.table.reset()

    def get_more_info(
        self, index: int | str, dataset: str, iepoch: int | None = None, hp: str = "12", is_random: bool | int = True
    ) -> dict[str, float]:
        """Return accuracies in per cent and seconds of a training; the clock does not advance.

        Args:
            index: number of the architecture, or its string.
            dataset: by NATS-Bench's name or ours.
            iepoch: epoch from 0 at which a training is stopped; default: its last one.
            hp: epochs of the training, as text.
            is_random: True: one training at random; False: the mean over all; an integer: that seed.
        """
        with self.table.stopped_clock():
            answer = self._query(index, dataset, iepoch, hp, is_random)
        count, epochs = len(answer.seeds), self._epochs(iepoch, hp)
        info = {
            "train-all-time": answer.train_seconds / count,
            "train-per-time": answer.train_seconds / count / epochs,
            "valid-accuracy": 100 * answer.accuracy,
            "valid-loss": answer.loss,
            "test-accuracy": 100 * answer.test_accuracy,
        }
        return {name: value for name, value in info.items() if not np.isnan(value)}

    def simulate_train_eval(
        self, arch: int | str, dataset: str, iepoch: int | None = None, hp: str = "12", account_time: bool = True
    ) -> tuple[float, None, float, float]:
        """Return validation accuracy in per cent, None for the latency, seconds of this training, and seconds so far."""
        with nullcontext() if account_time else self.table.stopped_clock():
            answer = self._query(arch, dataset, iepoch, hp, True)
        return 100 * answer.accuracy, None, answer.charged_seconds, self.table.clock_seconds

    def get_cost_info(self, index: int | str, dataset: str, hp: str = "12") -> dict[str, float]:
        """Return `params` in millions and `T-train@epoch` in seconds."""
        name = NATS_NAMES.get(dataset, dataset)
        architecture = index if isinstance(index, str) else self.arch(index)
        seconds = self.get_more_info(index, dataset, hp=hp, is_random=False)["train-per-time"]
        return {"params": float(self.table.parameters[name][self.table.position[architecture]] / 1e6), "T-train@epoch": seconds}

    @staticmethod
    def _epochs(iepoch: int | None, hp: str) -> int:
        return int(hp) if iepoch is None else iepoch + 1

    def _query(self, index: int | str, dataset: str, iepoch: int | None, hp: str, is_random: bool | int) -> Any:
        architecture = index if isinstance(index, str) else self.arch(index)
        name = NATS_NAMES.get(dataset, dataset)
        if name not in self.table.datasets:
            raise UnknownNameError("data set", dataset, [*NATS_NAMES, *self.table.datasets])
        seed: Any = {True: "random", False: "all"}[is_random] if isinstance(is_random, bool) else is_random
        return self.table.query(architecture, self.algorithm, name, self._epochs(iepoch, hp), seed)


def optuna_objective(
    table: Table,
    algorithm: str | None = None,
    dataset: str | None = None,
    epochs: int | None = None,
) -> Callable[[Any], float]:
    """Return an objective for `optuna.Study.optimize` with `direction="maximize"`.

    Each variable of the architectures' strings is a categorical parameter `word_0`, `word_1`, …; if the table does not have every
    combination, the architecture itself is the only parameter. The trial's user attributes are `architecture` and `charged_seconds`.

    Args:
        table: whose clock is advanced.
        algorithm: as in `Table.query`.
        dataset: likewise.
        epochs: likewise.

    Returns:
        The objective: the validation accuracy of one random training.
    """
    key = table.key(algorithm, dataset, epochs)
    domain = Domain(table.architectures)

    def objective(trial: Any) -> float:
        if domain.complete:
            words = [trial.suggest_categorical(f"word_{place}", choices) for place, choices in enumerate(domain.variables)]
            architecture = domain.architecture([choices.index(word) for choices, word in zip(domain.variables, words, strict=True)])
        else:
            architecture = trial.suggest_categorical("architecture", domain.architectures)
        answer = table.query(architecture, key.algorithm, key.dataset, key.epochs)
        trial.set_user_attr("architecture", architecture)
        trial.set_user_attr("charged_seconds", answer.charged_seconds)
        return answer.accuracy

    return objective


def write_parquet(table: Table, path: Path | str) -> Path:
    """Write a tabular benchmark as a Parquet file, one row per training, with the meaning of each column in the schema.

    `pyarrow.parquet.read_schema(path).field("val_accuracy").metadata` has the meaning of a column under the key `meaning`.

    Args:
        table: the benchmark.
        path: the file, which is replaced.

    Raises:
        InputError: the name does not end in `.parquet`.
    """
    file = Path(path)
    if file.suffix != ".parquet":
        raise InputError(f"{file}: give a file name that ends in .parquet")
    rows = pd.concat([_rows(table, key) for key in table.cells], ignore_index=True)
    made = pa.Table.from_pandas(rows[list(MEANINGS)], preserve_index=False)
    fields = [field.with_metadata({"meaning": MEANINGS[field.name]}) for field in made.schema]
    about = {"name": table.name, "search_space": table.search_space, "baseline": table.baseline}
    file.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(made.cast(pa.schema(fields, metadata=about)), file)
    return file


def _rows(table: Table, key: Any) -> pd.DataFrame:
    cells = table.cells[key]
    there = ~np.isnan(cells.val_accuracy)
    number, seed = np.nonzero(there)
    charged = np.append(cells.study_seconds, 0.0)  # study -1 reads the 0
    return pd.DataFrame(
        {
            "architecture": np.array(table.architectures, dtype=object)[number],
            "seed": np.array(table.seeds)[seed],
            "val_accuracy": cells.val_accuracy[there],
            "test_accuracy": cells.test_accuracy[there],
            "val_loss": cells.val_loss[there],
            "train_seconds": cells.seconds[there],
            "flops": cells.flops[there],
            "study": cells.studies[number],
            "study_seconds": charged[cells.studies[number]],
        }
    ).assign(dataset=key.dataset, algorithm=key.algorithm, epochs=key.epochs, truncated=cells.truncated)
