"""A sweep from a file: TOML or JSON in, one line for what is wrong with it."""

from __future__ import annotations

import difflib
import json
import tomllib
from pathlib import Path

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


def _explain(error: ValidationError) -> str:
    """One line for the first fault of a sweep, with the nearest key for a misspelt one."""
    parts = []
    for fault in error.errors(include_url=False)[:3]:
        place = ".".join(str(part) for part in fault["loc"])
        text = fault["msg"].removeprefix("Value error, ")
        if fault["type"] == "extra_forbidden":
            known = {
                key
                for record in (Sweep, SearchSpaceChoice, Sampling, IndexRange, DatasetChoice, AlgorithmChoice, AdaptiveSeeds, PluginFolders)
                for key in record.model_fields
            }
            near = difflib.get_close_matches(str(fault["loc"][-1]), known, n=1, cutoff=0.6)
            text = "no such key" + (f"; did you mean {near[0]!r}?" if near else "")
        parts.append(f"{place}: {text}" if place else text)
    more = error.error_count() - 3
    return "; ".join(parts) + (f"; and {more} more" if more > 0 else "")


def parse_sweep(text: str, source: str) -> Sweep:
    """A sweep from TOML (or JSON, where the text begins with a brace).

    Args:
        text: the file's content.
        source: what messages call the file.

    Raises:
        SweepError: malformed text (with its line), unknown keys, values out of range.
    """
    try:
        data = json.loads(text) if text.lstrip().startswith("{") else tomllib.loads(text)
    except (tomllib.TOMLDecodeError, json.JSONDecodeError) as error:
        raise SweepError(f"{source}: not valid {'JSON' if text.lstrip().startswith('{') else 'TOML'}: {error}") from None
    try:
        return Sweep.model_validate(data)
    except ValidationError as error:
        raise SweepError(f"{source}: {_explain(error)}") from None


def read_sweep(path: Path) -> Sweep:
    """The sweep in the file `path`, whose folders are relative to it.

    Raises:
        SweepError: as `parse_sweep`.
        InputError: the file cannot be read.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: cannot be read as a sweep file: {error}") from None
    sweep = parse_sweep(text, path.name)
    return sweep.model_copy(update={"folders": sweep.folders.below(path.parent)})
