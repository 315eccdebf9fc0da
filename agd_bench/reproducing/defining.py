"""What an experiment of a paper is, as data: its sweep, the runs that differ in something, the paper's numbers, smaller scales.

One TOML file each, beside this module. `[sweep]` is the experiment as its paper has it, in the form of a sweep file; each of
`[[runs]]` is one sweep, with other values for some of its keys. A scale replaces keys of the sweep by smaller ones and says what was
reduced, and what can therefore not be concluded.
"""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, ValidationError

from agd_bench.errors import InputError, UnknownNameError
from agd_bench.records import Name, Record, Sweep
from agd_bench.sweeps import open_sweep

PAPER_SCALE = "paper"
Measure = Literal["test_accuracy", "train_accuracy", "prediction_r"]
"""What is compared: an accuracy of final trials after their last epoch, averaged, where a diverged trial counts as 0; or the correlation of
predicted with searched learning rates over all architectures of the run."""


class Value(Record):
    """One number of the paper.

    Attributes:
        what: in a few words; distinct within the experiment.
        run: name of the run that it is measured in; null: the only one.
        algorithm: label in the sweep; of a correlation, the one that predicts.
        architecture: the network; null: all of the run's.
        measure: what the number is.
        published: the paper's number, an accuracy as a share in [0, 1]; null: the paper gives none for this one.
        source: where it stands, if not in the text: for example "read off figure 4".
    """

    what: str
    run: str | None = None
    algorithm: str
    architecture: str | None = None
    measure: Measure = "test_accuracy"
    published: float | None = None
    source: str = ""


class Listed(Record):
    """A published table of a search space that a run is held against, architecture by architecture and as a ranking.

    Attributes:
        run: name of the run; null: the only one.
        algorithm: label in the sweep.
        epochs: the published budget whose accuracies are compared one by one.
        split: which published accuracies: of the `validation` or the `test` split, as the table has it.
    """

    run: str | None = None
    algorithm: str
    epochs: int
    split: str


class Run(Record):
    """One sweep of the experiment.

    Attributes:
        name: distinct within the experiment.
        builtin: the built-in sweep that it starts from; null: from nothing.
        sweep: keys of the sweep with their values in this run.
    """

    name: Name
    builtin: str | None = None
    sweep: dict[str, Any] = Field(default_factory=dict)


class Scale(Record):
    """A smaller version of the experiment.

    Attributes:
        reduced: what is smaller than in the paper, in a sentence.
        cannot_conclude: what can therefore not be concluded, in a sentence.
        sweep: keys of the sweep with their values at this scale; they stand over those of the experiment, and a run's stand over them.
        architectures: by an architecture of the paper the one that stands for it here.
        runs: names of the runs that this scale has; null: all.
        values: the numbers that are compared at this scale; null: those of the experiment.
    """

    reduced: str
    cannot_conclude: str
    sweep: dict[str, Any] = Field(default_factory=dict)
    architectures: dict[str, str] = Field(default_factory=dict)
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
        listed: the published table that holds the rest of them; null: none does.
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
    listed: Listed | None = None
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
        made = {}
        for run in self.runs:
            if run.name in names:
                begun = {} if run.builtin is None else open_sweep(run.builtin).model_dump()
                about = {"name": f"{self.name}-{run.name}", "description": self.title}
                asked = {**begun, **about, **self.sweep, **chosen.sweep, **run.sweep}
                try:
                    made[run.name] = Sweep.model_validate(asked)
                except ValidationError as error:
                    fault = error.errors(include_url=False)[0]
                    place = ".".join(map(str, fault["loc"]))
                    raise InputError(f"reproduction {self.name!r}, run {run.name!r}, scale {scale!r}: {place}: {fault['msg']}") from None
        return made

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
