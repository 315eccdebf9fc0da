"""The facts of plug-ins: what each capital must hold, and what is wrong with one that does not.

A fact that is misread is a result under another setting than its author wrote, so nothing is guessed: unknown keys, text for a number and
`"false"` for False are faults.
"""

from __future__ import annotations

import difflib
import math
import numbers
from collections.abc import Callable, Iterable, Mapping
from types import ModuleType
from typing import Any, NamedTuple

TIERS = ("self-tuning", "learning-rate-free", "externally tuned")


class Fact(NamedTuple):
    """What a capital must hold.

    Attributes:
        holds: whether a value is allowed.
        allowed: what is, in words.
    """

    holds: Callable[[Any], bool]
    allowed: str


def is_scalar(value: object) -> bool:
    """Whether a value is a number, text, True or False, as options and hyperparameters are."""
    return isinstance(value, bool | int | float | str) and (not isinstance(value, float) or math.isfinite(value))


def is_number(value: object) -> bool:
    """Whether a value is a finite number; True is none."""
    return isinstance(value, numbers.Real) and not isinstance(value, bool) and math.isfinite(value)


def _whole(least: int) -> Callable[[Any], bool]:
    return lambda value: type(value) is int and value >= least


def _texts(value: Any) -> bool:
    return isinstance(value, tuple | list) and bool(value) and all(isinstance(each, str) and each for each in value)


def _scalars(value: Any) -> bool:
    return isinstance(value, dict) and all(isinstance(name, str) and is_scalar(each) for name, each in value.items())


def _equal_training(value: Any) -> bool:
    return isinstance(value, dict) and value.keys() == {"profile", "options"} and _scalars(value["options"])


def _channels(value: Any) -> bool:
    return isinstance(value, tuple | list) and bool(value) and all(map(is_number, value))


_TEXT = Fact(lambda value: isinstance(value, str) and bool(value.strip()), "text")
_COUNT = Fact(_whole(1), "a whole number from 1")
_FROM_ZERO = Fact(_whole(0), "a whole number from 0")
_FLAG = Fact(lambda value: isinstance(value, bool), "True or False")
_SCALARS = Fact(_scalars, "a dict of numbers, texts, True or False by name")
_NUMBERS = Fact(_channels, "a tuple of numbers, one for each channel")

FACTS: dict[str, dict[str, Fact]] = {
    "search_spaces": {
        **dict.fromkeys(("VARIES", "PAPER", "IDENTITY", "SHALLOW"), _TEXT),
        **dict.fromkeys(("SIZE", "NETWORKS"), _COUNT),
        **dict.fromkeys(("OPTIONS", "SMALL", "SHALLOW_OPTIONS"), _SCALARS),
        "CELL_OFFSET": _FROM_ZERO,
        "RULES": Fact(_texts, "a tuple of names"),
        "EQUAL_TRAINING": Fact(_equal_training, 'a dict of "profile" and "options"'),
    },
    "algorithms": {
        **dict.fromkeys(("PAPER", "SOURCE", "LICENCE", "EXTRA"), _TEXT),
        **dict.fromkeys(("LOSSES", "PACKAGES"), Fact(_texts, 'a tuple of names, such as ("one",)')),
        "TIER": Fact(lambda value: value in TIERS, f"one of {', '.join(TIERS)}"),
        "GUARANTEE": _FLAG,
    },
    "datasets": {
        **dict.fromkeys(("IN_CHANNELS", "NUM_CLASSES", "IMAGE_SIZE"), _COUNT),
        **dict.fromkeys(("CROP_PADDING", "CUTOUT"), _FROM_ZERO),
        **dict.fromkeys(("MEAN", "STD"), _NUMBERS),
        **dict.fromkeys(("PAPER", "SOURCE", "LICENCE"), _TEXT),
        "FLIP": _FLAG,
    },
}
"""The facts by kind of plug-in, but for RANGES and CALIBRATION, which are `fault_of_ranges`', and STUDY, which planning reads."""


def fault_in(kind: str, module: ModuleType) -> str:
    """The first fact of a plug-in that does not hold what it must; empty if all do.

    Args:
        kind: of the plug-in.
        module: the plug-in.
    """
    for name, fact in FACTS[kind].items():
        value = getattr(module, name, None)
        if value is not None and not fact.holds(value):
            return f"{name} is {value!r}; state {fact.allowed}, or leave it out"
    for name in ("RANGES", "CALIBRATION") if kind == "algorithms" else ():
        fault = fault_of_ranges(getattr(module, name, {}))
        if fault:
            return f"{name}{fault}"
    return ""


def near_misses(kind: str, module: ModuleType) -> dict[str, str]:
    """Capitals of a plug-in that are no fact but are nearly called as one, each with that fact."""
    known = {*FACTS[kind], *(("RANGES", "CALIBRATION", "STUDY") if kind == "algorithms" else ())}
    unknown = [name for name in vars(module) if name.isupper() and name not in known]
    found = {name: difflib.get_close_matches(name, known - vars(module).keys(), n=1, cutoff=0.85) for name in unknown}
    return {name: near[0] for name, near in found.items() if near}


def fault_of_ranges(ranges: object) -> str:
    """What is wrong with RANGES or CALIBRATION, to follow the fact's name; empty if nothing.

    Args:
        ranges: by hyperparameter `{"low", "high", "log"}` or `{"choices"}`.
    """
    if not isinstance(ranges, Mapping):
        return f" is {ranges!r}; give a dict of ranges by hyperparameter, empty for an algorithm that is not tuned"
    for name, item in ranges.items():
        fault = _fault_of_range(item)
        if fault:
            return f"[{name!r}] = {item!r}: {fault}"
    return ""


def _fault_of_range(item: Any) -> str:
    if not isinstance(item, Mapping):
        return 'give {"low": a, "high": b, "log": True or False} or {"choices": [...]}'
    known = ("choices",) if "choices" in item else ("low", "high", "log")
    unknown = [key for key in item if key not in known]
    if unknown:
        return f"unknown key {unknown[0]!r}{_guess(unknown[0], known)}; keys are low, high and log, or choices alone"
    if "choices" in item:
        values = item["choices"]
        plain = isinstance(values, list | tuple) and bool(values) and all(map(is_scalar, values))
        distinct = plain and len({(type(value), value) for value in values}) == len(values)
        return "" if distinct else "choices are a list of different numbers, texts, True or False"
    missing = [key for key in ("low", "high") if key not in item]
    if missing:
        return f"{' and '.join(missing)} is missing; give both ends of the range"
    low, high, log = item["low"], item["high"], item.get("log", False)
    if not (is_number(low) and is_number(high) and low < high):
        return "low and high must be finite numbers, and low the smaller one"
    if not isinstance(log, bool):
        return f"log is {log!r}; give True or False"
    return "a logarithmic range must lie above 0" if log and low <= 0 else ""


def _guess(given: object, known: Iterable[str]) -> str:
    near = difflib.get_close_matches(str(given).lower(), known, n=1)
    return f", did you mean {near[0]!r}?" if near else ""
