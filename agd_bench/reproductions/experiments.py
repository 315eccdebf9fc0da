"""What an experiment of a paper is, as data: its sweep, the runs that differ in something, the paper's numbers, smaller scales.

One TOML file each, beside this module. `[sweep]` is the experiment as its paper has it, in the form of a sweep file; each of
`[[runs]]` is one sweep, with other values for some of its keys. A scale replaces keys of the sweep by smaller ones and says what was
reduced, and what can therefore not be concluded.
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
"""What is compared:

- an accuracy of final trials after their last epoch, averaged, where a diverged trial counts as 0;
- `accuracy_gain`: the mean difference of test accuracies between two algorithms, paired by architecture and seed;
- `prediction_r`: the correlation of predicted with searched learning rates over all architectures of the run;
- what a skip changes, the median over pairs of trainings from equal weights: of the mean singular value of the blocks' Jacobians at the
  start, and of the mean logarithm of the training loss over all epochs (`area_difference`) or the first fifth of them.
"""
SKIP_MEASURES = frozenset({"singular_value_difference", "area_difference", "early_area_difference"})


class Value(Record):
    """One number of the paper.

    Attributes:
        what: in a few words; distinct within the experiment.
        run: name of the run that it is measured in; null: the only one.
        algorithm: label in the sweep; of a correlation, the one that predicts; of a loss, that of a learning rate, or `tuned`: the best
            one for each architecture, chosen on the other seeds.
        architecture: the network; null: all of the run's.
        control: what a difference is taken from: another algorithm's label, or of what a skip changes another architecture.
        measure: what the number is.
        published: the paper's number, an accuracy as a share in [0, 1]; null: the paper gives none for this one.
        statement: what the paper says where it gives no number.
        source: where it stands, if not in the text: for example "read off figure 4".
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
            raise ValueError(f"{self.what!r}: a control belongs to a difference, and {self.measure} is {'one' if differs else 'none'}")
        if self.measure in SKIP_MEASURES and self.architecture is None:
            raise ValueError(f"{self.what!r}: {self.measure} is of one architecture; name it")
        return self


class Listed(Record):
    """A published table of a search space that a run is held against, architecture by architecture and as a ranking.

    Attributes:
        run: name of the run; null: the only one.
        algorithm: label in the sweep.
        epochs: the published budget whose accuracies are compared one by one; null: rankings alone are compared.
        split: which published accuracies: of the `validation` or the `test` split, as the table has it.
    """

    run: str | None = None
    algorithm: str
    epochs: int | None = None
    split: str = "test"


class Run(Record):
    """One sweep of the experiment.

    Attributes:
        name: distinct within the experiment.
        sweep: keys of the sweep with their values in this run.
    """

    name: Name
    sweep: dict[str, Any] = Field(default_factory=dict)


class Scale(Record):
    """A smaller version of the experiment.

    Attributes:
        reduced: what is smaller than in the paper, in a sentence.
        cannot_conclude: what can therefore not be concluded, in a sentence.
        sweep: keys of the sweep with their values at this scale; they stand over those of the experiment, and a run's stand over them.
        architectures: by an architecture of the paper the one that stands for it here.
        builtins: by run the built-in sweep that it is at this scale, as it stands; no other keys are laid over it.
        runs: names of the runs that this scale has; null: all.
        values: the numbers that are compared at this scale; null: those of the experiment.
    """

    reduced: str
    cannot_conclude: str
    sweep: dict[str, Any] = Field(default_factory=dict)
    architectures: dict[str, str] = Field(default_factory=dict)
    builtins: dict[Name, str] = Field(default_factory=dict)
    runs: tuple[Name, ...] | None = None
    values: tuple[Value, ...] | None = None


class Reproduction(Record):
    """An experiment of a paper.

    Attributes:
        name: of the file.
        title: what the experiment is, in a few words.
        paper: authors, title, venue, year.
        differs: what is different from the paper at every scale, as far as it is known.
        unknown: what the paper does not say, and what was taken instead.
        sweep: the experiment at the paper's scale, without a name.
        runs: sweeps that differ in something; one where nothing does.
        values: the paper's numbers.
        listed: published tables that hold the rest of them, by algorithm.
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
        """The scale called `name`; that of the paper reduces nothing.

        Raises:
            UnknownNameError: another name.
        """
        if name == PAPER_SCALE:
            return Scale(reduced="", cannot_conclude="")
        if name not in self.scales:
            raise UnknownNameError(f"scale of {self.name!r}:", name, [PAPER_SCALE, *self.scales])
        return self.scales[name]

    def sweeps(self, scale: str) -> dict[str, Sweep]:
        """The sweeps to run at a scale, by the name of the run.

        Raises:
            UnknownNameError: no such scale.
            InputError: keys or values that make no sweep.
        """
        chosen = self.scale(scale)
        names = [run.name for run in self.runs] if chosen.runs is None else chosen.runs
        return {run.name: self._sweep(run, scale, chosen) for run in self.runs if run.name in names}

    def _sweep(self, run: Run, scale: str, chosen: Scale) -> Sweep:
        if run.name in chosen.builtins:
            # Exactly the built-in sweep, so that its published rows can be reused.
            return open_sweep(chosen.builtins[run.name])
        about = {"name": f"{self.name}-{run.name}", "description": self.title}
        try:
            # Later ones win: what the runs vary is the experiment, so no scale may replace it.
            return Sweep.model_validate({**about, **self.sweep, **chosen.sweep, **run.sweep})
        except ValidationError as error:
            fault = error.errors(include_url=False)[0]
            place = ".".join(map(str, fault["loc"]))
            raise InputError(f"reproduction {self.name!r}, run {run.name!r}, scale {scale!r}: {place}: {fault['msg']}") from None

    def values_at(self, scale: str) -> tuple[Value, ...]:
        """The numbers that are compared at a scale: of its runs, with the architectures that stand for the paper's.

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
    """The built-in experiments' files by name."""
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
