"""Define and run checks, with the ones that all kinds of plug-ins share."""

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
    """Result of a check.

    Attributes:
        name: the requirement.
        passed: whether the plug-in meets it.
        message: if it failed, what is wrong and how to fix it; otherwise empty or a remark.
        explanation: what is tested, and why it matters.
        noted: whether `message` is a warning: the check passed, but with a consequence that the author should know.
    """

    name: str
    passed: bool
    message: str = ""
    explanation: str = ""
    noted: bool = False


class Note(str):
    """A warning from a check that passed."""

    __slots__ = ()


class Fault(Exception):  # noqa: N818 - an outcome of a check, not an error of the program
    """A check failed. The message says what is wrong and how to fix it."""


def demand(holds: bool, message: str) -> None:
    """Fail the check with a message unless a condition holds."""
    if not holds:
        raise Fault(message)


def run(checks: Mapping[str, Callable[[], str | None]]) -> list[Check]:
    """Run all checks, also after one fails. A check returns a remark or None, or raises; its docstring is its explanation."""
    done = []
    for name, check in checks.items():
        explanation = " ".join((inspect.getdoc(getattr(check, "func", check)) or "").split())
        # Keeps the caller's random state; no devices, because checks run on the CPU.
        with torch.random.fork_rng(devices=[]):
            # Each check draws the same numbers, whatever ran before it.
            torch.manual_seed(0)
            try:
                remark = check() or ""
                done.append(Check(name, True, remark, explanation, noted=isinstance(remark, Note)))
            except (Fault, AgdBenchError) as fault:
                done.append(Check(name, False, str(fault), explanation))
            # A plug-in may raise anything; the remaining checks still run.
            except Exception as error:
                frame = traceback.extract_tb(error.__traceback__)[-1]
                where = f"{Path(frame.filename).name}:{frame.lineno}"
                raised = f"raises {type(error).__name__}: {' '.join(str(error).split())} ({where})"
                done.append(Check(name, False, raised, explanation))
    return done


def cites(module: ModuleType) -> None:
    demand(
        re.search(r"\b(19|20)\d\d\b", module.__doc__ or "") is not None,
        "the module docstring cites no source; add a References section with authors, title, venue and year",
    )


def misspelt(kind: str, module: ModuleType) -> Note | None:
    """An upper-case constant whose name resembles that of a fact is probably misspelt, and would have no effect."""
    found = near_misses(kind, module)
    return Note("; ".join(f"{name} is not a fact; did you mean {fact}?" for name, fact in found.items())) if found else None


def keywords(function: Callable[..., Any], first: tuple[str, ...]) -> dict[str, inspect.Parameter]:
    """Return the parameters of `function` after its positional ones, which must be named as in `first`."""
    parameters = dict(inspect.signature(function).parameters)
    given = tuple(parameters)[: len(first)]
    demand(given == first, f"{function.__name__}({', '.join(parameters)}) must begin with ({', '.join(first)})")
    rest = {name: parameter for name, parameter in parameters.items() if name not in first}
    loose = [name for name, parameter in rest.items() if parameter.kind in (parameter.VAR_KEYWORD, parameter.VAR_POSITIONAL)]
    demand(not loose, f"{function.__name__} takes *{' and *'.join(loose)}; name each option, so that misspelt ones raise an error")
    return rest


def equal(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)
