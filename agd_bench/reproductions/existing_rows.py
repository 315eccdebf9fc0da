"""Rows that are there already: a run or a published folder whose sweep is that of a run of an experiment stands for training it."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from agd_bench.errors import InputError
from agd_bench.planning.planner import plan
from agd_bench.records import Sweep
from agd_bench.reproductions.experiments import Reproduction
from agd_bench.store import Results, load_results
from agd_bench.store.plan_rows import EXECUTION_KEYS
from agd_bench.store.row_code import changed_code

PAGE = "page.json"
"""Of a page: its experiment, its scale and, by run, the folder with its raw rows, relative to the page's."""
UNCOMPARED = EXECUTION_KEYS | {"name"}
"""Keys of a sweep that change no result."""


class Taken(NamedTuple):
    """Rows that stand for a run: where they are, and what they say."""

    place: Path
    results: Results


def rows_at_hand(experiment: Reproduction, scale: str, places: Sequence[Path]) -> dict[str, Taken]:
    """What of an experiment need not be trained, because its rows lie in one of the places.

    Args:
        experiment: what is asked.
        scale: its name.
        places: run folders, published leaderboards, or pages of this experiment, which have the rows of all of its runs.

    Returns:
        By the name of the run; runs that no place holds are left out.

    Raises:
        InputError: a place with nothing to read, or whose sweep is none of the experiment's.
        StoreDamagedError: rows that cannot be read.
    """
    asked = experiment.sweeps(scale)
    found = {}
    for place in [one for given in places for one in _rows_of(given)]:
        results = load_results(place)
        differs = {name: _differing(sweep, results.sweep) for name, sweep in asked.items()}
        # Sweeps are matched by content, as folders may have been renamed.
        nearest = min(differs, key=lambda name: len(differs[name]))
        if differs[nearest]:
            raise InputError(
                f"--from {place}: none of the runs of {experiment.name!r} at scale {scale!r}; "
                f"of {nearest!r}, the most similar, it differs in {', '.join(differs[nearest])}"
            )
        found[nearest] = Taken(place, results)
    return found


def _rows_of(place: Path) -> Iterator[Path]:
    """The folders with rows that a place stands for: a page's, or itself."""
    if not (place / PAGE).is_file():
        yield place
        return
    try:
        listed: dict[str, str] = json.loads((place / PAGE).read_text(encoding="utf-8"))["rows"]
        yield from [place / where for where in listed.values()]
    except (ValueError, KeyError, AttributeError, TypeError):
        raise InputError(f"{place / PAGE}: cannot be read; publish the page again from the folders that hold its rows") from None


def _differing(asked: Sweep, there: Sweep) -> list[str]:
    """The keys in which two sweeps would give different results."""
    before, after = asked.model_dump(mode="json"), there.model_dump(mode="json")
    return [key for key in before if key not in UNCOMPARED and before[key] != after[key]]


def edited_plugins(results: Results) -> list[str]:
    """The plug-ins whose source is not what it was when these rows were trained, as `KIND/NAME`.

    Args:
        results: of a run.
    """
    return changed_code(results.meta, plan(results.sweep))
