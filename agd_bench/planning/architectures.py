"""Which architectures a sweep takes from a search space, and which of them stand for others.

All, a list, a range, or a draw that is the same on every machine.

A plain number is drawn by the plug-in's `sample`, from a generator that is seeded by the search space's name, one after the other
without repetition. What a `sampling` asks for is drawn from the whole list of a finite space, in the order of SHA-256 of the space's
name and the architecture: a random order that needs no generator, so that no library's version can change it. Either way the first 12
of a draw of 32 are the draw of 12.
"""

from __future__ import annotations

import hashlib
import inspect
import itertools
from collections.abc import Mapping, Sequence
from types import ModuleType

import numpy as np

from agd_bench.errors import PluginError, SweepError, UnknownNameError
from agd_bench.records import IndexRange, Sampling, SearchSpaceChoice, Sweep

REFERENCE = (3, 10, 32)
"""Channels, classes and pixels a side of the images by which strata are sized: one sample serves all data sets of a sweep."""


def choose_architectures(module: ModuleType, choice: SearchSpaceChoice) -> tuple[str, ...]:
    """The architectures that a sweep takes from a search space.

    Args:
        module: the search space's plug-in.
        choice: what the sweep says of it.

    Raises:
        SweepError: what needs the whole list of a space that has none, more than there are, an architecture that is none of the space's,
            repeats, a sampling that the space cannot serve.
        UnknownNameError: a rule that the space does not have.
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
            raise SweepError(f"search space {choice.name!r}: it has {len(listed):,} architectures, indices 0 to {len(listed) - 1}")
        return listed[asked.first : asked.first + asked.count]
    if choice.sampling is None:
        return listed
    candidates = _unique(module, choice.name, choice.sampling.unique, listed)
    return candidates if asked == "all" else _drawn(module, choice, choice.sampling, candidates, asked)


def draw_architectures(module: ModuleType, name: str, count: int) -> tuple[str, ...]:
    """`count` different architectures, drawn one after the other by the plug-in.

    Args:
        module: the search space's plug-in.
        name: seeds the draw.
        count: how many.

    Raises:
        SweepError: the space does not have so many (or 1,000 draws in a row gave nothing new).
        PluginError: its `sample` raises, or returns no text.
    """
    rng = np.random.default_rng(int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "big"))
    drawn: dict[str, None] = {}
    repeated = 0
    while len(drawn) < count and repeated < 1000:
        architecture = _draw(module, rng)
        repeated = repeated + 1 if architecture in drawn else 0
        drawn[architecture] = None
    if len(drawn) < count:
        raise SweepError(f"search space {name!r}: {count} architectures asked for, only {len(drawn)} different ones found; ask for fewer")
    return tuple(drawn)


def _draw(module: ModuleType, rng: np.random.Generator) -> str:
    """One architecture; what goes wrong is the plug-in's, and is said in one line."""
    try:
        architecture = module.sample(rng)
    except Exception as error:
        raise PluginError(f"{module.__file__}: sample(rng) raises {type(error).__name__}: {error}; `agd-bench check` says where") from error
    if not isinstance(architecture, str):
        kind = type(architecture).__name__
        raise PluginError(f"{module.__file__}: sample(rng) returns {architecture!r} ({kind}); return the architecture's string")
    return architecture


def in_order(module: ModuleType, choice: SearchSpaceChoice, architectures: tuple[str, ...]) -> tuple[str, ...]:
    """Architectures in the order in which a sweep trains them.

    Where one of equal networks is trained, lots are drawn for networks, and equal ones stand together. If each string had a lot
    and its network came with its first one, networks of many strings would come first, and the sample would change as it grows.

    Args:
        module: the search space's plug-in.
        choice: says in which order.
        architectures: those that the sweep takes.
    """
    if choice.order == "given":
        return architectures
    network = module.canonical if choice.representatives and hasattr(module, "canonical") else str
    return tuple(sorted(architectures, key=lambda name: (_lot(choice.name, network(name)), _lot(choice.name, name))))


def represent(
    module: ModuleType, choice: SearchSpaceChoice, sweep: Sweep, algorithms: Mapping[str, ModuleType], architectures: Sequence[str]
) -> dict[str, str]:
    """By which architecture each one is represented: by the first of its equals that the sweep takes, which may be itself.

    Args:
        module: the search space's plug-in.
        choice: what the sweep says of it.
        sweep: the whole of it.
        algorithms: its training algorithms' plug-ins, by label.
        architectures: those that can be trained, in the order of the sweep.

    Raises:
        SweepError: equal networks would not train to equal results.
    """
    if not choice.representatives:
        return {architecture: architecture for architecture in architectures}
    _check_equal_training(module, choice, sweep, algorithms)
    first: dict[str, str] = {}
    return {architecture: first.setdefault(module.canonical(architecture), architecture) for architecture in architectures}


def _check_equal_training(module: ModuleType, choice: SearchSpaceChoice, sweep: Sweep, algorithms: Mapping[str, ModuleType]) -> None:
    """Equal functions are not enough: weights, what is learned, and what an algorithm reads of the architecture must be equal too."""
    where = f"search space {choice.label!r}: representatives = true"
    if not (hasattr(module, "EQUAL_TRAINING") and hasattr(module, "canonical")):
        raise SweepError(f"{where}, but {choice.name!r} does not promise that equal networks train to equal results; leave it out")
    profile, options = module.EQUAL_TRAINING["profile"], module.EQUAL_TRAINING["options"]
    if set(sweep.profiles) != {profile}:
        given = ", ".join(sweep.profiles)
        raise SweepError(f"{where} holds in the profile {profile} alone, and profiles are {given}; give that one, or leave it out")
    for option, value in options.items():
        if choice.options.get(option) != value:
            raise SweepError(f'{where} needs options = {{ {option} = "{value}" }}: else equal networks draw different weights; add it')
    if sweep.adaptive_seeds is not None:
        raise SweepError(f"{where} cannot go with adaptive seeds, which take every row for a training of its own; give a number of seeds")
    for label, algorithm in algorithms.items():
        if any("graph" in inspect.signature(function).parameters for function in (algorithm.prepare, algorithm.build)):
            raise SweepError(f"{where}, but {label!r} reads the architecture's graph, which equal networks need not share; leave one out")


def describe_defect(module: ModuleType, name: str, architecture: str) -> str:
    """Why an architecture cannot be trained, or an empty string.

    Raises:
        SweepError: it is none of the search space's.
    """
    try:
        return str(module.defect(architecture)) if hasattr(module, "defect") else ""
    except ValueError as error:
        raise SweepError(f"search space {name!r}: {error}") from None


def _checked(module: ModuleType, choice: SearchSpaceChoice, listed: tuple[str, ...]) -> tuple[str, ...]:
    if not listed or len(set(listed)) != len(listed):
        raise SweepError(f"search space {choice.label!r}: the list of architectures must name at least one, and none twice")
    for architecture in listed:
        describe_defect(module, choice.name, architecture)
    return listed


def _unique(module: ModuleType, name: str, unique: bool | str, listed: Sequence[str]) -> tuple[str, ...]:
    """The architectures that are different networks by a rule of the space, each by its canonical name."""
    if not unique:
        return tuple(listed)
    if not hasattr(module, "canonical"):
        raise SweepError(f"search space {name!r} does not say which of its architectures are equal; leave `unique` out")
    rules = getattr(module, "RULES", ())
    if unique is not True and unique not in rules:
        raise UnknownNameError(f"rule of search space {name!r}:", str(unique), rules, advice="`unique = true` takes its default.")
    more = () if unique is True else (unique,)
    return tuple(dict.fromkeys(module.canonical(architecture, *more) for architecture in listed))


def _drawn(module: ModuleType, choice: SearchSpaceChoice, sampling: Sampling, candidates: Sequence[str], count: int) -> tuple[str, ...]:
    if count > len(candidates):
        raise SweepError(f"search space {choice.name!r}: {count} architectures asked for, there are {len(candidates)}; ask for fewer")
    mixed = sorted(candidates, key=lambda architecture: _lot(choice.name, architecture))
    if sampling.stratify == "none":
        return tuple(mixed[:count])
    return tuple(_in_turn(choice.name, _strata(module, choice, sampling, mixed), count))


def _lot(name: str, text: str) -> bytes:
    """A number drawn by lot, the same on every machine."""
    return hashlib.sha256(f"{name} {text}".encode()).digest()


def _strata(module: ModuleType, choice: SearchSpaceChoice, sampling: Sampling, mixed: Sequence[str]) -> list[list[str]]:
    """The architectures by size, cut into groups of equal numbers; equal sizes stay in the mixed order."""
    if not hasattr(module, "size"):
        raise SweepError(f"search space {choice.name!r} does not tell the size of its networks; give it size(), or leave `stratify` out")
    if sampling.strata > len(mixed):
        raise SweepError(f"search space {choice.name!r}: strata = {sampling.strata} of {len(mixed)} architectures; give fewer strata")
    which = ("parameters", "flops").index(sampling.stratify)
    ordered = sorted(mixed, key=lambda architecture: module.size(architecture, *REFERENCE, **choice.options)[which])
    bounds = [len(ordered) * part // sampling.strata for part in range(sampling.strata + 1)]
    groups = [ordered[low:high] for low, high in itertools.pairwise(bounds)]
    return [sorted(group, key=lambda architecture: _lot(choice.name, architecture)) for group in groups]


def _in_turn(name: str, groups: Sequence[Sequence[str]], count: int) -> list[str]:
    """`count` of the groups' members, one of each group in a turn; every turn in an order of its own."""
    drawn: list[str] = []
    turn = 0
    while len(drawn) < count:
        order = sorted(range(len(groups)), key=lambda place: _lot(name, f"turn {turn} of stratum {place}"))
        drawn += [groups[place][turn] for place in order if turn < len(groups[place])]
        turn += 1
    return drawn[:count]
