"""Validate the facts of plug-ins: their upper-case constants.

Values are never coerced: an unknown key, text instead of a number, or `"false"` instead of False is an error.
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
    """Type and range of a fact.

    Attributes:
        holds: returns whether a value is allowed.
        allowed: the allowed values, in words.
    """

    holds: Callable[[Any], bool]
    allowed: str


def is_scalar(value: object) -> bool:
    """Return whether a value can be an option or a hyperparameter: a finite number, text, True or False."""
    return isinstance(value, bool | int | float | str) and (not isinstance(value, float) or math.isfinite(value))


def is_number(value: object) -> bool:
    """Return whether a value is a finite number. Booleans are not numbers."""
    return isinstance(value, numbers.Real) and not isinstance(value, bool) and math.isfinite(value)


def _whole(least: int) -> Callable[[Any], bool]:
    # Exact type: True is an int too.
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
_COUNT = Fact(_whole(1), "an integer of at least 1")
_FROM_ZERO = Fact(_whole(0), "an integer of at least 0")
_FLAG = Fact(lambda value: isinstance(value, bool), "True or False")
_SCALARS = Fact(_scalars, "a dict from names to numbers, strings, True or False")
_NUMBERS = Fact(_channels, "a tuple of numbers, one per channel")

FACTS: dict[str, dict[str, Fact]] = {
    "search_spaces": {
        **dict.fromkeys(("VARIES", "PAPER", "IDENTITY", "SHALLOW"), _TEXT),
        **dict.fromkeys(("SIZE", "NETWORKS"), _COUNT),
        **dict.fromkeys(("OPTIONS", "SMALL", "SHALLOW_OPTIONS"), _SCALARS),
        "CELL_OFFSET": _FROM_ZERO,
        "RULES": Fact(_texts, "a tuple of strings"),
        "EQUAL_TRAINING": Fact(_equal_training, 'a dict with the keys "profile" and "options"'),
    },
    "algorithms": {
        **dict.fromkeys(("PAPER", "SOURCE", "LICENCE", "EXTRA"), _TEXT),
        **dict.fromkeys(("LOSSES", "PACKAGES"), Fact(_texts, 'a tuple of strings, such as ("one",)')),
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
    "searchers": {
        **dict.fromkeys(("PAPER", "EXTRA"), _TEXT),
        "PACKAGES": Fact(_texts, 'a tuple of strings, such as ("one",)'),
        "SETTINGS": _SCALARS,
    },
}
"""Facts by kind of plug-in. `fault_of_ranges` checks RANGES and CALIBRATION, and `planning` checks STUDY."""


def fault_in(kind: str, module: ModuleType) -> str:
    """Return what is wrong with the first invalid fact of a plug-in, or an empty string."""
    for name, fact in FACTS[kind].items():
        value = getattr(module, name, None)
        # A misread fact would train under a setting that its author did not write.
        if value is not None and not fact.holds(value):
            return f"{name} is {value!r}; it must be {fact.allowed}, or be left out"
    if kind == "search_spaces" and (fault := _fault_of_options(module)):
        return fault
    for name in ("RANGES", "CALIBRATION") if kind == "algorithms" else ():
        fault = fault_of_ranges(getattr(module, name, {}))
        if fault:
            return f"{name}{fault}"
    return ""


def _fault_of_options(module: ModuleType) -> str:
    """Return what is wrong with the facts that set some of the OPTIONS, or an empty string."""
    known = getattr(module, "OPTIONS", {})
    given = {name: getattr(module, name, {}) for name in ("SMALL", "SHALLOW_OPTIONS")}
    given["EQUAL_TRAINING"] = getattr(module, "EQUAL_TRAINING", {"options": {}})["options"]
    for name, options in given.items():
        for option, value in options.items():
            if option not in known:
                near = nearest_name(option, known)
                return f"{name} sets the unknown option {option!r}{near}; OPTIONS has {', '.join(known) or 'none'}"
            if not fits_default(value, known[option]):
                return f"{name} sets {option!r} to {value!r}; give a value like its default {known[option]!r}"
    return ""


def fits_default(value: object, default: object) -> bool:
    """Return whether a setting has the type of its default. An int is a valid float; a bool is not a valid number."""
    kinds = {bool: (bool,), int: (int,), float: (int, float), str: (str,)}
    wanted = kinds.get(type(default))
    # To Python a bool is an int.
    return not wanted or (isinstance(value, wanted) and isinstance(value, bool) is isinstance(default, bool))


def near_misses(kind: str, module: ModuleType) -> dict[str, str]:
    """Return upper-case constants of a plug-in that resemble the name of a fact, each with that fact."""
    known = {*FACTS[kind], *(("RANGES", "CALIBRATION", "STUDY") if kind == "algorithms" else ())}
    unknown = [name for name in vars(module) if name.isupper() and name not in known]
    # A high cutoff: a plug-in may have constants of its own that are merely similar to a fact.
    found = {name: difflib.get_close_matches(name, known - vars(module).keys(), n=1, cutoff=0.85) for name in unknown}
    return {name: near[0] for name, near in found.items() if near}


def fault_of_ranges(ranges: object) -> str:
    """Return what is wrong with RANGES or CALIBRATION, as text to append to that name, or an empty string.

    Args:
        ranges: per hyperparameter `{"low", "high", "log"}` or `{"choices"}`.
    """
    if not isinstance(ranges, Mapping):
        return f" is {ranges!r}; it must be a dict from hyperparameters to ranges, empty if the algorithm is not tuned"
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
        return f"unknown key {unknown[0]!r}{nearest_name(unknown[0], known)}; the keys are low, high and log, or only choices"
    if "choices" in item:
        values = item["choices"]
        plain = isinstance(values, list | tuple) and bool(values) and all(map(is_scalar, values))
        # With their types, because 1, 1.0 and True are equal.
        distinct = plain and len({(type(value), value) for value in values}) == len(values)
        return "" if distinct else "choices must be a list of distinct numbers, strings, True or False"
    missing = [key for key in ("low", "high") if key not in item]
    if missing:
        return f"missing {' and '.join(missing)}; give both ends of the range"
    low, high, log = item["low"], item["high"], item.get("log", False)
    if not (is_number(low) and is_number(high) and low < high):
        return "low and high must be finite numbers with low < high"
    if not isinstance(log, bool):
        return f"log is {log!r}; give True or False"
    return "a logarithmic range needs low > 0" if log and low <= 0 else ""


def nearest_name(given: object, known: Iterable[str]) -> str:
    """Return `, did you mean 'NAME'?` for the known name that resembles a given one, or an empty string."""
    near = difflib.get_close_matches(str(given).lower(), known, n=1)
    return f", did you mean {near[0]!r}?" if near else ""
