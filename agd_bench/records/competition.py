"""A benchmark: a frozen sweep without its algorithms. And an entry: what is stated about one algorithm's rows on it."""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Collection, Sequence
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, Literal, Self, TypeVar

from pydantic import Field, StrictInt, ValidationError, model_validator

from agd_bench.errors import InputError
from agd_bench.records.sweep import AlgorithmChoice, DatasetChoice, SearchSpaceChoice, Sweep
from agd_bench.records.values import Diagnostics, Label, Name, Precision, Profile, Record, digest

BENCHMARK = "benchmark.toml"
ENTRIES = "entries"
ENTRY = "entry.toml"
Part = Literal["whole", "lite"]


class Lite(Record):
    """A fixed sample of a benchmark's trainings for entrants with little compute.

    Attributes:
        architectures: by the label of the search space. The first ones of the benchmark: they were drawn at random, so they estimate the
            same means and the same agreement of rankings with wider intervals, and tuning studies try the same ones first.
        seeds: at least two, or the seed noise could not be estimated.
    """

    architectures: dict[str, tuple[str, ...]]
    seeds: Annotated[tuple[StrictInt, ...], Field(min_length=2)]


class Benchmark(Record):
    """What every entry trains. A changed benchmark is a new version in a folder of its own; entries state the digest of theirs.

    The reference targets, which time to a target refers to, are quartiles of the baseline's accuracies and follow from its entry.

    Attributes:
        name: of the board.
        version: from 1.
        description: a sentence for the page; not part of the digest.
        metric: by which entries are ranked.
        baseline: the entry that the others are compared with.
        challenger: the entry that proposed claims are about; empty: the first other one by name.
        epochs: as in `Sweep`, like the other fields of the same names; seeds are fixed, so that an entry does not depend on others.
        data: SHA-256 of the images and labels of each data set, by its name.
        lite: the sample for `agd-bench enter --lite`.
    """

    name: Name
    version: Annotated[int, Field(strict=True, ge=1)] = 1
    description: str = ""
    metric: Literal["test_accuracy"] = "test_accuracy"
    baseline: Label
    challenger: str = ""
    epochs: Annotated[int, Field(strict=True, ge=1)]
    batch_size: Annotated[int, Field(strict=True, ge=2)]
    seeds: Annotated[tuple[StrictInt, ...], Field(min_length=1)]
    profiles: Annotated[tuple[Profile, ...], Field(min_length=1)]
    precision: Precision
    diagnostics: tuple[Diagnostics, ...] = ()
    data: dict[str, str]
    lite: Lite
    search_spaces: Annotated[tuple[SearchSpaceChoice, ...], Field(min_length=1)]
    datasets: Annotated[tuple[DatasetChoice, ...], Field(min_length=1)]

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        labels, names = {choice.label for choice in self.search_spaces}, {choice.name for choice in self.datasets}
        if set(self.lite.architectures) != labels:
            raise ValueError(f"lite.architectures: must list architectures of each search space ({', '.join(sorted(labels))})")
        if not set(self.lite.seeds) <= set(self.seeds):
            raise ValueError(f"lite.seeds: {list(self.lite.seeds)} must be some of the seeds {list(self.seeds)}")
        if set(self.data) != names:
            raise ValueError(f"data: must give the SHA-256 of each data set ({', '.join(sorted(names))})")
        return self

    @cached_property
    def digest(self) -> str:
        """SHA-256 of everything that entries depend on."""
        return digest(self.model_dump(mode="json", exclude={"description"}), 64)

    def sweep(self, algorithms: Sequence[AlgorithmChoice], part: Part = "whole") -> Sweep:
        """Return the sweep of some algorithms on this benchmark.

        Args:
            algorithms: labelled as their entries.
            part: whether on all of it or on its lite part.
        """
        shared = ("description", "epochs", "batch_size", "seeds", "profiles", "precision", "diagnostics", "search_spaces", "datasets")
        asked: dict[str, Any] = {name: getattr(self, name) for name in shared} | {"name": self.name, "algorithms": tuple(algorithms)}
        asked["baseline"] = self.baseline if self.baseline in [choice.label for choice in algorithms] else ""
        if part == "lite":
            listed = self.lite.architectures
            asked |= {"name": f"{self.name}-lite", "seeds": self.lite.seeds}
            asked["search_spaces"] = tuple(
                choice.model_copy(update={"architectures": listed[choice.label], "sampling": None, "order": "given"})
                for choice in self.search_spaces
            )
        return Sweep.model_validate(asked)

    def in_order(self, entries: Collection[str]) -> list[str]:
        """Return names of entries in the order of the board: the baseline, the challenger, then by name."""
        first = [name for name in (self.baseline, self.challenger) if name in entries]
        return [*first, *sorted(set(entries) - set(first))]


class Entry(Record):
    """What an entry states about itself. Its name is its folder's, and its algorithm's label on the board.

    Attributes:
        benchmark: digest of the benchmark that its rows belong to.
        part: whether it has the rows of the whole benchmark or of its lite part.
        title: of the algorithm, in a line.
        tier: self-tuning, learning-rate-free or externally tuned.
        authors: of the entry, if they wish.
        paper: about the algorithm.
        licence: of the algorithm's code.
        code: where the code is.
        digest: identity of the algorithm's plug-in when the rows were trained; hyperparameters and tuning are in `sweep.json`.
        hardware: devices that the rows were trained on.
        supersedes: entries that this one replaces in the ranking.
        withdrawn: why the entry is not ranked any more; empty: it is.
    """

    benchmark: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
    part: Part = "whole"
    title: str
    tier: str
    authors: tuple[str, ...] = ()
    paper: str = ""
    licence: str = ""
    code: str = ""
    digest: str
    hardware: tuple[str, ...] = ()
    supersedes: tuple[Label, ...] = ()
    withdrawn: str = ""


Kind = TypeVar("Kind", Benchmark, Entry)


def read_record(kind: type[Kind], path: Path) -> Kind:
    """Return the benchmark or entry in a TOML file.

    Raises:
        InputError: the file cannot be read, is not TOML, or has a missing, unknown or invalid key.
    """
    try:
        return kind.model_validate(tomllib.loads(path.read_text(encoding="utf-8")))
    except ValidationError as error:
        fault = error.errors(include_url=False)[0]
        place = ".".join(str(part) for part in fault["loc"])
        raise InputError(f"{path}: {place + ': ' if place else ''}{fault['msg'].removeprefix('Value error, ')}") from None
    except (OSError, ValueError, RecursionError) as error:
        raise InputError(f"{path}: cannot be read as TOML: {' '.join(str(error).split())}") from None


def format_record(record: Benchmark | Entry, comment: str) -> str:
    """Return a record as TOML that `read_record` reads back to an equal one.

    Args:
        record: to write.
        comment: a line above it.
    """
    plain = record.model_dump(mode="json", exclude_none=True)
    # tables last: keys after a table's header would belong to it
    keys = [f"{key} = {_toml(value)}" for key, value in plain.items() if not _is_tables(value) and not isinstance(value, dict)]
    tables = [f"\n[{key}]\n{_lines(value)}" for key, value in plain.items() if isinstance(value, dict)]
    tables += [f"\n[[{key}]]\n{_lines(one)}" for key, value in plain.items() if _is_tables(value) for one in value]
    return "\n".join([f"# {comment}", *keys, *tables]) + "\n"


def _is_tables(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(one, dict) for one in value)


def _lines(table: dict[str, Any]) -> str:
    return "\n".join(f"{_key(key)} = {_toml(value)}" for key, value in table.items())


def _key(key: str) -> str:
    return key if re.fullmatch(r"[A-Za-z0-9_-]+", key) else json.dumps(key, ensure_ascii=False)


def _toml(value: Any) -> str:
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{_key(key)} = {_toml(one)}" for key, one in value.items()) + " }" if value else "{}"
    if isinstance(value, list):
        # one string per line, so that a diff shows which architecture was added
        return (
            "[\n" + "".join(f"  {_toml(one)},\n" for one in value) + "]"
            if any(isinstance(one, str) for one in value)
            else json.dumps(value)
        )
    # a JSON string is a TOML string, except for the one control character that JSON does not escape
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f") if isinstance(value, str | bool) else repr(value)
