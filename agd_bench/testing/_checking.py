"""A check, how a list of them is run, and what the checks of all kinds share."""

from __future__ import annotations

import inspect
import re
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any, get_args

import torch

from agd_bench.errors import AgdBenchError
from agd_bench.facts import near_misses
from agd_bench.records import Profile

PROFILES: tuple[Profile, ...] = get_args(Profile)


@dataclass(frozen=True)
class Check:
    """One thing that a plug-in must keep.

    Attributes:
        name: what must hold.
        passed: whether it does.
        message: what is wrong and how to mend it; where it holds, empty or a remark.
        explanation: what is tried, and why it must hold.
        noted: whether it holds with a consequence that the author should know.
    """

    name: str
    passed: bool
    message: str = ""
    explanation: str = ""
    noted: bool = False


class Note(str):
    """A remark of a check that holds, with a consequence that the author should know."""

    __slots__ = ()


class Fault(Exception):  # noqa: N818 - it is the plug-in's fault, and a check's outcome
    """What is wrong and how to mend it."""


def demand(holds: bool, message: str) -> None:
    if not holds:
        raise Fault(message)


def run(checks: Mapping[str, Callable[[], str | None]]) -> list[Check]:
    """Run every check, whatever the others come to; each returns a remark or none, or raises. Its docstring is its explanation."""
    done = []
    for name, check in checks.items():
        explanation = " ".join((inspect.getdoc(getattr(check, "func", check)) or "").split())
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            try:
                remark = check() or ""
                done.append(Check(name, True, remark, explanation, noted=isinstance(remark, Note)))
            except (Fault, AgdBenchError) as fault:
                done.append(Check(name, False, str(fault), explanation))
            except Exception as error:
                frame = traceback.extract_tb(error.__traceback__)[-1]
                where = f"{Path(frame.filename).name}:{frame.lineno}"
                raised = f"raises {type(error).__name__}: {' '.join(str(error).split())} ({where})"
                done.append(Check(name, False, raised, explanation))
    return done


def cites(module: ModuleType) -> None:
    demand(
        re.search(r"\b(19|20)\d\d\b", module.__doc__ or "") is not None,
        "the module's docstring names no source; add a References section with authors, title, venue and year",
    )


def misspelt(kind: str, module: ModuleType) -> Note | None:
    """A capital that is spelt almost as a fact is not read: it would be without effect."""
    found = near_misses(kind, module)
    return Note("; ".join(f"{name} is no fact, did you mean {fact}?" for name, fact in found.items())) if found else None


def keywords(function: Callable[..., Any], first: tuple[str, ...]) -> dict[str, inspect.Parameter]:
    """The parameters of `function` after those that are given by position, which must have the names `first`."""
    parameters = dict(inspect.signature(function).parameters)
    given = tuple(parameters)[: len(first)]
    demand(given == first, f"{function.__name__}({', '.join(parameters)}) must begin with ({', '.join(first)})")
    rest = {name: parameter for name, parameter in parameters.items() if name not in first}
    loose = [name for name, parameter in rest.items() if parameter.kind in (parameter.VAR_KEYWORD, parameter.VAR_POSITIONAL)]
    demand(not loose, f"{function.__name__} takes *{' and *'.join(loose)}; name each option, so that a misspelt one is refused")
    return rest


def equal(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)
