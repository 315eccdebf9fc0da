"""A sweep from a TOML or JSON file; one line says what is wrong with it."""

from __future__ import annotations

import difflib
import json
import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from agd_bench.errors import InputError, SweepError
from agd_bench.records.sweep import (
    AdaptiveSeeds,
    AlgorithmChoice,
    DatasetChoice,
    IndexRange,
    PluginFolders,
    Sampling,
    SearchSpaceChoice,
    Sweep,
)

RECORDS = (Sweep, SearchSpaceChoice, Sampling, IndexRange, DatasetChoice, AlgorithmChoice, AdaptiveSeeds, PluginFolders)


def _explain(error: ValidationError) -> str:
    """The first faults of a sweep in one line, with the nearest key for a misspelt one."""
    # keys of all records, as a key may be right but in the wrong table
    known = {key for record in RECORDS for key in record.model_fields}
    parts: dict[str, str] = {}
    for fault in error.errors(include_url=False):
        # pydantic reports every alternative of a union, under a part of the place that is neither key nor index.
        alternatives = {"bool", "int", "float", "str", "constrained-int", "literal['all']", "IndexRange", "tuple[str, ...]"}
        place = ".".join(str(part) for part in fault["loc"] if part not in alternatives)
        text = fault["msg"].removeprefix("Value error, ")
        if "options" in fault["loc"] or "hyperparameters" in fault["loc"] or "untuned" in fault["loc"]:
            # pydantic's own text names one member of the union Scalar
            text = "expected a finite number, a string or a truth value"
        elif place.endswith(".architectures"):
            text = 'expected a number of architectures, "all", { first = 0, count = 100 } or a list of strings'
        elif fault["type"] == "extra_forbidden":
            near = difflib.get_close_matches(str(fault["loc"][-1]), known, n=1, cutoff=0.6)
            text = "no such key" + (f"; did you mean {near[0]!r}?" if near else "")
        elif fault["type"] == "too_short" and any(other.startswith(f"{place}.") for other in parts):
            continue  # short only because what is wrong above was left out
        # a whole table would not fit in one line
        if isinstance(fault["input"], bool | int | float | str) and fault["type"] not in ("extra_forbidden", "value_error"):
            text += f", got {fault['input']!r:.60}"
        # the alternatives of a union share one place: one fault is enough
        parts.setdefault(place, f"{place}: {text}" if place else text)
    more = len(parts) - 3
    return "; ".join(list(parts.values())[:3]) + (f"; and {more} more" if more > 0 else "")


def change(data: dict[str, Any], assignment: str) -> None:
    """Set one key of a sweep that is not validated yet, in place.

    Args:
        data: the sweep as TOML or JSON gives it.
        assignment: `KEY=VALUE`. Dots lead into tables; an entry of a list is named by its label, name or position:
            `epochs=3`, `algorithms.sgd_tuned.tuning_trials=4`. The value is TOML; a bare word is a string.

    Raises:
        SweepError: no `=`, or a path that leads nowhere.
    """
    path, sign, text = assignment.partition("=")
    *tables, key = path.strip().split(".")
    if not sign or not key:
        raise SweepError(f"--set {assignment}: expected KEY=VALUE, for example epochs=3")
    place: Any = data
    for name in tables:
        if isinstance(place, list):
            matches = [entry for number, entry in enumerate(place) if name in (entry.get("label"), entry.get("name"), str(number))]
            place = matches[0] if matches else None
        else:
            place = place.setdefault(name, {}) if isinstance(place, dict) else None
    if not isinstance(place, dict):
        raise SweepError(f"--set {assignment}: the sweep has no table {'.'.join(tables)!r}; `agd-bench show` prints a built-in sweep")
    try:
        place[key] = tomllib.loads(f"value = {text}")["value"]
    except (ValueError, RecursionError):
        # a bare word: shells strip the quotes that TOML needs
        place[key] = text.strip()


def parse_sweep(text: str, source: str, changes: Sequence[str] = ()) -> Sweep:
    """A sweep from TOML (or JSON, if the text begins with a brace).

    Args:
        text: content of the file.
        source: name of the file in messages.
        changes: `KEY=VALUE` assignments that replace what the text says, see `change`.

    Raises:
        SweepError: malformed text (with its line), unknown keys, values out of range.
    """
    is_json = text.lstrip().startswith("{")
    try:
        data = json.loads(text) if is_json else tomllib.loads(text)
    except (ValueError, RecursionError) as error:  # both parsers raise subclasses of ValueError
        raise SweepError(f"{source}: not valid {'JSON' if is_json else 'TOML'}: {' '.join(str(error).split())}") from None
    if is_json and "folders" in data:
        # Published sweeps are JSON. If data could name code, reading somebody's results would run it.
        raise SweepError(
            f"{source}: a sweep in JSON may not name plug-in folders; give them with --search-spaces, --algorithms or --datasets, "
            "or in a TOML file of your own"
        )
    for assignment in changes:
        change(data, assignment)
    try:
        return Sweep.model_validate(data)
    except ValidationError as error:
        raise SweepError(f"{source}: {_explain(error)}") from None


def read_sweep(path: Path, changes: Sequence[str] = ()) -> Sweep:
    """The sweep in the file `path`, whose folders are relative to it.

    Args:
        path: a TOML or JSON file.
        changes: as in `parse_sweep`.

    Raises:
        SweepError: as `parse_sweep`.
        InputError: the file cannot be read.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: cannot be read as a sweep file: {error}") from None
    sweep = parse_sweep(text, path.name, changes)
    return sweep.model_copy(update={"folders": sweep.folders.below(path.parent)})
