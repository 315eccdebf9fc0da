"""The nouns: what a sweep asks, what a plan holds, what a trial measured. Frozen, validated, JSON in and out.

The plan is data: a trial is a handful of strings and numbers with a hashed id. Names of plug-ins are resolved where
the trial runs; nothing of a plug-in is ever pickled.
"""

from __future__ import annotations

import difflib
import hashlib
import json
import tomllib
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, Literal, Self, get_args

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from agd_bench.errors import InputError, SweepError

Scalar = bool | int | float | str
Scalars = dict[str, Scalar]
"""Settings by name: numbers, strings and truth values only, so that they hash, print and travel."""

Profile = Literal["matrix-only", "as-published"]
Purpose = Literal["tuning", "final"]
Scope = Literal["architecture", "search-space", "sweep", "none"]
Sampler = Literal["tpe", "random", "grid"]
Metric = Literal["val_accuracy", "train_loss"]
LossName = Literal["square", "cross-entropy", "smoothed-cross-entropy"]
Precision = Literal["float32", "bfloat16"]
WantedPrecision = Literal["float32", "bfloat16", "auto"]
Diagnostics = Literal["optimizer", "network", "network-start"]
Status = Literal["done", "diverged", "failed", "refused", "pruned", "unneeded"]
TERMINAL: tuple[Status, ...] = ("done", "diverged", "failed", "refused", "pruned", "unneeded")
"""Statuses that a trial keeps. `unneeded`: a seed that an adaptive sweep planned and could do without; it was never trained."""

TUNING_SEED = 1_000_000
"""Seeds of tuning trials start here, so that final trials always meet fresh ones."""

Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$", max_length=100)]
Label = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._@-]*$", max_length=100)]


def canonical_json(value: Any) -> str:
    """`value` as JSON with sorted keys and no spaces: equal values give equal text on every machine."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False)


def digest(value: Any, length: int = 16) -> str:
    """The first `length` hexadecimal digits of the SHA-256 of `value` as canonical JSON."""
    return hashlib.sha256(canonical_json(value).encode()).hexdigest()[:length]


class Record(BaseModel):
    """A frozen value that refuses unknown keys."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, protected_namespaces=())


# ---------------------------------------------------------------------------------------------- what the user asks


class IndexRange(Record):
    """Consecutive architectures of a finite search space, in the order in which its plug-in lists them.

    Attributes:
        first: index of the first one, from 0.
        count: how many.
    """

    first: Annotated[int, Field(ge=0)] = 0
    count: Annotated[int, Field(ge=1)]


class Sampling(Record):
    """How a number of architectures is drawn from a finite search space, if not by the plug-in's own `sample`.

    Attributes:
        unique: from its different networks, all equally likely, each by its canonical name: by the plug-in's default rule (true), or
            by one of its RULES.
        stratify: from groups of equal numbers of architectures by size (`parameters`, or `flops`: multiply-adds of a forward pass), for
            images of 32 pixels, three channels and ten classes: one of each group in turn.
        strata: how many groups.
    """

    unique: bool | str = False
    stratify: Literal["none", "parameters", "flops"] = "none"
    strata: Annotated[int, Field(ge=2)] = 10

    @model_validator(mode="after")
    def _asks_for_something(self) -> Self:
        if not self.unique and self.stratify == "none":
            raise ValueError("a sampling is `unique`, or has `stratify`; leave it out for a plain draw")
        return self


class SearchSpaceChoice(Record):
    """One search space of a sweep and the architectures taken from it.

    Attributes:
        name: the plug-in's name.
        label: what results call it; two choices of one plug-in with different options need two labels.
        architectures: how many to draw (seeded by the space's name), `"all"` of a finite space, a range of its indices, or a list.
        sampling: how to draw them; with `"all"`, which of them. Null: by the plug-in's own `sample`.
        order: in which order they are trained: as they were drawn, enumerated or listed, or `random`: by a hash of the space's name and
            the architecture, the same on every machine, so that every beginning of an enumerated space is a fair sample of it.
        options: keyword options of the plug-in's `build`, for example `channels`; part of every trial's identity.
        representatives: whether of architectures that are equal networks one is trained, and the others take its results, in rows that
            say so; allowed where equal networks train to equal results.
    """

    name: Name
    label: Name = ""
    architectures: Annotated[int, Field(ge=1)] | Literal["all"] | IndexRange | tuple[str, ...] = 16
    sampling: Sampling | None = None
    representatives: bool = False
    order: Literal["given", "random"] = "given"
    options: Scalars = {}

    @model_validator(mode="before")
    @classmethod
    def _label_from_name(cls, data: Any) -> Any:
        return {"label": data.get("name", ""), **data} if isinstance(data, dict) else data

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.sampling is None:
            return self
        if isinstance(self.architectures, IndexRange | tuple):
            raise ValueError("sampling: the architectures are named, so there is nothing to draw; give how many, or leave it out")
        if self.architectures == "all" and self.sampling.stratify != "none":
            raise ValueError('sampling: architectures = "all" leaves nothing to stratify; give how many, or leave `stratify` out')
        return self


class DatasetChoice(Record):
    """One data set of a sweep.

    Attributes:
        name: the plug-in's name.
        share: share of the training and validation splits to use, in (0, 1]; drawn once per data set, equal for every
            trial. Validation keeps at least 300 images where it has them, and the test split stays whole.
        augment: whether the data set's standard augmentation is applied.
    """

    name: Name
    share: Annotated[float, Field(gt=0, le=1)] = 1.0
    augment: bool = True


class AlgorithmChoice(Record):
    """One training algorithm of a sweep.

    Attributes:
        name: the plug-in's name.
        label: what results call it; two entries of one plug-in need two labels.
        hyperparameters: values to fix, by the names of the plug-in's `build`.
        loss: the loss to train with instead of the algorithm's own: `square`, `cross-entropy`, or `smoothed-cross-entropy` (label
            smoothing 0.1). An algorithm whose constants hold for some losses alone says so (LOSSES), and others are refused.
        tuning_trials: proposals of each study; needs an algorithm with `RANGES`, 0 for one without.
        tuning_scope: whether each architecture is tuned for itself, the search space once on `proxies` of it, one setting for the whole
            `sweep` (a proposal is tried on the proxies of every search space, data set and profile, and judged by its mean), or nothing
            (`none`: the `untuned` values everywhere). A sweep may list several: see `Sweep.algorithms`.
        untuned: values that scope `none` trains with; with `hyperparameters` they must name every one of the RANGES.
        proxies: architectures of a search space that a study of more than one architecture trains with each proposal.
        sampler: who proposes: `tpe`, or `random`: independent draws, uniform in the RANGES (in their logarithm where `log`),
            which statements about the best of n proposals need; or `grid`: every combination of the choices, where the RANGES are choices
            alone; `tuning_trials` is then their number.
        pruner: `"median"` stops a tuning trial whose best validation accuracy so far is under the median of earlier ones.
    """

    name: Name
    label: Label = ""
    hyperparameters: Scalars = {}
    loss: LossName | None = None
    tuning_trials: Annotated[int, Field(ge=0)] = 0
    tuning_scope: Scope = "architecture"
    untuned: Scalars = {}
    proxies: Annotated[int, Field(ge=1)] = 4
    sampler: Sampler = "tpe"
    pruner: Literal["none", "median"] = "none"

    @model_validator(mode="before")
    @classmethod
    def _label_from_name(cls, data: Any) -> Any:
        return {"label": data.get("name", ""), **data} if isinstance(data, dict) else data

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.untuned and self.tuning_scope != "none":
            raise ValueError(f'untuned: values that only tuning_scope = "none" trains with; this entry has {self.tuning_scope!r}')
        if self.tuning_scope == "none" and self.tuning_trials:
            raise ValueError('tuning_scope = "none" has no study; leave tuning_trials out')
        twice = sorted(set(self.untuned) & set(self.hyperparameters))
        if twice:
            raise ValueError(f"untuned: {', '.join(twice)} stands in hyperparameters as well; give it once")
        if self.sampler != "tpe" and self.pruner != "none":
            raise ValueError(
                f'sampler = "{self.sampler}" makes independent proposals, and a pruner judges each by earlier ones; use pruner = "none"'
            )
        return self


class AdaptiveSeeds(Record):
    """How many seeds an architecture gets when a sweep says `seeds = "adaptive"`; the method is `analysis.allocating`'s.

    Attributes:
        first: seeds that every architecture gets; at least two, because seed noise is estimated from them.
        most: seeds that one gets at most.
        batch: seeds between two looks at the results.
        half_width: an order is left open once the confidence interval of the difference reaches no further than this to either
            side: a share of the validation images in (0, 1).
        level: probability that not one order, of any two architectures under any algorithm at any look, is decided wrongly, in (0, 1).
    """

    first: Annotated[int, Field(ge=2)] = 2
    most: Annotated[int, Field(ge=3, lt=TUNING_SEED)] = 8
    batch: Annotated[int, Field(ge=1)] = 1
    half_width: Annotated[float, Field(gt=0, lt=1)] = 0.02
    level: Annotated[float, Field(gt=0, lt=1)] = 0.95

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.most <= self.first:
            raise ValueError(f"most = {self.most} must be more than first = {self.first}; with equal ones use seeds = {self.first}")
        return self

    @property
    def looks(self) -> tuple[int, ...]:
        """Seeds of an architecture at each look, ascending."""
        return tuple(sorted({*range(self.first, self.most, self.batch), self.most}))


class PluginFolders(Record):
    """Folders with further plug-ins, one file each, by kind; in a sweep's file, relative to that file."""

    search_spaces: tuple[Path, ...] = ()
    algorithms: tuple[Path, ...] = ()
    datasets: tuple[Path, ...] = ()

    def below(self, folder: Path) -> PluginFolders:
        """Those of a sweep file that lies in `folder`."""
        return PluginFolders.model_validate({kind: tuple(folder / path for path in paths) for kind, paths in self})


class Sweep(Record):
    """What the user asks: every algorithm on every architecture of every search space and data set, with equal seeds.

    Attributes:
        name: names the run folder.
        description: a sentence for the report.
        algorithms: the entries. One whose `tuning_scope` is a list stands for one entry per scope, labelled `LABEL@SCOPE`; its
            tuning is that of the scopes that tune, its `untuned` values that of `none`.
        epochs: passes over the (share of the) training split, for every trial.
        batch_size: images a step.
        seeds: the final trials' seeds, or how many (0, 1, …), or `"adaptive"`: 0 to `adaptive_seeds.most` − 1, of which each
            architecture gets as many as the order of the architectures needs.
        adaptive_seeds: how adaptive seeds are given; null: every architecture gets every seed.
        profiles: which parameters the networks have (DESIGN, fair comparison 1).
        precision: arithmetic of forward and backward; never different between the algorithms of one comparison. `auto`: the fastest that
            the machine that begins the run has instructions for, which then holds for the whole run, wherever it goes on.
        replicas: trials of one architecture, data set and algorithm that may train in one set of kernels, seeds above all: a pack, where a
            short trial of it shows that it computes the same, to rounding, and pays (networks of linear layers). Their seconds are shared,
            and each says how many they were. 1: none.
        baseline: label of the algorithm that the others are compared with; default: the first one listed.
        max_attempts: executions a trial may have when workers, nodes or drivers are lost.
        deadline_seconds: a trial's longest time; null: 20 times the median of its kind so far, at least 10 minutes.
        checkpoint_seconds: seconds between the checkpoints of a long trial.
        diagnostics: what is recorded beside the curves, per epoch: `optimizer` (what the optimizer's `diagnostics()` says of its steps);
            `network` (spectra and slopes of final trials' networks at log-spaced steps, see `agd_bench.diagnostics`, whose seconds are not
            those of training) or `network-start` (the blocks' spectra before the first step alone).
        folders: where further plug-ins are; neither stored nor published, since another machine has other folders.
    """

    name: Name
    description: str = ""
    search_spaces: Annotated[tuple[SearchSpaceChoice, ...], Field(min_length=1)]
    datasets: Annotated[tuple[DatasetChoice, ...], Field(min_length=1)]
    algorithms: Annotated[tuple[AlgorithmChoice, ...], Field(min_length=1)]
    epochs: Annotated[int, Field(ge=1)]
    batch_size: Annotated[int, Field(ge=2)] = 128
    seeds: tuple[Annotated[int, Field(ge=0, lt=TUNING_SEED)], ...] = (0, 1, 2)
    adaptive_seeds: AdaptiveSeeds | None = None
    profiles: Annotated[tuple[Profile, ...], Field(min_length=1)] = ("matrix-only",)
    precision: WantedPrecision = "float32"
    replicas: Annotated[int, Field(ge=1, le=16)] = 1
    baseline: str = ""
    max_attempts: Annotated[int, Field(ge=1)] = 3
    deadline_seconds: Annotated[float, Field(gt=0)] | None = None
    checkpoint_seconds: Annotated[float, Field(gt=0)] = 60.0
    diagnostics: tuple[Diagnostics, ...] = ()
    folders: PluginFolders = Field(default=PluginFolders(), exclude=True)

    @field_validator("seeds", mode="before")
    @classmethod
    def _count_to_seeds(cls, value: Any) -> Any:
        if isinstance(value, str):
            raise ValueError(f'{value!r} given; allowed are a number of seeds, a list of seeds, or "adaptive"')
        return tuple(range(value)) if isinstance(value, int) and not isinstance(value, bool) else value

    @model_validator(mode="before")
    @classmethod
    def _expanded(cls, data: Any) -> Any:
        """The short forms written out: `seeds = "adaptive"`, and one entry per tuning scope."""
        if not isinstance(data, dict):
            return data
        if data.get("seeds") == "adaptive":
            rule = data.get("adaptive_seeds") or {}
            most = rule.get("most", AdaptiveSeeds().most) if isinstance(rule, dict) else getattr(rule, "most", None)
            # Where `most` cannot be used, its own field says what is wrong with it.
            seeds = tuple(range(most)) if isinstance(most, int) and 0 < most < TUNING_SEED else (0,)
            data = {**data, "seeds": seeds, "adaptive_seeds": rule}
        if isinstance(data.get("algorithms"), list | tuple):
            data = {**data, "algorithms": [one for given in data["algorithms"] for one in _by_scope(given)]}
        return data

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.adaptive_seeds is not None and self.seeds != tuple(range(self.adaptive_seeds.most)):
            raise ValueError(
                f'adaptive_seeds: holds for seeds = "adaptive" only; seeds = {list(self.seeds)} are given to every architecture'
            )
        if not self.seeds or len(set(self.seeds)) != len(self.seeds):
            raise ValueError(f"seeds: {list(self.seeds)} must be distinct and at least one")
        for field in ("search_spaces", "algorithms"):
            labels = [choice.label for choice in getattr(self, field)]
            twice = sorted({label for label in labels if labels.count(label) > 1})
            if twice:
                raise ValueError(f"{field}: {', '.join(twice)} stands there twice; give each entry a label of its own")
        names = [choice.name for choice in self.datasets]
        if len(set(names)) != len(names):
            raise ValueError("datasets: a data set stands there twice; a sweep trains on one share of each")
        labels = [choice.label for choice in self.algorithms]
        if self.baseline and self.baseline not in labels:
            raise ValueError(f"baseline: {self.baseline!r} is none of the algorithms ({', '.join(labels)})")
        return self

    @property
    def seed_count(self) -> str:
        """How many seeds an architecture gets, in words: `3`, or `2 to 8` of an adaptive sweep."""
        return str(len(self.seeds)) if self.adaptive_seeds is None else f"{self.adaptive_seeds.first} to {self.adaptive_seeds.most}"

    @property
    def baseline_label(self) -> str:
        """Label of the algorithm that the others are compared with."""
        return self.baseline or self.algorithms[0].label


def _by_scope(given: Any) -> list[Any]:
    """An entry of `algorithms` as one entry per listed tuning scope; anything else as it is."""
    if not isinstance(given, dict) or not isinstance(given.get("tuning_scope"), list | tuple):
        return [given]
    scopes = given["tuning_scope"]
    unknown = [scope for scope in scopes if scope not in get_args(Scope)]
    if not scopes or unknown or len(set(scopes)) < len(scopes):
        raise ValueError(f"algorithms: tuning_scope = {list(scopes)!r} must list different ones of {', '.join(get_args(Scope))}")
    if "none" not in scopes and given.get("untuned"):
        raise ValueError('algorithms: untuned values are given, but tuning_scope does not list "none", which would use them')
    label = given.get("label") or given.get("name", "")
    tuning = {key: value for key, value in given.items() if key != "untuned"}
    untuned = {key: value for key, value in given.items() if key not in ("tuning_trials", "sampler", "pruner")}
    return [{**(untuned if scope == "none" else tuning), "label": f"{label}@{scope}", "tuning_scope": scope} for scope in scopes]


def _explain(error: ValidationError) -> str:
    """One line for the first fault of a sweep, with the nearest key for a misspelt one."""
    parts = []
    for fault in error.errors(include_url=False)[:3]:
        place = ".".join(str(part) for part in fault["loc"])
        text = fault["msg"].removeprefix("Value error, ")
        if fault["type"] == "extra_forbidden":
            known = {
                key
                for record in (Sweep, SearchSpaceChoice, Sampling, IndexRange, DatasetChoice, AlgorithmChoice, AdaptiveSeeds, PluginFolders)
                for key in record.model_fields
            }
            near = difflib.get_close_matches(str(fault["loc"][-1]), known, n=1, cutoff=0.6)
            text = "no such key" + (f"; did you mean {near[0]!r}?" if near else "")
        parts.append(f"{place}: {text}" if place else text)
    more = error.error_count() - 3
    return "; ".join(parts) + (f"; and {more} more" if more > 0 else "")


def parse_sweep(text: str, source: str) -> Sweep:
    """A sweep from TOML (or JSON, where the text begins with a brace).

    Args:
        text: the file's content.
        source: what messages call the file.

    Raises:
        SweepError: malformed text (with its line), unknown keys, values out of range.
    """
    try:
        data = json.loads(text) if text.lstrip().startswith("{") else tomllib.loads(text)
    except (tomllib.TOMLDecodeError, json.JSONDecodeError) as error:
        raise SweepError(f"{source}: not valid {'JSON' if text.lstrip().startswith('{') else 'TOML'}: {error}") from None
    try:
        return Sweep.model_validate(data)
    except ValidationError as error:
        raise SweepError(f"{source}: {_explain(error)}") from None


def read_sweep(path: Path) -> Sweep:
    """The sweep in the file `path`, whose folders are relative to it.

    Raises:
        SweepError: as `parse_sweep`.
        InputError: the file cannot be read.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: cannot be read as a sweep file: {error}") from None
    sweep = parse_sweep(text, path.name)
    return sweep.model_copy(update={"folders": sweep.folders.below(path.parent)})


# ------------------------------------------------------------------------------------------------ what will be done


class Trial(Record):
    """One training of one network.

    `identity` is everything that makes the trial what it is; `id` is its hash. What a tuner proposes
    (`proposal`) and what results call things (the labels) are not part of it: a proposal follows from the study, so
    a trial has its id before the first proposal is made, and a killed sweep finds its rows again.

    Attributes:
        study: key of the study whose tuning this trial belongs to, or whose choice it uses; null without tuning.
        number: the proposal's number within its study (tuning trials only).
        hyperparameters: values that the sweep fixed.
        proposal: values that the tuner proposed, or chose for the final trials; null before it did.
        stop_below: best validation accuracy so far under which to stop, by epoch (the median pruner's; else empty).
        diagnostics: what to record beside the curve; changes no result, so it is not part of the identity.
        representative: id of the trial of an equal network whose results this one takes; null: it is trained itself. Not part of the
            identity either.
    """

    search_space: Name
    search_space_label: str
    search_space_options: Scalars = {}
    architecture: str
    dataset: Name
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

    @cached_property
    def id(self) -> str:
        """Sixteen hexadecimal digits, equal for equal trials on every machine."""
        skipped = {"proposal", "stop_below", "diagnostics", "representative", "search_space_label", "algorithm_label"}
        return digest(self.model_dump(exclude=skipped))

    @property
    def kin(self) -> tuple[object, ...]:
        """Equal for trials that may train in one pack: everything is, but seed, hyperparameters and what they are for."""
        options = tuple(sorted(self.search_space_options.items()))
        data = (self.dataset, self.dataset_share, self.augment)
        training = (self.algorithm, self.loss, self.profile, self.precision, self.epochs, self.batch_size)
        return (self.search_space, options, self.architecture, *data, *training)

    @property
    def settings(self) -> Scalars:
        """The hyperparameters that `build` gets: the sweep's and, over them, the tuner's."""
        return {**self.hyperparameters, **(self.proposal or {})}


class StudyRule(Record):
    """How an algorithm's tuning trials differ from its final ones: the fact STUDY of its plug-in.

    Attributes:
        network: what a search-space study trains: the first architectures of the sweep, or the space's SHALLOW one.
        epochs: of each tuning trial; null: the sweep's.
        seeds: trainings of each proposal, with equal seeds for every proposal; null: one, with a seed of its own.
        metric: by what proposals are judged; see `Study`.
        hyperparameters: values that the tuning trials have instead of the final ones'.
    """

    network: Literal["proxies", "shallow"] = "proxies"
    epochs: Annotated[int, Field(ge=1)] | None = None
    seeds: Annotated[int, Field(ge=1)] | None = None
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
    pruner: Literal["none", "median"] = "none"
    sampler: Sampler = "tpe"
    metric: Metric = "val_accuracy"
    rounds: tuple[tuple[Trial, ...], ...]
    final: tuple[Trial, ...]


class Plan(Record):
    """All trials of a sweep, in the order in which they are to be sent. Depends on the sweep and the plug-ins alone.

    Attributes:
        trials: final trials of self-tuning algorithms.
        studies: the tuned algorithms' studies.
        plugin_digests: SHA-256 of each plug-in's source, by `kind/name`.
    """

    sweep: Sweep
    trials: tuple[Trial, ...]
    studies: tuple[Study, ...]
    plugin_digests: dict[str, str]

    @cached_property
    def all_trials(self) -> tuple[Trial, ...]:
        """Every trial, tuning ones included, in plan order."""
        studied = (trial for study in self.studies for part in (*study.rounds, study.final) for trial in part)
        return (*self.trials, *studied)


# ------------------------------------------------------------------------------------------------ what was measured


class CurvePoint(Record):
    """One evaluation in time, after an epoch.

    Attributes:
        epoch: epochs done, from 1.
        train_loss: mean loss of the epoch's training batches.
        train_accuracy: share of correct answers on the epoch's training batches, in [0, 1].
        val_loss: mean cross-entropy on the validation split; null where logits overflow it.
        val_accuracy: share of correct answers on the validation split, in [0, 1].
        train_seconds: seconds of training so far, evaluation apart.
        learning_rate: the optimizer's learning rate (AGD: its automatic one) of the epoch's last step.
        diagnostics: what the optimizer says of its steps, and what was measured of the network during the epoch, by name; empty where
            nothing is.
    """

    epoch: int
    train_loss: float
    train_accuracy: float
    val_loss: float | None
    val_accuracy: float
    train_seconds: float
    learning_rate: float | None = None
    diagnostics: dict[str, float] = {}


class TrialResult(Record):
    """What one attempt at a trial measured. Missing is null, never 0.

    Attributes:
        status: how the trial ended.
        reason: why, for every status but `done`.
        test_accuracy: on the test split after the last epoch; never used for any choice.
        train_seconds: seconds of training steps in this attempt.
        total_seconds: seconds of the whole attempt: building, training, evaluating.
        flops: floating-point operations charged to training (2 per multiply-add, forward and backward).
        forward_flops: those of one image's forward pass.
        parameters: trainable scalars.
        peak_memory_bytes: largest device memory in use; null on a CPU.
        energy_joules: of an exclusive device; null otherwise.
        resumed_epoch: epochs taken over from a checkpoint of an earlier attempt; 0: none.
        provenance: versions, device, thread count, and whether the trial had the device to itself, as strings.
    """

    trial_id: str
    status: Status
    reason: str = ""
    train_loss: float | None = None
    train_accuracy: float | None = None
    val_loss: float | None = None
    val_accuracy: float | None = None
    test_accuracy: float | None = None
    train_seconds: float = 0.0
    total_seconds: float = 0.0
    flops: int | None = None
    forward_flops: int | None = None
    parameters: int | None = None
    peak_memory_bytes: int | None = None
    energy_joules: float | None = None
    resumed_epoch: int = 0
    curve: tuple[CurvePoint, ...] = ()
    provenance: dict[str, str] = {}
