"""The sweep that several sweeps make together: every algorithm of any of them on every architecture, data set and seed of any of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

from agd_bench.errors import SweepError
from agd_bench.planning.architectures import architectures_of
from agd_bench.planning.planner import Folders
from agd_bench.records import AlgorithmChoice, DatasetChoice, SearchSpaceChoice, Sweep

SHARED = ("batch_size", "precision", "adaptive_seeds")
"""Keys that all trials of a sweep share, so that sweeps that differ in them have no union."""
Choice = TypeVar("Choice", AlgorithmChoice, DatasetChoice)


def unite_sweeps(sweeps: Sequence[Sweep], folders: Folders | None = None) -> Sweep:
    """Return the union of sweeps. Name, description and baseline are those of the first one.

    Args:
        sweeps: at least one.
        folders: further folders of plug-ins, by kind.

    Raises:
        SweepError: the sweeps have no union, because trainings of one differ from those of another in more than what a sweep varies.
    """
    united, *others = sweeps
    for other in others:
        united = _unite(united, other, folders or {})
    return united


def _unite(first: Sweep, second: Sweep, folders: Folders) -> Sweep:
    # With a budget of its own, a data set does not use the sweep's.
    shared = SHARED if all(choice.epochs for choice in (*first.datasets, *second.datasets)) else ("epochs", *SHARED)
    for key in shared:
        ours, theirs = getattr(first, key), getattr(second, key)
        if ours != theirs:
            raise SweepError(
                f"{first.name} and {second.name} have no union: {key} is {_shown(ours)} and {_shown(theirs)}, but all trials of a sweep "
                "share it; merge only runs that agree in it"
            )
    spaces = {choice.label: choice for choice in first.search_spaces}
    for choice in second.search_spaces:
        spaces[choice.label] = _unite_spaces(spaces[choice.label], choice, folders) if choice.label in spaces else choice
    changes = {
        "epochs": max(first.epochs, second.epochs),
        "search_spaces": tuple(spaces.values()),
        "datasets": _both("data set", "label", first.datasets, second.datasets),
        "algorithms": _both("algorithm", "label", first.algorithms, second.algorithms),
        "seeds": tuple(dict.fromkeys((*first.seeds, *second.seeds))),
        "profiles": tuple(dict.fromkeys((*first.profiles, *second.profiles))),
        # rows of a sweep that recorded less cannot get the rest afterwards
        "diagnostics": tuple(name for name in first.diagnostics if name in second.diagnostics),
    }
    return first.model_copy(update=changes)


def _both(kind: str, key: str, ours: tuple[Choice, ...], theirs: tuple[Choice, ...]) -> tuple[Choice, ...]:
    """Return the choices of both sweeps.

    Raises:
        SweepError: one name is used for two different choices.
    """
    united = {getattr(choice, key): choice for choice in ours}
    for choice in theirs:
        own = united.setdefault(getattr(choice, key), choice)
        differing = [name for name, value in choice if value != getattr(own, name)]
        if differing:
            values = f"{_shown(getattr(own, differing[0]))} and {_shown(getattr(choice, differing[0]))}"
            hint = "; give one of them another label in its sweep, and run it --from its rows" if key == "label" else ""
            raise SweepError(f"{kind} {getattr(choice, key)!r} differs between the sweeps: {differing[0]} is {values}{hint}")
    return tuple(united.values())


def _unite_spaces(ours: SearchSpaceChoice, theirs: SearchSpaceChoice, folders: Folders) -> SearchSpaceChoice:
    """Return the choice of the architectures of both: the larger one if it contains the other, otherwise a list."""
    if ours == theirs:
        return ours
    for key in ("name", "options", "representatives"):
        mine, other = getattr(ours, key), getattr(theirs, key)
        if mine != other:
            raise SweepError(f"search space {ours.label!r} differs between the sweeps: {key} is {_shown(mine)} and {_shown(other)}")
    first, second = (architectures_of(choice, folders.get("search_spaces", ())) for choice in (ours, theirs))
    if set(second) <= set(first):
        return ours
    if set(first) <= set(second):
        return theirs
    listed = tuple(dict.fromkeys((*first, *second)))
    return ours.model_copy(update={"architectures": listed, "sampling": None, "order": "given"})


def _shown(value: object) -> str:
    return f"{value!s:.80}"
