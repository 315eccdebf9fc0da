"""From a sweep to the plan of all its trials: deterministic, and blind to results.

Architectures are drawn by a generator that is seeded by the search space's name, one after the other without
repetition: the same on every machine, and the first 12 of a draw of 32 are the draw of 12.
"""

from __future__ import annotations

import hashlib
import inspect
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import ModuleType

import numpy as np

from agd_bench import plugins
from agd_bench.errors import SweepError, UnknownNameError
from agd_bench.records import TUNING_SEED, AlgorithmChoice, DatasetChoice, Plan, Profile, SearchSpaceChoice, Study, Sweep, Trial, digest

Folders = Mapping[plugins.Kind, Sequence[Path]]


def draw_architectures(module: ModuleType, name: str, count: int) -> tuple[str, ...]:
    """`count` different architectures, drawn one after the other.

    Args:
        module: the search space's plug-in.
        name: seeds the draw.
        count: how many.

    Raises:
        SweepError: the space does not have so many (or 1,000 draws in a row gave nothing new).
    """
    rng = np.random.default_rng(int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "big"))
    drawn: dict[str, None] = {}
    repeated = 0
    while len(drawn) < count and repeated < 1000:
        architecture = module.sample(rng)
        repeated = repeated + 1 if architecture in drawn else 0
        drawn[architecture] = None
    if len(drawn) < count:
        raise SweepError(f"search space {name!r}: {count} architectures asked for, only {len(drawn)} different ones found; ask for fewer")
    return tuple(drawn)


def choose_architectures(module: ModuleType, choice: SearchSpaceChoice) -> tuple[str, ...]:
    """The architectures that a sweep takes from a search space.

    Raises:
        SweepError: `"all"` of a space that cannot be enumerated, an architecture that is none of the space's, repeats.
    """
    if isinstance(choice.architectures, int):
        return draw_architectures(module, choice.name, choice.architectures)
    if choice.architectures == "all":
        if not hasattr(module, "architectures"):
            raise SweepError(f"search space {choice.name!r} cannot be enumerated; give a number of architectures or a list of them")
        return tuple(module.architectures())
    listed = choice.architectures
    if not listed or len(set(listed)) != len(listed):
        raise SweepError(f"search space {choice.label!r}: the list of architectures must name at least one, and none twice")
    for architecture in listed:
        _defect(module, choice.name, architecture)
    return tuple(listed)


def _defect(module: ModuleType, space: str, architecture: str) -> str:
    """Why an architecture cannot be trained, or an empty string."""
    try:
        return str(module.defect(architecture)) if hasattr(module, "defect") else ""
    except ValueError as error:
        raise SweepError(f"search space {space!r}: {error}") from None


def _check_options(module: ModuleType, choice: SearchSpaceChoice) -> None:
    known = getattr(module, "OPTIONS", {})
    for name in choice.options:
        if name not in known:
            raise UnknownNameError(f"option of search space {choice.name!r}:", name, known)


def _check_algorithm(module: ModuleType, choice: AlgorithmChoice) -> None:
    parameters = list(inspect.signature(module.build).parameters.values())
    takes_any = any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters)
    known = [parameter.name for parameter in parameters[2:] if parameter.kind is not parameter.VAR_KEYWORD]
    for name in choice.hyperparameters:
        if name not in known and not takes_any:
            raise UnknownNameError(f"hyperparameter of algorithm {choice.name!r}:", name, known)
    fixed = sorted(set(choice.hyperparameters) & set(module.RANGES))
    if fixed:
        raise SweepError(f"algorithm {choice.label!r}: {', '.join(fixed)} is tuned by its RANGES and cannot be fixed as well")
    if module.RANGES and not choice.tuning_trials:
        raise SweepError(f"algorithm {choice.label!r} is externally tuned: give tuning_trials, at least 1")
    if choice.tuning_trials and not module.RANGES:
        raise SweepError(f"algorithm {choice.label!r} is self-tuning: it has nothing to tune, so tuning_trials must be 0")
    if choice.pruner != "none" and choice.tuning_scope == "search-space":
        raise SweepError(
            f'algorithm {choice.label!r}: the median pruner compares trainings of one architecture; use pruner = "none" with this scope'
        )


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
        folders: further plug-ins' folders by kind.

    Raises:
        InputError: unknown names, plug-ins that do not load, settings that do not fit together.
    """
    sources = _locate_all(sweep, folders or {})
    modules = {key: plugins.load_source(source) for key, source in sources.items()}
    for algorithm in sweep.algorithms:
        _check_algorithm(modules[f"algorithms/{algorithm.name}"], algorithm)
    trials: list[Trial] = []
    studies: list[Study] = []
    for space in sweep.search_spaces:
        module = modules[f"search_spaces/{space.name}"]
        _check_options(module, space)
        architectures = choose_architectures(module, space)
        sound = [architecture for architecture in architectures if not _defect(module, space.name, architecture)]
        for dataset in sweep.datasets:
            for profile in sweep.profiles:
                cell = _Cell(sweep, space, dataset, profile, architectures, tuple(sound))
                trials += cell.self_tuning()
                studies += [study for choice in sweep.algorithms if choice.tuning_trials for study in cell.studies(choice)]
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


class _Cell:
    """The trials of one comparison: one search space, data set and profile, all algorithms."""

    def __init__(
        self,
        sweep: Sweep,
        space: SearchSpaceChoice,
        dataset: DatasetChoice,
        profile: Profile,
        architectures: tuple[str, ...],
        sound: tuple[str, ...],
    ) -> None:
        self.sweep, self.space, self.dataset, self.profile = sweep, space, dataset, profile
        self.architectures, self.sound = architectures, sound

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
                "hyperparameters": choice.hyperparameters,
                "loss": choice.loss,
                "profile": self.profile,
                "precision": self.sweep.precision,
                "epochs": self.sweep.epochs,
                "batch_size": self.sweep.batch_size,
                "seed": seed,
                **more,
            }
        )

    def self_tuning(self) -> list[Trial]:
        """Final trials without a study: of self-tuning algorithms, and of every algorithm on an architecture with a defect."""
        return [
            self.trial(choice, architecture, seed)
            for seed in self.sweep.seeds
            for architecture in self.architectures
            for choice in self.sweep.algorithms
            if not choice.tuning_trials or architecture not in self.sound
        ]

    def studies(self, choice: AlgorithmChoice) -> list[Study]:
        """One study per architecture, or one for the search space, as the choice's scope says."""
        if choice.tuning_scope == "architecture":
            return [self._study(choice, (architecture,), (architecture,)) for architecture in self.sound]
        return [self._study(choice, self.sound[: choice.proxies], self.sound)] if self.sound else []

    def _study(self, choice: AlgorithmChoice, tried: tuple[str, ...], trained: tuple[str, ...]) -> Study:
        probe = self.trial(choice, tried[0], 0).model_dump(exclude={"search_space_label", "algorithm_label", "seed", "architecture"})
        key = digest({**probe, "tried": tried, "trials": choice.tuning_trials, "scope": choice.tuning_scope, "pruner": choice.pruner})
        rounds = tuple(
            tuple(
                self.trial(choice, architecture, TUNING_SEED + number, purpose="tuning", study=key, number=number) for architecture in tried
            )
            for number in range(choice.tuning_trials)
        )
        final = tuple(self.trial(choice, architecture, seed, study=key) for seed in self.sweep.seeds for architecture in trained)
        return Study(key=key, algorithm=choice.name, algorithm_label=choice.label, pruner=choice.pruner, rounds=rounds, final=final)
