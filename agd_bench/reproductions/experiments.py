"""Definition of a paper's experiment as data: its sweep, its runs, the paper's numbers, and smaller scales.

Each experiment is a TOML file next to this module. `[sweep]` is the experiment as in the paper, in the format of a sweep file. Each entry
of `[[runs]]` is one sweep with different values for some keys. A scale replaces values of the sweep with smaller ones and states what is
reduced and what can therefore not be concluded.
"""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import Field, ValidationError, model_validator

from agd_bench.errors import InputError, UnknownNameError
from agd_bench.records import Name, Record, Sweep
from agd_bench.sweeps import open_sweep

PAPER_SCALE = "paper"
Measure = Literal[
    "test_accuracy",
    "train_accuracy",
    "accuracy_gain",
    "prediction_r",
    "singular_value_difference",
    "area_difference",
    "early_area_difference",
]
"""Quantities that can be compared:

- `test_accuracy`, `train_accuracy`: mean accuracy of final trials after the last epoch; a diverged trial counts as 0;
- `accuracy_gain`: the mean difference of test accuracies between two algorithms, paired by architecture and seed;
- `prediction_r`: the correlation between predicted and searched learning rates over all architectures of the run;
- the effect of a skip, as the median over pairs of trainings from equal weights: on the mean singular value of the blocks' Jacobians at
  the start (`singular_value_difference`), and on the mean logarithm of the training loss over all epochs (`area_difference`) or the first
  fifth of them (`early_area_difference`).
"""
SKIP_MEASURES = frozenset({"singular_value_difference", "area_difference", "early_area_difference"})


class Value(Record):
    """One number of the paper.

    Attributes:
        what: short description; unique within the experiment.
        run: name of the run in which it is measured; None: the only one.
        algorithm: label in the sweep; for a correlation, the predicting algorithm; for a loss, the label of a learning rate, or `tuned` for
            the best one for each architecture, chosen on the other seeds.
        architecture: the network; None: all networks of the run.
        control: reference of a difference: another algorithm's label, or, for the effect of a skip, another architecture.
        measure: kind of the number.
        published: the paper's number, an accuracy as a share in [0, 1]; None: not given by the paper.
        statement: what the paper states if it gives no number.
        source: where the number is from, if not the text; for example "read off figure 4".
    """

    what: str
    run: str | None = None
    algorithm: str
    architecture: str | None = None
    control: str | None = None
    measure: Measure = "test_accuracy"
    published: float | None = None
    statement: str = ""
    source: str = ""

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        differs = self.measure == "accuracy_gain" or self.measure in SKIP_MEASURES
        if differs != (self.control is not None):
            raise ValueError(f"{self.what!r}: {self.measure} {'requires a' if differs else 'does not take a'} control")
        if self.measure in SKIP_MEASURES and self.architecture is None:
            raise ValueError(f"{self.what!r}: {self.measure} requires an architecture")
        return self


class Listed(Record):
    """A published table of a search space to compare with a run, architecture by architecture and as a ranking.

    Attributes:
        run: name of the run; None: the only one.
        algorithm: label in the sweep.
        epochs: the published budget whose accuracies are compared one by one; None: only rankings are compared.
        split: split of the published accuracies, `validation` or `test`, as named in the table.
    """

    run: str | None = None
    algorithm: str
    epochs: int | None = None
    split: str = "test"


class Run(Record):
    """One sweep of the experiment.

    Attributes:
        name: unique within the experiment.
        sweep: keys of the sweep and their values in this run.
    """

    name: Name
    sweep: dict[str, Any] = Field(default_factory=dict)


class Scale(Record):
    """A smaller version of the experiment.

    Attributes:
        reduced: a sentence on what is smaller than in the paper.
        cannot_conclude: a sentence on what can therefore not be concluded.
        sweep: keys of the sweep and their values at this scale; they override those of the experiment and are overridden by a run's.
        architectures: replacement at this scale for each architecture of the paper.
        builtins: built-in sweep used for a run at this scale, without overrides.
        runs: names of the runs at this scale; None: all.
        values: the numbers to compare at this scale; None: those of the experiment.
    """

    reduced: str
    cannot_conclude: str
    sweep: dict[str, Any] = Field(default_factory=dict)
    architectures: dict[str, str] = Field(default_factory=dict)
    builtins: dict[Name, str] = Field(default_factory=dict)
    runs: tuple[Name, ...] | None = None
    values: tuple[Value, ...] | None = None


class Reproduction(Record):
    """An experiment from a paper.

    Attributes:
        name: name of the file.
        title: short description of the experiment.
        paper: authors, title, venue, year.
        differs: known differences from the paper at every scale.
        unknown: what the paper does not state, and what was assumed instead.
        sweep: the experiment at the paper's scale, without a name.
        runs: the sweeps of the experiment; one if nothing varies.
        values: the paper's numbers.
        listed: published tables with further numbers, by algorithm.
        scales: smaller versions by name.
    """

    name: Name
    title: str
    paper: str
    differs: str
    unknown: str = ""
    sweep: dict[str, Any] = Field(default_factory=dict)
    runs: Annotated[tuple[Run, ...], Field(min_length=1)] = (Run(name="all"),)
    values: tuple[Value, ...] = ()
    listed: tuple[Listed, ...] = ()
    scales: dict[str, Scale] = Field(default_factory=dict)

    def scale(self, name: str) -> Scale:
        """The scale called `name`; the paper's scale reduces nothing.

        Raises:
            UnknownNameError: no such scale.
        """
        if name == PAPER_SCALE:
            return Scale(reduced="", cannot_conclude="")
        if name not in self.scales:
            raise UnknownNameError(f"scale of {self.name!r}:", name, [PAPER_SCALE, *self.scales])
        return self.scales[name]

    def sweeps(self, scale: str) -> dict[str, Sweep]:
        """The sweeps to run at a scale by the name of the run.

        Raises:
            UnknownNameError: no such scale.
            InputError: the keys or values do not define a valid sweep.
        """
        chosen = self.scale(scale)
        names = [run.name for run in self.runs] if chosen.runs is None else chosen.runs
        return {run.name: self._sweep(run, scale, chosen) for run in self.runs if run.name in names}

    def _sweep(self, run: Run, scale: str, chosen: Scale) -> Sweep:
        if run.name in chosen.builtins:
            # Exactly the built-in sweep, so its published rows can be reused.
            return open_sweep(chosen.builtins[run.name])
        about = {"name": f"{self.name}-{run.name}", "description": self.title}
        try:
            # Later ones win: the runs vary the subject of the experiment, so a scale must not override them.
            return Sweep.model_validate({**about, **self.sweep, **chosen.sweep, **run.sweep})
        except ValidationError as error:
            fault = error.errors(include_url=False)[0]
            place = ".".join(map(str, fault["loc"]))
            raise InputError(f"reproduction {self.name!r}, run {run.name!r}, scale {scale!r}: {place}: {fault['msg']}") from None

    def values_at(self, scale: str) -> tuple[Value, ...]:
        """The numbers to compare at a scale, for its runs and with its replacement architectures.

        Raises:
            UnknownNameError: no such scale.
        """
        chosen = self.scale(scale)
        own = self.values if chosen.values is None else chosen.values
        names = chosen.architectures
        there = [value for value in own if chosen.runs is None or self.run_of(value) in chosen.runs]
        return tuple(
            value.model_copy(update={"architecture": value.architecture and names.get(value.architecture, value.architecture)})
            for value in there
        )

    def run_of(self, value: Value | Listed) -> str:
        """The name of the run in which a number is measured."""
        return value.run or self.runs[0].name


def builtin_reproductions() -> dict[str, Path]:
    """Files of the built-in experiments by name."""
    return {path.stem: path for path in sorted(Path(__file__).parent.glob("*.toml"))}


def open_reproduction(name: str) -> Reproduction:
    """The built-in experiment called `name`.

    Raises:
        UnknownNameError: no such experiment.
        InputError: its file is malformed.
    """
    known = builtin_reproductions()
    if name not in known:
        raise UnknownNameError("reproduction", name, known)
    try:
        return Reproduction.model_validate({"name": name, **tomllib.loads(known[name].read_text(encoding="utf-8"))})
    except (tomllib.TOMLDecodeError, ValidationError) as error:
        raise InputError(f"reproduction {name!r}: {str(error).splitlines()[0]}") from None
