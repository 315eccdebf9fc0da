"""Plan all trials of a sweep. The plan is deterministic, and does not depend on results."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import NamedTuple, get_args

from pydantic import ValidationError

from agd_bench import plugins
from agd_bench.errors import PluginError, SweepError, UnknownNameError
from agd_bench.facts import fits_default, nearest_name
from agd_bench.planning.architectures import choose_architectures, describe_defect, in_order, represent
from agd_bench.records import (
    TUNING_SEED,
    AlgorithmChoice,
    DatasetChoice,
    Plan,
    Profile,
    Scalar,
    Scalars,
    SearchSpaceChoice,
    Study,
    StudyRule,
    Sweep,
    Trial,
    digest,
)

Folders = Mapping[plugins.Kind, Sequence[Path]]


def folders_of(sweep: Sweep, more: Folders | None = None) -> Folders:
    """Return the folders of plug-ins of a sweep, and those of `more`, by kind."""
    kinds: tuple[plugins.Kind, ...] = get_args(plugins.Kind)
    # A sweep trains; it names no search methods.
    return {kind: (*getattr(sweep.folders, kind, ()), *(more or {}).get(kind, ())) for kind in kinds}


def _check_options(module: ModuleType, choice: SearchSpaceChoice) -> None:
    known = getattr(module, "OPTIONS", {})
    for name in choice.options:
        if name not in known:
            raise UnknownNameError(f"option of search space {choice.name!r}:", name, known)
        _check_type(f"search space {choice.label!r}: option {name}", choice.options[name], known[name])


def _check_type(what: str, value: Scalar, default: object) -> None:
    if not fits_default(value, default):
        raise SweepError(f"{what} = {value!r}: expected a value like its default {default!r}")


def _check_algorithm(module: ModuleType, choice: AlgorithmChoice) -> None:
    parameters = list(inspect.signature(module.build).parameters.values())
    takes_any = any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters)
    # The first two are the network and the steps; the graph comes from the search space.
    known = [parameter.name for parameter in parameters[2:] if parameter.kind is not parameter.VAR_KEYWORD and parameter.name != "graph"]
    for name in {**choice.hyperparameters, **choice.untuned}:
        if name not in known and not takes_any:
            raise UnknownNameError(f"hyperparameter of algorithm {choice.name!r}:", name, known)
    defaults = {parameter.name: parameter.default for parameter in parameters}
    for name, value in {**choice.hyperparameters, **choice.untuned}.items():
        example = defaults.get(name, inspect.Parameter.empty)
        if example is inspect.Parameter.empty and "low" in (bounds := getattr(module, "RANGES", {}).get(name, {})):
            example = bounds["low"]  # a searched hyperparameter has no default
        _check_type(f"algorithm {choice.label!r}: hyperparameter {name}", value, example)
    allowed = getattr(module, "LOSSES", ())
    if choice.loss and allowed and choice.loss not in allowed:
        raise SweepError(f"algorithm {choice.label!r} supports the loss {' or '.join(allowed)}, not {choice.loss!r}")
    if choice.tuning_scope == "none":
        _check_untuned(module, choice)
        return
    ranges = plugins.ranges_of(module) if choice.tuning_trials else module.RANGES
    fixed = sorted(set(choice.hyperparameters) & set(ranges))
    if fixed:
        raise SweepError(f"algorithm {choice.label!r}: {', '.join(fixed)} cannot be both fixed in the sweep and tuned (RANGES)")
    if module.RANGES and not choice.tuning_trials:
        raise SweepError(f"algorithm {choice.label!r} is externally tuned: set tuning_trials to at least 1")
    if choice.tuning_trials and not ranges:
        raise SweepError(f"algorithm {choice.label!r} has no RANGES to tune: set tuning_trials to 0, or leave it out")
    if choice.sampler == "grid":
        _check_grid(module, choice)
    if choice.pruner != "none" and choice.tuning_scope != "architecture":
        raise SweepError(f'algorithm {choice.label!r}: pruners compare trainings of one architecture; use pruner = "none" with this scope')


def _check_grid(module: ModuleType, choice: AlgorithmChoice) -> None:
    """Check that tuning_trials is the size of the grid, so that the sweep states its cost."""
    ranges = plugins.ranges_of(module)
    continuous = [name for name, given in ranges.items() if "choices" not in given]
    if continuous:
        raise SweepError(
            f"algorithm {choice.label!r}: a grid needs choices, but {', '.join(continuous)} has a continuous range;"
            " use another sampler than 'grid'"
        )
    points = math.prod(len(given["choices"]) for given in ranges.values())
    if choice.tuning_trials != points:
        raise SweepError(f"algorithm {choice.label!r}: its grid has {points} points; set tuning_trials = {points}")


def study_rule(module: ModuleType) -> StudyRule:
    """Return how the tuning trials of an algorithm differ from its final ones (its fact STUDY).

    Raises:
        PluginError: STUDY is malformed.
    """
    try:
        return StudyRule.model_validate(getattr(module, "STUDY", {}))
    except ValidationError as error:
        fault = error.errors(include_url=False)[0]
        keys = ", ".join(StudyRule.model_fields)
        near = nearest_name(fault["loc"][-1], StudyRule.model_fields) if fault["type"] == "extra_forbidden" else ""
        what = f"no such key{near}" if fault["type"] == "extra_forbidden" else fault["msg"]
        raise PluginError(
            f"{module.__name__}: STUDY: {'.'.join(map(str, fault['loc']))}: {what}; it must be a dict with some of the keys {keys}"
        ) from None


def _check_untuned(module: ModuleType, choice: AlgorithmChoice) -> None:
    """Check that the sweep gives all values that a study would tune, since scope `none` has no study."""
    missing = [name for name in module.RANGES if name not in {**choice.hyperparameters, **choice.untuned}]
    if not module.RANGES:
        raise SweepError(f"algorithm {choice.label!r} has no RANGES to tune: leave tuning_scope out")
    if missing:
        ranges = ", ".join(f"{name} ({_in_words(module.RANGES[name])})" for name in missing)
        raise SweepError(f'algorithm {choice.label!r}: tuning_scope = "none" needs a value for {ranges}; give it in the table `untuned`')


def _in_words(given: Mapping[str, object]) -> str:
    """Format the range of a hyperparameter."""
    return f"one of {given['choices']}" if "choices" in given else f"{given['low']} to {given['high']}{', log' * bool(given.get('log'))}"


def _locate_all(sweep: Sweep, folders: Folders) -> dict[str, plugins.Source]:
    """Return the locations of all plug-ins of a sweep, by `kind/name`."""
    named: dict[plugins.Kind, list[str]] = {
        "search_spaces": [choice.name for choice in sweep.search_spaces],
        "algorithms": [choice.name for choice in sweep.algorithms],
        "datasets": [choice.name for choice in sweep.datasets],
    }
    return {f"{kind}/{name}": plugins.locate(kind, name, folders.get(kind, ())) for kind, names in named.items() for name in names}


def plan(sweep: Sweep, folders: Folders | None = None) -> Plan:
    """Plan all trials of a sweep.

    The plan depends on the sweep and the plug-ins' sources only.

    Args:
        sweep: to plan.
        folders: folders of plug-ins by kind, in addition to the sweep's own.

    Raises:
        InputError: a name is unknown, a plug-in cannot be loaded, or settings are incompatible.
    """
    if sweep.precision == "auto":
        raise SweepError(
            'precision = "auto" is resolved by the machine that starts the run; to plan without it, set "float32" or "bfloat16"'
        )
    sources = _locate_all(sweep, folders_of(sweep, folders))
    modules = {key: plugins.load_source(source) for key, source in sources.items()}
    rules = {choice.name: study_rule(modules[f"algorithms/{choice.name}"]) for choice in sweep.algorithms}
    algorithms = {choice.label: modules[f"algorithms/{choice.name}"] for choice in sweep.algorithms}
    for algorithm in sweep.algorithms:
        _check_algorithm(modules[f"algorithms/{algorithm.name}"], algorithm)
    trials: list[Trial] = []
    studies: list[Study] = []
    cells: list[_Cell] = []
    for space in sweep.search_spaces:
        module = modules[f"search_spaces/{space.name}"]
        _check_options(module, space)
        architectures = in_order(module, space, choose_architectures(module, space))
        sound = [architecture for architecture in architectures if not describe_defect(module, space.name, architecture)]
        represented = represent(module, space, sweep, algorithms, sound)
        for dataset in sweep.datasets:
            for profile in sweep.profiles:
                cell = _Cell(sweep, space, dataset, profile, architectures, represented, rules, _shallow(module))
                cells.append(cell)
                trials += cell.self_tuning()
                studies += [study for choice in sweep.algorithms if choice.tuning_trials for study in cell.studies(choice)]
    shared = [_shared_study(choice, cells) for choice in sweep.algorithms if choice.tuning_scope == "sweep" and choice.tuning_trials]
    # Without finals its tuning would be for nothing.
    studies += [study for study in shared if study.final]
    made = Plan(
        sweep=sweep, trials=tuple(trials), studies=tuple(studies), plugin_digests={key: source.digest for key, source in sources.items()}
    )
    _check_distinct(made)
    return made


def _check_distinct(made: Plan) -> None:
    seen: dict[str, Trial] = {}
    for trial in made.all_trials:
        other = seen.setdefault(trial.id, trial)
        if other is not trial:
            raise SweepError(
                f"{trial.algorithm_label!r} on {trial.search_space_label!r} and {other.algorithm_label!r} on {other.search_space_label!r}"
                " are identical trials under two labels; remove one of the entries"
            )


def _shallow(module: ModuleType) -> tuple[str, Scalars] | None:
    """Return a search space's shallow network and its options, or None if it has no SHALLOW or no graph()."""
    if not (hasattr(module, "graph") and hasattr(module, "SHALLOW")):
        return None
    return str(module.SHALLOW), dict(getattr(module, "SHALLOW_OPTIONS", {}))


FIELDS = set(Trial.model_fields)


class _Cell:
    """The trials of one search space, data set and profile, for all algorithms.

    Args:
        represented: architectures without a defect, each with its representative.
    """

    def __init__(
        self,
        sweep: Sweep,
        space: SearchSpaceChoice,
        dataset: DatasetChoice,
        profile: Profile,
        architectures: tuple[str, ...],
        represented: Mapping[str, str],
        rules: Mapping[str, StudyRule],
        shallow: tuple[str, Scalars] | None,
    ) -> None:
        self.sweep, self.space, self.dataset, self.profile = sweep, space, dataset, profile
        self.architectures, self.represented, self.sound = architectures, represented, tuple(represented)
        self.rules, self.shallow = rules, shallow

    def trial(self, choice: AlgorithmChoice, architecture: str, seed: int, **more: object) -> Trial:
        made = Trial.model_validate(
            {
                "search_space": self.space.name,
                "search_space_label": self.space.label,
                "search_space_options": self.space.options,
                "architecture": architecture,
                "dataset": self.dataset.name,
                "dataset_label": self.dataset.label,
                "dataset_share": self.dataset.share,
                "augment": self.dataset.augment,
                "algorithm": choice.name,
                "algorithm_label": choice.label,
                "hyperparameters": {**choice.hyperparameters, **choice.untuned},
                "loss": choice.loss,
                "profile": self.profile,
                "precision": self.sweep.precision,
                "epochs": self.dataset.epochs or self.sweep.epochs,
                "batch_size": self.sweep.batch_size,
                "diagnostics": self.sweep.diagnostics,
                "seed": seed,
                **more,
            }
        )
        # A set of its own, which nothing reads, would be two thirds of a trial's memory.
        object.__setattr__(made, "__pydantic_fields_set__", FIELDS)
        return made

    def final(self, choice: AlgorithmChoice, architecture: str, seed: int, study: str | None = None) -> Trial:
        """Return a final trial, with its representative if it is not trained itself."""
        trained = self.represented.get(architecture, architecture)
        if trained == architecture:
            return self.trial(choice, architecture, seed, study=study)
        return self.trial(choice, architecture, seed, study=study, representative=self.trial(choice, trained, seed, study=study).id)

    def self_tuning(self) -> list[Trial]:
        """Return final trials without a study: those without tuning, and those that will be refused.

        A trial is refused if its architecture has a defect, or if its study needs a shallow network that the space does not have.
        """
        sound = set(self.sound)
        # By seed, then by architecture, so that every prefix is a fair sample.
        return [
            self.trial(choice, architecture, seed, study=self._twin_key(choice, architecture))
            if choice.tuning_trials
            else self.final(choice, architecture, seed)
            for seed in self.sweep.seeds
            for architecture in self.architectures
            for choice in self.sweep.algorithms
            if not choice.tuning_trials or architecture not in sound or self._has_no_shallow(choice)
        ]

    def _twin_key(self, choice: AlgorithmChoice, architecture: str) -> str | None:
        """Return a study key that distinguishes refused trials of entries that differ only in their tuning; None for the first entry."""
        if not choice.tuning_trials:
            return None
        # Without a key these trials would have equal ids; the first entry can do without one.
        alike = [other for other in self.sweep.algorithms if other.tuning_trials and _untuned_part(other) == _untuned_part(choice)]
        return None if alike[0].label == choice.label else self._key(choice, (architecture,))

    def studies(self, choice: AlgorithmChoice) -> list[Study]:
        """Return one study per architecture or one for the search space, depending on the scope; none if the scope is the sweep."""
        if self._has_no_shallow(choice) or choice.tuning_scope == "sweep":
            return []
        if choice.tuning_scope == "architecture":
            return [self._study(choice, (trained,), equal) for trained, equal in self._classes().items()]
        return [self._study(choice, self._tried(choice), self.sound)] if self.sound else []

    def _tried(self, choice: AlgorithmChoice) -> tuple[str, ...]:
        """Return the architectures that a study over several architectures trains: the shallow network, or the first `proxies`."""
        if self.rules[choice.name].network == "shallow" and self.shallow:
            return (self.shallow[0],)
        # Of equal networks one: a second would be the same training.
        return tuple(self._classes())[: choice.proxies]

    def share_of_study(self, choice: AlgorithmChoice) -> _Share | None:
        """Return this cell's part of a study over the whole sweep, or None if nothing can be trained."""
        if not self.sound or self._has_no_shallow(choice):
            return None
        tried = self._tried(choice)
        return _Share(
            self._key(choice, tried),
            lambda key, number: self._round(choice, tried, key, number),
            lambda key: tuple(
                self.final(choice, architecture, seed, study=key) for seed in self.sweep.seeds for architecture in self.sound
            ),
        )

    def _classes(self) -> dict[str, tuple[str, ...]]:
        """Return the representatives, each with the architectures that it represents, itself first."""
        classes: dict[str, list[str]] = {}
        for architecture, trained in self.represented.items():
            classes.setdefault(trained, []).append(architecture)
        return {trained: tuple(equal) for trained, equal in classes.items()}

    def _has_no_shallow(self, choice: AlgorithmChoice) -> bool:
        return self.rules[choice.name].network == "shallow" and self.shallow is None

    def _study(self, choice: AlgorithmChoice, tried: tuple[str, ...], trained: tuple[str, ...]) -> Study:
        key = self._key(choice, tried)
        rounds = tuple(self._round(choice, tried, key, number) for number in range(choice.tuning_trials))
        final = tuple(self.final(choice, architecture, seed, study=key) for seed in self.sweep.seeds for architecture in trained)
        return Study(
            key=key,
            algorithm=choice.name,
            algorithm_label=choice.label,
            pruner=choice.pruner,
            sampler=choice.sampler,
            metric=self.rules[choice.name].metric,
            rounds=rounds,
            final=final,
        )

    def _round(self, choice: AlgorithmChoice, tried: tuple[str, ...], key: str, number: int) -> tuple[Trial, ...]:
        """Return the trials of one proposal."""
        rule = self.rules[choice.name]
        changes: dict[str, object] = {"purpose": "tuning", "study": key, "number": number}
        if rule.epochs is not None:
            changes["epochs"] = rule.epochs
        if rule.hyperparameters:
            changes["hyperparameters"] = {**choice.hyperparameters, **rule.hyperparameters}
        if rule.network == "shallow" and self.shallow and choice.tuning_scope != "architecture":
            changes["search_space_options"] = {**self.space.options, **self.shallow[1]}
        # Seeds that no final has: values are not chosen on the trainings that they are judged by.
        seeds = [TUNING_SEED + number] if rule.seeds is None else [TUNING_SEED + seed for seed in range(rule.seeds)]
        return tuple(self.trial(choice, architecture, seed, **changes) for architecture in tried for seed in seeds)

    def _key(self, choice: AlgorithmChoice, tried: tuple[str, ...]) -> str:
        # Labels and diagnostics change nothing that a study finds; the architectures are in `tried`.
        probe = self.trial(choice, tried[0], 0).model_dump(
            exclude={"search_space_label", "dataset_label", "algorithm_label", "seed", "architecture", "diagnostics", "representative"}
        )
        # defaults are left out, so that keys from before an option existed stay valid
        sampler = {} if choice.sampler == "tpe" else {"sampler": choice.sampler}
        asked = {"tried": tried, "trials": choice.tuning_trials, "scope": choice.tuning_scope, "pruner": choice.pruner}
        rule = self.rules[choice.name].model_dump(exclude_defaults=True)
        return digest({**probe, **asked, **sampler, **({"rule": rule} if rule else {})})


class _Share(NamedTuple):
    """A cell's part of a study over the whole sweep.

    Attributes:
        key: of this part.
        round: returns the trials of a proposal, from the study's key and the proposal's number.
        final: returns the final trials, from the study's key.
    """

    key: str
    round: Callable[[str, int], tuple[Trial, ...]]
    final: Callable[[str], tuple[Trial, ...]]


def _shared_study(choice: AlgorithmChoice, cells: Sequence[_Cell]) -> Study:
    """Return the study of an algorithm over the whole sweep: each proposal is evaluated in every cell."""
    shares = [share for cell in cells if (share := cell.share_of_study(choice)) is not None]
    # Of all cells: with another data set in the sweep it is another study.
    key = digest([share.key for share in shares])
    return Study(
        key=key,
        algorithm=choice.name,
        algorithm_label=choice.label,
        pruner=choice.pruner,
        sampler=choice.sampler,
        metric=cells[0].rules[choice.name].metric,
        rounds=tuple(tuple(t for share in shares for t in share.round(key, number)) for number in range(choice.tuning_trials)),
        final=tuple(trial for share in shares for trial in share.final(key)),
    )


def _untuned_part(choice: AlgorithmChoice) -> tuple[object, ...]:
    """Return the settings of an entry that determine its trials, except for the study."""
    return choice.name, choice.hyperparameters, choice.loss
