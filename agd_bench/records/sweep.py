"""What the user asks for: a sweep and its parts."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, Self, get_args

from pydantic import Field, SerializerFunctionWrapHandler, StrictBool, field_validator, model_serializer, model_validator

from agd_bench.records.values import (
    TUNING_SEED,
    Diagnostics,
    Label,
    LossName,
    Name,
    Profile,
    Pruner,
    Record,
    Sampler,
    Scalars,
    Scope,
    WantedPrecision,
)


class IndexRange(Record):
    """Consecutive architectures of a finite search space, in the order in which its plug-in lists them.

    Attributes:
        first: index of the first one, from 0.
        count: number of architectures.
    """

    first: Annotated[int, Field(strict=True, ge=0)] = 0
    count: Annotated[int, Field(strict=True, ge=1)]


class Sampling(Record):
    """How architectures are drawn from a finite search space instead of by the plug-in's own `sample`.

    Attributes:
        unique: from its different networks, all equally likely, each by its canonical name: by the plug-in's default rule (true), or
            by one of its RULES.
        stratify: from groups of equal numbers of architectures by size (`parameters`, or `flops`: multiply-adds of a forward pass), for
            images of 32 pixels, three channels and ten classes: one of each group in turn.
        strata: how many groups.
    """

    unique: StrictBool | str = False
    stratify: Literal["none", "parameters", "flops"] = "none"
    strata: Annotated[int, Field(strict=True, ge=2)] = 10

    @model_validator(mode="after")
    def _asks_for_something(self) -> Self:
        if not self.unique and self.stratify == "none":
            raise ValueError("sampling: neither `unique` nor `stratify` is set; set one, or omit `sampling` for a plain draw")
        return self


class SearchSpaceChoice(Record):
    """One search space of a sweep and the architectures taken from it.

    Attributes:
        name: the plug-in's name.
        label: what results call it; two choices of one plug-in with different options need two labels.
        architectures: how many to draw (seeded by the space's name), `"all"` of a finite space, a range of its indices, or a list.
        sampling: how to draw them; with `"all"`, which of them. None: by the plug-in's own `sample`.
        order: in which order they are trained: as they were drawn, enumerated or listed, or `random`: by a hash of the space's name and
            the architecture, the same on every machine, so that every beginning of an enumerated space is a fair sample of it; with
            `representatives` a fair sample of its different networks, equal ones together.
        options: keyword options of the plug-in's `build`, for example `channels`; part of every trial's identity.
        representatives: whether of architectures that are equal networks one is trained, and the others take its results, in rows that
            say so; allowed where equal networks train to equal results.
    """

    name: Name
    label: Name = ""
    architectures: Annotated[int, Field(strict=True, ge=1)] | Literal["all"] | IndexRange | tuple[str, ...] = 16
    sampling: Sampling | None = None
    representatives: StrictBool = False
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
            raise ValueError(
                "sampling: the architectures are listed, so there is nothing to draw; give a number of architectures, or omit `sampling`"
            )
        if self.architectures == "all" and self.sampling.stratify != "none":
            raise ValueError(
                'sampling: architectures = "all" leaves nothing to stratify; give a number of architectures, or omit `stratify`'
            )
        return self


class DatasetChoice(Record):
    """One data set of a sweep.

    Attributes:
        name: the plug-in's name.
        share: share of the training and validation splits to use, in (0, 1]; drawn once per data set, the same for every
            trial. Validation keeps at least 300 images if it has them; the test split stays whole.
        augment: whether the data set's standard augmentation is applied.
        epochs: passes over the (share of the) training split; None: the sweep's.
    """

    name: Name
    share: Annotated[float, Field(strict=True, gt=0, le=1)] = 1.0
    augment: StrictBool = True
    epochs: Annotated[int, Field(strict=True, ge=1)] | None = None

    @property
    def label(self) -> str:
        """What results call it: its name, with the budget if it has one of its own, such as `digits@16`."""
        return self.name if self.epochs is None else f"{self.name}@{self.epochs}"

    @model_serializer(mode="wrap")
    def _without_default(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        # sweeps and benchmarks without budgets keep their text, of which published digests are
        return {key: value for key, value in handler(self).items() if key != "epochs" or value is not None}


class AlgorithmChoice(Record):
    """One training algorithm of a sweep.

    Attributes:
        name: the plug-in's name.
        label: what results call it; two entries of one plug-in need two labels.
        hyperparameters: values to fix, by the names of the plug-in's `build`.
        loss: the loss to train with instead of the algorithm's own: `square`, `cross-entropy`, or `smoothed-cross-entropy` (label
            smoothing 0.1). An algorithm whose constants hold only for some losses lists them (LOSSES); others are refused.
        tuning_trials: proposals of each study; needs an algorithm with `RANGES`, 0 for one without.
        tuning_scope: whether each architecture is tuned for itself, the search space once on `proxies` of it, one setting for the whole
            `sweep` (a proposal is tried on the proxies of every search space, data set and profile, and judged by its mean), or nothing
            (`none`: the `untuned` values everywhere). A sweep may list several: see `Sweep.algorithms`.
        untuned: values that scope `none` trains with; with `hyperparameters` they must name every one of the RANGES.
        proxies: architectures of a search space on which a study of more than one architecture tries each proposal.
        sampler: `tpe`; `random`: independent draws, uniform in the RANGES (in their logarithm if `log`), as statements about the
            best of n proposals require; or `grid`: every combination of the choices, if the RANGES are all choices;
            `tuning_trials` is then their number; `gp`: a Gaussian process; `qmc`: quasi-random points; `cma-es` (needs the extra
            `samplers`); `ray-tune`: Ray Tune's trials, imported (see `scheduling.ray_tune`); or `package:Class`, an
            installed class of Optuna's type that takes a seed.
        pruner: stops tuning trials early, by their best validation accuracy so far: `median`, if it is below the median of earlier ones;
            `successive-halving`, after a third, a ninth, … of the epochs, unless it is among the best third; `hyperband`, the same in
            brackets that compare later and later. With a pruner, proposals are tried one after the other.
    """

    name: Name
    label: Label = ""
    hyperparameters: Scalars = {}
    loss: LossName | None = None
    tuning_trials: Annotated[int, Field(strict=True, ge=0)] = 0
    tuning_scope: Scope = "architecture"
    untuned: Scalars = {}
    proxies: Annotated[int, Field(strict=True, ge=1)] = 4
    sampler: Sampler = "tpe"
    pruner: Pruner = "none"

    @model_validator(mode="before")
    @classmethod
    def _label_from_name(cls, data: Any) -> Any:
        return {"label": data.get("name", ""), **data} if isinstance(data, dict) else data

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.untuned and self.tuning_scope != "none":
            raise ValueError(f'untuned: only used with tuning_scope = "none", but this entry has {self.tuning_scope!r}; delete one of them')
        if self.tuning_scope == "none" and self.tuning_trials:
            raise ValueError('tuning_trials: tuning_scope = "none" has no study; delete tuning_trials')
        twice = sorted(set(self.untuned) & set(self.hyperparameters))
        if twice:
            raise ValueError(f"untuned: {', '.join(twice)} is also in hyperparameters; give it once")
        return self


class AdaptiveSeeds(Record):
    """How many seeds an architecture gets with `seeds = "adaptive"`; method: `analysis.adaptive_seeds`.

    Attributes:
        first: seeds that every architecture gets; at least two.
        most: seeds that an architecture gets at most.
        batch: seeds between two looks at the results.
        half_width: two architectures count as tied once the confidence interval of their difference reaches no further than this to
            either side of 0; a share of the validation images in (0, 1).
        level: probability that no order of two architectures is decided wrongly, over all algorithms and looks, in (0, 1).
    """

    # at least 2: the seed noise is estimated from these seeds
    first: Annotated[int, Field(strict=True, ge=2)] = 2
    most: Annotated[int, Field(strict=True, ge=3, lt=TUNING_SEED)] = 8
    batch: Annotated[int, Field(strict=True, ge=1)] = 1
    half_width: Annotated[float, Field(strict=True, gt=0, lt=1)] = 0.02
    level: Annotated[float, Field(strict=True, gt=0, lt=1)] = 0.95

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.most <= self.first:
            raise ValueError(f"most = {self.most} must be more than first = {self.first}; with equal ones use seeds = {self.first}")
        return self

    @property
    def looks(self) -> tuple[int, ...]:
        """Seeds of an architecture at each look, ascending."""
        # the last step may be shorter than a batch: `most` is always looked at
        return tuple(sorted({*range(self.first, self.most, self.batch), self.most}))


class PluginFolders(Record):
    """Folders of additional plug-ins, one file each, by kind; relative to the sweep's file."""

    search_spaces: tuple[Path, ...] = ()
    algorithms: tuple[Path, ...] = ()
    datasets: tuple[Path, ...] = ()

    def below(self, folder: Path) -> PluginFolders:
        """The folders of a sweep file in `folder`."""
        return PluginFolders.model_validate({kind: tuple(folder / path for path in paths) for kind, paths in self})


class Sweep(Record):
    """Every algorithm on every architecture of every search space and data set, with equal seeds.

    Attributes:
        name: names the run folder.
        description: a sentence for the report.
        algorithms: the entries. If `tuning_scope` is a list, the entry is short for one entry per scope, labelled `LABEL@SCOPE`: its
            tuning settings apply to the scopes that tune, its `untuned` values to `none`.
        epochs: passes over the (share of the) training split. A list trains every budget separately, each with its own schedule: each data
            set stands once per budget, labelled `NAME@EPOCHS`, and this field holds the longest one.
        batch_size: images per step.
        seeds: the final trials' seeds, or how many (0, 1, …), or `"adaptive"`: 0 to `adaptive_seeds.most` − 1, of which each
            architecture gets as many as the order of the architectures needs.
        adaptive_seeds: how adaptive seeds are assigned; None: every architecture gets every seed.
        profiles: which parameters the networks have (DESIGN, fair comparison 1).
        precision: arithmetic of the forward and backward pass, the same for all algorithms of a comparison. `auto`: the fastest that
            the machine which starts the run has instructions for; the whole run keeps it, wherever it continues.
        baseline: label of the algorithm that the others are compared with; default: the first one listed.
        max_attempts: executions a trial may have when workers, nodes or drivers are lost.
        deadline_seconds: a trial's longest time; None: 20 times the median of its kind so far, at least 10 minutes.
        checkpoint_seconds: seconds between the checkpoints of a long trial.
        diagnostics: what is recorded per epoch in addition to the curves: `optimizer` (the optimizer's `diagnostics()` of its steps);
            `network` (spectra and slopes of final trials' networks at log-spaced steps, see `agd_bench.diagnostics`; not part of the
            training seconds) or `network-start` (only the blocks' spectra before the first step).
        folders: where additional plug-ins are; neither stored nor published.
    """

    name: Name
    description: str = ""
    search_spaces: Annotated[tuple[SearchSpaceChoice, ...], Field(min_length=1)]
    datasets: Annotated[tuple[DatasetChoice, ...], Field(min_length=1)]
    algorithms: Annotated[tuple[AlgorithmChoice, ...], Field(min_length=1)]
    epochs: Annotated[int, Field(strict=True, ge=1)]
    batch_size: Annotated[int, Field(strict=True, ge=2)] = 128
    seeds: tuple[Annotated[int, Field(strict=True, ge=0, lt=TUNING_SEED)], ...] = (0, 1, 2)
    adaptive_seeds: AdaptiveSeeds | None = None
    profiles: Annotated[tuple[Profile, ...], Field(min_length=1)] = ("matrix-only",)
    precision: WantedPrecision = "float32"
    baseline: str = ""
    max_attempts: Annotated[int, Field(strict=True, ge=1)] = 3
    deadline_seconds: Annotated[float, Field(strict=True, gt=0)] | None = None
    checkpoint_seconds: Annotated[float, Field(strict=True, gt=0)] = 60.0
    diagnostics: tuple[Diagnostics, ...] = ()
    # other machines have other folders; and a stored sweep must not name code to run
    folders: PluginFolders = Field(default=PluginFolders(), exclude=True)

    @field_validator("seeds", mode="before")
    @classmethod
    def _count_to_seeds(cls, value: Any) -> Any:
        if isinstance(value, str):
            raise ValueError(f'{value!r} is not allowed; give a number of seeds, a list of seeds, or "adaptive"')
        # True is an int, and would mean one seed
        if not isinstance(value, int) or isinstance(value, bool):
            return value
        # before the tuple exists: a mistyped number must not fill the memory
        if value > TUNING_SEED:
            raise ValueError(f"{value} seeds; at most {TUNING_SEED} are allowed")
        return tuple(range(value))

    @model_validator(mode="before")
    @classmethod
    def _expanded(cls, data: Any) -> Any:
        """The short forms written out: `seeds = "adaptive"`, and one entry per tuning scope."""
        if not isinstance(data, dict):
            return data
        # before the fields are checked, as Record refuses unknown keys
        data = _without_replicas(data)
        if data.get("seeds") == "adaptive":
            rule = data.get("adaptive_seeds") or {}
            most = rule.get("most", AdaptiveSeeds().most) if isinstance(rule, dict) else getattr(rule, "most", None)
            # An unusable `most` is reported by its own field.
            seeds = tuple(range(most)) if isinstance(most, int) and 0 < most < TUNING_SEED else (0,)
            data = {**data, "seeds": seeds, "adaptive_seeds": rule}
        if isinstance(data.get("algorithms"), list | tuple):
            data = {**data, "algorithms": [one for given in data["algorithms"] for one in _by_scope(given)]}
        if isinstance(data.get("epochs"), list | tuple) and isinstance(data.get("datasets"), list | tuple):
            budgets = _distinct_budgets(data["epochs"])
            data = {**data, "epochs": max(budgets), "datasets": [one for given in data["datasets"] for one in _by_budget(given, budgets)]}
        return data

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        # stored sweeps have `seeds` written out, so a list that equals the rule's is allowed
        if self.adaptive_seeds is not None and self.seeds != tuple(range(self.adaptive_seeds.most)):
            raise ValueError(f'adaptive_seeds: only used with seeds = "adaptive", but seeds = {list(self.seeds)}; delete one of them')
        if not self.seeds or len(set(self.seeds)) != len(self.seeds):
            raise ValueError(f"seeds: {list(self.seeds)} must be one or more distinct seeds")
        for field in ("search_spaces", "algorithms"):
            labels = [choice.label for choice in getattr(self, field)]
            twice = sorted({label for label in labels if labels.count(label) > 1})
            if twice:
                raise ValueError(f"{field}: {', '.join(twice)} appears twice; give each entry its own label")
        # results group by a data set's label, which would pool two shares
        if len({choice.label for choice in self.datasets}) != len(self.datasets):
            raise ValueError("datasets: a data set appears twice; a sweep trains on one share of each")
        labels = [choice.label for choice in self.algorithms]
        if self.baseline and self.baseline not in labels:
            raise ValueError(f"baseline: {self.baseline!r} is not one of the algorithms ({', '.join(labels)})")
        return self

    def epochs_on(self, dataset: str) -> int:
        """Epochs of a final trial on the data set with this label."""
        return next(choice.epochs or self.epochs for choice in self.datasets if choice.label == dataset)

    @property
    def budgets(self) -> tuple[int, ...]:
        """The different numbers of epochs, ascending."""
        return tuple(sorted({choice.epochs or self.epochs for choice in self.datasets}))

    @property
    def seed_count(self) -> str:
        """How many seeds an architecture gets, in words: `3`, or `2 to 8` of an adaptive sweep."""
        return str(len(self.seeds)) if self.adaptive_seeds is None else f"{self.adaptive_seeds.first} to {self.adaptive_seeds.most}"

    @property
    def baseline_label(self) -> str:
        """Label of the algorithm that the others are compared with."""
        return self.baseline or self.algorithms[0].label


def _without_replicas(data: dict[str, Any]) -> dict[str, Any]:
    """A sweep without `replicas`, which version 0.1 stored in every run."""
    if data.get("replicas", 1) != 1:
        raise ValueError(f"replicas = {data['replicas']!r}: replicas was removed in 0.2; delete the line")
    # 1 trained every trial by itself, as all sweeps do now: runs of 0.1 stay readable
    return {key: value for key, value in data.items() if key != "replicas"}


def _distinct_budgets(given: Sequence[Any]) -> list[int]:
    if not given or any(type(one) is not int or one < 1 for one in given) or len(set(given)) < len(given):
        raise ValueError(f"epochs: {list(given)!r} must list distinct whole numbers of epochs, at least 1, for example [4, 16, 64]")
    return sorted(given)


def _by_budget(given: Any, budgets: Sequence[int]) -> list[Any]:
    """An entry of `datasets` as one entry per budget; anything malformed as it is."""
    if not isinstance(given, dict):
        return [given]
    if given.get("epochs") is not None:
        raise ValueError("datasets: epochs is given here and listed for the whole sweep; delete one of them")
    return [{**given, "epochs": budget} for budget in budgets]


def _by_scope(given: Any) -> list[Any]:
    """An entry of `algorithms` as one entry per listed tuning scope; anything else as it is."""
    # anything malformed goes on to the validation of its field, which names the fault
    if not isinstance(given, dict) or not isinstance(given.get("tuning_scope"), list | tuple):
        return [given]
    scopes = given["tuning_scope"]
    unknown = [scope for scope in scopes if scope not in get_args(Scope)]
    if not scopes or unknown or len(set(scopes)) < len(scopes):
        raise ValueError(f"algorithms: tuning_scope = {list(scopes)!r} must list distinct scopes out of {', '.join(get_args(Scope))}")
    if "none" not in scopes and given.get("untuned"):
        raise ValueError('algorithms: untuned values are given, but tuning_scope does not list "none", which would use them')
    label = given.get("label") or given.get("name", "")
    # each scope gets only the keys that AlgorithmChoice accepts with it
    tuning = {key: value for key, value in given.items() if key != "untuned"}
    untuned = {key: value for key, value in given.items() if key not in ("tuning_trials", "sampler", "pruner")}
    return [{**(untuned if scope == "none" else tuning), "label": f"{label}@{scope}", "tuning_scope": scope} for scope in scopes]
