"""What a run will do: trials, the studies they belong to, and the plan that holds them."""

from __future__ import annotations

from functools import cached_property
from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from agd_bench.records.sweep import Sweep
from agd_bench.records.values import (
    Diagnostics,
    LossName,
    Metric,
    Name,
    Precision,
    Profile,
    Pruner,
    Purpose,
    Record,
    Sampler,
    Scalars,
    digest,
)


class Trial(Record):
    """One training of one network.

    Attributes:
        study: key of the study that this trial tunes for, or whose choice it uses; None without tuning.
        number: the proposal's number within its study (tuning trials only).
        hyperparameters: values that the sweep fixed.
        proposal: values that the tuner proposed, or chose for the final trials; None until then.
        stop_below: best validation accuracy so far under which to stop, by epoch (the pruner's; else empty).
        diagnostics: what to record in addition to the curve; changes no result.
        dataset_label: what results call the data set: its name, with the budget if the sweep lists several; default: the name.
        representative: id of the trial whose results this one takes because their networks are equal; None: it is trained itself.
    """

    search_space: Name
    search_space_label: str
    search_space_options: Scalars = {}
    architecture: str
    dataset: Name
    dataset_label: str = ""
    dataset_share: float = 1.0
    augment: bool = True
    algorithm: Name
    algorithm_label: str
    hyperparameters: Scalars = {}
    loss: LossName | None = None
    profile: Profile = "matrix-only"
    precision: Precision = "float32"
    epochs: int
    batch_size: int
    seed: int
    purpose: Purpose = "final"
    study: str | None = None
    number: int | None = None
    proposal: Scalars | None = None
    stop_below: dict[int, float] = {}
    diagnostics: tuple[Diagnostics, ...] = ()
    representative: str | None = None

    @model_validator(mode="before")
    @classmethod
    def _label_from_name(cls, data: Any) -> Any:
        return {"dataset_label": data.get("dataset", ""), **data} if isinstance(data, dict) else data

    @cached_property
    def id(self) -> str:
        """Sixteen hexadecimal digits, equal for equal trials on every machine."""
        # proposal and stop_below follow from the study: ids exist before them, so a killed sweep finds its rows again;
        # labels, diagnostics and representative change no result
        skipped = {"proposal", "stop_below", "diagnostics", "representative", "search_space_label", "dataset_label", "algorithm_label"}
        return digest(self.model_dump(exclude=skipped))

    @property
    def settings(self) -> Scalars:
        """The hyperparameters that `build` gets: the sweep's and, over them, the tuner's."""
        return {**self.hyperparameters, **(self.proposal or {})}


class StudyRule(Record):
    """How an algorithm's tuning trials differ from its final ones: the fact STUDY of its plug-in.

    Attributes:
        network: what a search-space study trains: the first architectures of the sweep, or the space's SHALLOW one.
        epochs: of each tuning trial; None: the sweep's.
        seeds: trainings of each proposal, with equal seeds for every proposal; None: one, with a seed of its own.
        metric: by what proposals are judged; see `Study`.
        hyperparameters: values that the tuning trials have instead of the final ones'.
    """

    network: Literal["proxies", "shallow"] = "proxies"
    epochs: Annotated[int, Field(strict=True, ge=1)] | None = None
    seeds: Annotated[int, Field(strict=True, ge=1)] | None = None
    metric: Metric = "val_accuracy"
    hyperparameters: Scalars = {}


class Study(Record):
    """The tuning trials of one algorithm within one scope, and the final trials that use what they choose.

    Attributes:
        key: hash of all that decides its proposals.
        sampler: who proposes.
        metric: by what a proposal is judged: mean validation accuracy of its trials, or their mean training loss in the last epoch.
        rounds: for each proposal, the trials that try it (one by architecture scope, the proxies by search-space scope; more with a
            `StudyRule` of several seeds).
        final: trials from fresh seeds with the chosen values.
    """

    key: str
    algorithm: Name
    algorithm_label: str
    pruner: Pruner = "none"
    sampler: Sampler = "tpe"
    metric: Metric = "val_accuracy"
    rounds: tuple[tuple[Trial, ...], ...]
    final: tuple[Trial, ...]


class Plan(Record):
    """All trials of a sweep, in the order in which they are to be sent. Depends only on the sweep and the plug-ins.

    Attributes:
        trials: final trials of self-tuning algorithms.
        studies: the tuned algorithms' studies.
        plugin_digests: SHA-256 of each plug-in's source, by `kind/name`.
    """

    sweep: Sweep
    trials: tuple[Trial, ...]
    studies: tuple[Study, ...]
    plugin_digests: dict[str, str]

    def __repr__(self) -> str:
        return f"Plan({self.sweep.name}: {len(self.all_trials)} trials, {len(self.studies)} studies)"

    @cached_property
    def all_trials(self) -> tuple[Trial, ...]:
        """Every trial, tuning ones included, in plan order."""
        studied = (trial for study in self.studies for part in (*study.rounds, study.final) for trial in part)
        # self-tuning trials wait for no study; of a study, the final trials wait for its rounds
        return (*self.trials, *studied)
