"""From a sweep to the plan of all its trials: deterministic, and blind to results."""

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
    """The folders of plug-ins that a sweep names, and `more` of them that were given beside it."""
    kinds: tuple[plugins.Kind, ...] = get_args(plugins.Kind)
    return {kind: (*getattr(sweep.folders, kind), *(more or {}).get(kind, ())) for kind in kinds}


def _check_options(module: ModuleType, choice: SearchSpaceChoice) -> None:
    known = getattr(module, "OPTIONS", {})
    for name in choice.options:
        if name not in known:
            raise UnknownNameError(f"option of search space {choice.name!r}:", name, known)
        _check_type(f"search space {choice.label!r}: option {name}", choice.options[name], known[name])


def _check_type(what: str, value: Scalar, default: object) -> None:
    """A setting has the type of its default, or every trial would fail on it; whole numbers serve as reals, truth values do not."""
    kinds = {bool: (bool,), int: (int,), float: (int, float), str: (str,)}
    wanted = kinds.get(type(default))
    if wanted and (not isinstance(value, wanted) or isinstance(value, bool) is not isinstance(default, bool)):
        raise SweepError(f"{what} = {value!r}: expected a value like its default {default!r}")


def _check_algorithm(module: ModuleType, choice: AlgorithmChoice) -> None:
    parameters = list(inspect.signature(module.build).parameters.values())
    takes_any = any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters)
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
        raise SweepError(f"algorithm {choice.label!r}: its constants hold for the loss {' or '.join(allowed)}, not for {choice.loss!r}")
    if choice.tuning_scope == "none":
        _check_untuned(module, choice)
        return
    ranges = plugins.ranges_of(module) if choice.tuning_trials else module.RANGES
    fixed = sorted(set(choice.hyperparameters) & set(ranges))
    if fixed:
        raise SweepError(f"algorithm {choice.label!r}: {', '.join(fixed)} is tuned by its RANGES and cannot be fixed as well")
    if module.RANGES and not choice.tuning_trials:
        raise SweepError(f"algorithm {choice.label!r} is externally tuned: give tuning_trials, at least 1")
    if choice.tuning_trials and not ranges:
        raise SweepError(f"algorithm {choice.label!r} is self-tuning: it has nothing to tune, so tuning_trials must be 0")
    if choice.sampler == "grid":
        _check_grid(module, choice)
    if choice.pruner != "none" and choice.tuning_scope != "architecture":
        raise SweepError(
            f'algorithm {choice.label!r}: the median pruner compares trainings of one architecture; use pruner = "none" with this scope'
        )


def _check_grid(module: ModuleType, choice: AlgorithmChoice) -> None:
    """A grid is searched whole, and its size is what the sweep says, so that its cost stands in the sweep."""
    ranges = plugins.ranges_of(module)
    continuous = [name for name, given in ranges.items() if "choices" not in given]
    if continuous:
        raise SweepError(
            f"algorithm {choice.label!r}: a grid needs choices, and {', '.join(continuous)} has a range; use another sampler than 'grid'"
        )
    points = math.prod(len(given["choices"]) for given in ranges.values())
    if choice.tuning_trials != points:
        raise SweepError(f"algorithm {choice.label!r}: its grid has {points} points; give tuning_trials = {points}")


def study_rule(module: ModuleType) -> StudyRule:
    """How the tuning trials of an algorithm differ from its final ones.

    Raises:
        PluginError: its fact STUDY is malformed.
    """
    try:
        return StudyRule.model_validate(getattr(module, "STUDY", {}))
    except ValidationError as error:
        fault = error.errors(include_url=False)[0]
        keys = ", ".join(StudyRule.model_fields)
        raise PluginError(
            f"{module.__name__}: STUDY: {'.'.join(map(str, fault['loc']))}: {fault['msg']}; it is a dict with any of {keys}"
        ) from None


def _check_untuned(module: ModuleType, choice: AlgorithmChoice) -> None:
    """Scope `none` has no study, so the sweep must say what the study would have chosen."""
    missing = [name for name in module.RANGES if name not in {**choice.hyperparameters, **choice.untuned}]
    if not module.RANGES:
        raise SweepError(f"algorithm {choice.label!r} is self-tuning: it has nothing to tune, so leave tuning_scope out")
    if missing:
        ranges = ", ".join(f"{name} ({_in_words(module.RANGES[name])})" for name in missing)
        raise SweepError(
            f'algorithm {choice.label!r}: tuning_scope = "none" trains with given values, and none is given for {ranges};'
            " name them in the table `untuned`"
        )


def _in_words(given: Mapping[str, object]) -> str:
    """A range of a hyperparameter as a message writes it."""
    return f"one of {given['choices']}" if "choices" in given else f"{given['low']} to {given['high']}{', log' * bool(given.get('log'))}"


def _locate_all(sweep: Sweep, folders: Folders) -> dict[str, plugins.Source]:
    """The sources of every plug-in that a sweep names, by `kind/name`."""
    named: dict[plugins.Kind, list[str]] = {
        "search_spaces": [choice.name for choice in sweep.search_spaces],
        "algorithms": [choice.name for choice in sweep.algorithms],
        "datasets": [choice.name for choice in sweep.datasets],
    }
    return {f"{kind}/{name}": plugins.locate(kind, name, folders.get(kind, ())) for kind, names in named.items() for name in names}


def plan(sweep: Sweep, folders: Folders | None = None) -> Plan:
    """All trials of a sweep: a function of the sweep and the plug-ins' sources alone.

    Final trials come seed by seed, then architecture by architecture, so that every prefix is a fair sample.

    Args:
        sweep: what is asked.
        folders: further plug-ins' folders by kind, beside the sweep's own.

    Raises:
        InputError: unknown names, plug-ins that do not load, settings that do not fit together.
    """
    if sweep.precision == "auto":
        raise SweepError(
            'precision = "auto" is settled by the machine that begins the run; to plan without one, give "float32" or "bfloat16"'
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
                " are the same trials under two labels; remove one of the entries"
            )


def _shallow(module: ModuleType) -> tuple[str, Scalars] | None:
    """A search space's shallow network and its options, if it names one and tells its paths."""
    if not (hasattr(module, "graph") and hasattr(module, "SHALLOW")):
        return None
    return str(module.SHALLOW), dict(getattr(module, "SHALLOW_OPTIONS", {}))


class _Cell:
    """The trials of one comparison: one search space, data set and profile, all algorithms.

    Args:
        represented: the architectures that can be trained, each with the one that is trained in its place, itself as a rule.
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
        return Trial.model_validate(
            {
                "search_space": self.space.name,
                "search_space_label": self.space.label,
                "search_space_options": self.space.options,
                "architecture": architecture,
                "dataset": self.dataset.name,
                "dataset_share": self.dataset.share,
                "augment": self.dataset.augment,
                "algorithm": choice.name,
                "algorithm_label": choice.label,
                "hyperparameters": {**choice.hyperparameters, **choice.untuned},
                "loss": choice.loss,
                "profile": self.profile,
                "precision": self.sweep.precision,
                "epochs": self.sweep.epochs,
                "batch_size": self.sweep.batch_size,
                "diagnostics": self.sweep.diagnostics,
                "seed": seed,
                **more,
            }
        )

    def final(self, choice: AlgorithmChoice, architecture: str, seed: int, study: str | None = None) -> Trial:
        """A final trial, which says whose results it takes if it is not trained itself."""
        made = self.trial(choice, architecture, seed, study=study)
        trained = self.represented.get(architecture, architecture)
        if trained == architecture:
            return made
        return made.model_copy(update={"representative": self.trial(choice, trained, seed, study=study).id})

    def self_tuning(self) -> list[Trial]:
        """Final trials without a study: of self-tuning algorithms, and of every algorithm on what it can only refuse.

        That is an architecture with a defect, or a space without a shallow network where the study would train one.
        """
        sound = set(self.sound)
        return [
            self.trial(choice, architecture, seed, study=self._twin_key(choice, architecture))
            if choice.tuning_trials
            else self.final(choice, architecture, seed)
            for seed in self.sweep.seeds
            for architecture in self.architectures
            for choice in self.sweep.algorithms
            if not choice.tuning_trials or architecture not in sound or self._lacks_shallow(choice)
        ]

    def _twin_key(self, choice: AlgorithmChoice, architecture: str) -> str | None:
        """What tells apart the trials of an architecture with a defect that only differ in how they would have been tuned.

        The first of such entries needs nothing; the others' trials name the study that they would have used.
        """
        if not choice.tuning_trials:
            return None
        alike = [other for other in self.sweep.algorithms if other.tuning_trials and _untuned_part(other) == _untuned_part(choice)]
        return None if alike[0].label == choice.label else self._key(choice, (architecture,))

    def studies(self, choice: AlgorithmChoice) -> list[Study]:
        """One study per architecture, or one for the search space, as the choice's scope says; none by that of the sweep."""
        if self._lacks_shallow(choice) or choice.tuning_scope == "sweep":
            return []
        if choice.tuning_scope == "architecture":
            return [self._study(choice, (trained,), equal) for trained, equal in self._classes().items()]
        return [self._study(choice, self._tried(choice), self.sound)] if self.sound else []

    def _tried(self, choice: AlgorithmChoice) -> tuple[str, ...]:
        """What a study of more than one architecture trains."""
        if self.rules[choice.name].network == "shallow" and self.shallow:
            return (self.shallow[0],)
        return tuple(self._classes())[: choice.proxies]

    def share_of_study(self, choice: AlgorithmChoice) -> _Share | None:
        """What a study of the whole sweep has in this cell; null where nothing can be trained."""
        if not self.sound or self._lacks_shallow(choice):
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
        """The architectures that are trained, each with those that it stands for, itself first."""
        classes: dict[str, list[str]] = {}
        for architecture, trained in self.represented.items():
            classes.setdefault(trained, []).append(architecture)
        return {trained: tuple(equal) for trained, equal in classes.items()}

    def _lacks_shallow(self, choice: AlgorithmChoice) -> bool:
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
        """The trials of one proposal."""
        rule = self.rules[choice.name]
        changes: dict[str, object] = {"purpose": "tuning", "study": key, "number": number}
        if rule.epochs is not None:
            changes["epochs"] = rule.epochs
        if rule.hyperparameters:
            changes["hyperparameters"] = {**choice.hyperparameters, **rule.hyperparameters}
        if rule.network == "shallow" and self.shallow and choice.tuning_scope != "architecture":
            changes["search_space_options"] = {**self.space.options, **self.shallow[1]}
        seeds = [TUNING_SEED + number] if rule.seeds is None else [TUNING_SEED + seed for seed in range(rule.seeds)]
        return tuple(self.trial(choice, architecture, seed, **changes) for architecture in tried for seed in seeds)

    def _key(self, choice: AlgorithmChoice, tried: tuple[str, ...]) -> str:
        probe = self.trial(choice, tried[0], 0).model_dump(
            exclude={"search_space_label", "algorithm_label", "seed", "architecture", "diagnostics", "representative"}
        )
        sampler = {} if choice.sampler == "tpe" else {"sampler": choice.sampler}  # keys of before there was a choice stay as they are
        asked = {"tried": tried, "trials": choice.tuning_trials, "scope": choice.tuning_scope, "pruner": choice.pruner}
        rule = self.rules[choice.name].model_dump(exclude_defaults=True)
        return digest({**probe, **asked, **sampler, **({"rule": rule} if rule else {})})


class _Share(NamedTuple):
    """A cell's part of a study of the whole sweep: a key of its own, the trials of a proposal, and its final trials, by the study's key."""

    key: str
    round: Callable[[str, int], tuple[Trial, ...]]
    final: Callable[[str], tuple[Trial, ...]]


def _shared_study(choice: AlgorithmChoice, cells: Sequence[_Cell]) -> Study:
    """The study of an algorithm over all search spaces, data sets and profiles: each proposal is tried in all of them."""
    shares = [share for cell in cells if (share := cell.share_of_study(choice)) is not None]
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
    """What of an entry makes its trials what they are, the study apart."""
    return choice.name, choice.hyperparameters, choice.loss
