"""Choose the architectures of a sweep from a search space, and the representatives of equal ones.

A sweep takes all architectures, a list, a range, or a random sample that is the same on every machine. A plain number is drawn by the
plug-in's `sample`; a `sampling` draws from the list of a finite space. In both cases samples are nested.
"""

from __future__ import annotations

import hashlib
import inspect
import itertools
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import ModuleType

import numpy as np

from agd_bench import plugins
from agd_bench.errors import PluginError, SweepError, UnknownNameError
from agd_bench.records import IndexRange, Sampling, SearchSpaceChoice, Sweep

REFERENCE = (3, 10, 32)
"""Channels, classes and side length of the images for which sizes are computed. All data sets of a sweep share one sample."""


def choose_architectures(module: ModuleType, choice: SearchSpaceChoice) -> tuple[str, ...]:
    """Return the architectures that a sweep takes from a search space.

    Args:
        module: the search space's plug-in.
        choice: its entry in the sweep.

    Raises:
        SweepError: the space cannot be listed or has too few architectures, an architecture is invalid or repeated, or the space does not
            support the sampling.
        UnknownNameError: the space does not have the rule of equality.
    """
    asked = choice.architectures
    if isinstance(asked, int) and choice.sampling is None:
        return draw_architectures(module, choice.name, asked)
    if isinstance(asked, tuple):
        return _checked(module, choice, asked)
    if not hasattr(module, "architectures"):
        raise SweepError(f"search space {choice.name!r} cannot be enumerated; give a number of architectures or a list of them")
    listed = tuple(module.architectures())
    if isinstance(asked, IndexRange):
        if asked.first + asked.count > len(listed):
            raise SweepError(f"search space {choice.name!r} has {len(listed):,} architectures; give indices from 0 to {len(listed) - 1}")
        return listed[asked.first : asked.first + asked.count]
    if choice.sampling is None:
        return listed
    candidates = _unique(module, choice.name, choice.sampling.unique, listed)
    return candidates if asked == "all" else _drawn(module, choice, choice.sampling, candidates, asked)


def architectures_of(choice: SearchSpaceChoice, folders: Sequence[Path] = ()) -> tuple[str, ...]:
    """Return the architectures that a sweep takes from a search space, in the order in which it trains them.

    Args:
        choice: the search space's entry in the sweep.
        folders: further folders of search spaces.

    Raises:
        InputError: as `choose_architectures`, or the search space cannot be loaded.
    """
    module = plugins.load("search_spaces", choice.name, tuple(folders))
    return in_order(module, choice, choose_architectures(module, choice))


def draw_architectures(module: ModuleType, name: str, count: int) -> tuple[str, ...]:
    """Draw distinct architectures with the plug-in's `sample`.

    Args:
        module: the search space's plug-in.
        name: of the search space, which seeds the draw.
        count: number of architectures.

    Raises:
        SweepError: 1,000 draws in a row gave no new architecture; the space is probably smaller than `count`.
        PluginError: `sample` raises, or does not return a string.
    """
    # Not seeded by `count`, so that samples are nested: the first 12 of 32 are the sample of 12.
    rng = np.random.default_rng(int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "big"))
    drawn: dict[str, None] = {}
    repeated = 0
    while len(drawn) < count and repeated < 1000:
        architecture = _draw(module, rng)
        repeated = repeated + 1 if architecture in drawn else 0
        drawn[architecture] = None
    if len(drawn) < count:
        raise SweepError(
            f"search space {name!r}: architectures = {count}, but only {len(drawn)} distinct ones were found; give a smaller number"
        )
    return tuple(drawn)


def _draw(module: ModuleType, rng: np.random.Generator) -> str:
    """Draw one architecture, and report errors of the plug-in as `PluginError`."""
    try:
        architecture = module.sample(rng)
    except Exception as error:
        raise PluginError(f"{module.__file__}: sample(rng) raises {type(error).__name__}: {error}; run `agd-bench check` on it") from error
    if not isinstance(architecture, str):
        kind = type(architecture).__name__
        raise PluginError(f"{module.__file__}: sample(rng) returns {architecture!r} ({kind}); return the architecture's string")
    return architecture


def in_order(module: ModuleType, choice: SearchSpaceChoice, architectures: tuple[str, ...]) -> tuple[str, ...]:
    """Return the architectures in the order in which a sweep trains them.

    Args:
        module: the search space's plug-in.
        choice: its `order` is `given` or random.
        architectures: of the sweep.
    """
    if choice.order == "given":
        return architectures
    # Random ranks belong to networks, not strings: otherwise networks with many equal strings would tend to come first
    network = module.canonical if choice.representatives and hasattr(module, "canonical") else str
    return tuple(sorted(architectures, key=lambda name: (_lot(choice.name, network(name)), _lot(choice.name, name))))


def represent(
    module: ModuleType, choice: SearchSpaceChoice, sweep: Sweep, algorithms: Mapping[str, ModuleType], architectures: Sequence[str]
) -> dict[str, str]:
    """Map each architecture to its representative: the first equal one in the sweep, possibly itself.

    Args:
        module: the search space's plug-in.
        choice: its entry in the sweep.
        sweep: the sweep.
        algorithms: plug-ins of its algorithms, by label.
        architectures: those without a defect, in the order of the sweep.

    Raises:
        SweepError: equal networks would not train to equal results.
    """
    if not choice.representatives:
        return {architecture: architecture for architecture in architectures}
    _check_equal_training(module, choice, sweep, algorithms)
    first: dict[str, str] = {}
    return {architecture: first.setdefault(module.canonical(architecture), architecture) for architecture in architectures}


def _check_equal_training(module: ModuleType, choice: SearchSpaceChoice, sweep: Sweep, algorithms: Mapping[str, ModuleType]) -> None:
    """Check that equal networks train to equal results: same initial weights, parameters, and input of the algorithm."""
    where = f"search space {choice.label!r}: representatives = true"
    if not (hasattr(module, "EQUAL_TRAINING") and hasattr(module, "canonical")):
        raise SweepError(f"{where}, but {choice.name!r} does not guarantee that equal networks train to equal results; leave it out")
    profile, options = module.EQUAL_TRAINING["profile"], module.EQUAL_TRAINING["options"]
    if set(sweep.profiles) != {profile}:
        given = ", ".join(sweep.profiles)
        raise SweepError(f"{where} requires profiles = [{profile!r}], not {given}; change the profiles, or leave it out")
    for option, value in options.items():
        if choice.options.get(option) != value:
            raise SweepError(f'{where} requires options = {{ {option} = "{value}" }}, so that equal networks draw equal weights; add it')
    if sweep.adaptive_seeds is not None:
        raise SweepError(
            f"{where} cannot be combined with adaptive seeds, which treat every row as a separate training; give a number of seeds"
        )
    for label, algorithm in algorithms.items():
        if any("graph" in inspect.signature(function).parameters for function in (algorithm.prepare, algorithm.build)):
            raise SweepError(
                f"{where}, but {label!r} uses the architecture's graph, which can differ between equal networks; remove one of them"
            )


def describe_defect(module: ModuleType, name: str, architecture: str) -> str:
    """Return why an architecture cannot be trained, or an empty string.

    Raises:
        SweepError: the architecture is invalid.
    """
    try:
        return str(module.defect(architecture)) if hasattr(module, "defect") else ""
    except ValueError as error:
        raise SweepError(f"search space {name!r}: {error}") from None


def _checked(module: ModuleType, choice: SearchSpaceChoice, listed: tuple[str, ...]) -> tuple[str, ...]:
    if not listed or len(set(listed)) != len(listed):
        raise SweepError(f"search space {choice.label!r}: the list of architectures must not be empty or contain duplicates")
    for architecture in listed:
        # For its error: an invalid string is noticed before anything is trained.
        describe_defect(module, choice.name, architecture)
    return listed


def _unique(module: ModuleType, name: str, unique: bool | str, listed: Sequence[str]) -> tuple[str, ...]:
    """Return the canonical names of the networks that are distinct by a rule of the space."""
    if not unique:
        return tuple(listed)
    if not hasattr(module, "canonical"):
        raise SweepError(f"search space {name!r} does not define which architectures are equal; leave `unique` out")
    rules = getattr(module, "RULES", ())
    if unique is not True and unique not in rules:
        raise UnknownNameError(f"rule of search space {name!r}:", str(unique), rules, advice="`unique = true` uses the default rule.")
    more = () if unique is True else (unique,)
    return tuple(dict.fromkeys(module.canonical(architecture, *more) for architecture in listed))


def _drawn(module: ModuleType, choice: SearchSpaceChoice, sampling: Sampling, candidates: Sequence[str], count: int) -> tuple[str, ...]:
    if count > len(candidates):
        raise SweepError(f"search space {choice.name!r}: architectures = {count}, but only {len(candidates)} exist; give a smaller number")
    # A fixed order, of which samples are prefixes, and so nested.
    mixed = sorted(candidates, key=lambda architecture: _lot(choice.name, architecture))
    if sampling.stratify == "none":
        return tuple(mixed[:count])
    return tuple(_in_turn(choice.name, _strata(module, choice, sampling, mixed), count))


def _lot(name: str, text: str) -> bytes:
    """Return a pseudo-random rank, the same on every machine."""
    # A hash, as the generators of a library can change with its version.
    return hashlib.sha256(f"{name} {text}".encode()).digest()


def _strata(module: ModuleType, choice: SearchSpaceChoice, sampling: Sampling, mixed: Sequence[str]) -> list[list[str]]:
    """Split the architectures by size into groups of equal count, each in random order."""
    if not hasattr(module, "size"):
        raise SweepError(f"search space {choice.name!r} does not define size(); define it, or leave `stratify` out")
    if sampling.strata > len(mixed):
        raise SweepError(
            f"search space {choice.name!r}: strata = {sampling.strata} is more than {len(mixed)} architectures; give fewer strata"
        )
    which = ("parameters", "flops").index(sampling.stratify)
    # Stable: architectures of equal size keep their random order.
    ordered = sorted(mixed, key=lambda architecture: module.size(architecture, *REFERENCE, **choice.options)[which])
    # In integers, so that no two groups differ by more than one.
    bounds = [len(ordered) * part // sampling.strata for part in range(sampling.strata + 1)]
    groups = [ordered[low:high] for low, high in itertools.pairwise(bounds)]
    return [sorted(group, key=lambda architecture: _lot(choice.name, architecture)) for group in groups]


def _in_turn(name: str, groups: Sequence[Sequence[str]], count: int) -> list[str]:
    """Draw `count` members in turns of one per group. The order of the groups is random in every turn."""
    drawn: list[str] = []
    turn = 0
    while len(drawn) < count:
        # A fixed order would favour the small networks wherever `count` is no multiple of the groups.
        order = sorted(range(len(groups)), key=lambda place: _lot(name, f"turn {turn} of stratum {place}"))
        drawn += [groups[place][turn] for place in order if turn < len(groups[place])]
        turn += 1
    return drawn[:count]
