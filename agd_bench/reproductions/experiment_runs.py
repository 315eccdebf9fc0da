"""Run the sweeps of an experiment, each in a folder that can be continued, unless a run or a published folder has its rows already."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from agd_bench import api
from agd_bench.errors import InputError
from agd_bench.evidence import gather_evidence
from agd_bench.planning.planner import plan
from agd_bench.records import Sweep
from agd_bench.reproductions.experiments import Reproduction
from agd_bench.store import Results, load_results
from agd_bench.store.plan_rows import EXECUTION_KEYS
from agd_bench.store.row_code import changed_code

if TYPE_CHECKING:
    from agd_bench.scheduling.progress import Observer

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


def reproduce(
    experiment: Reproduction,
    scale: str,
    out: Path,
    observing: Callable[[], AbstractContextManager[Observer | None]],
    time_limit_seconds: float | None = None,
    options: Mapping[str, Any] | None = None,
    taken: Mapping[str, Results] | None = None,
) -> dict[str, Results]:
    """Train what an experiment asks at a scale and is not trained yet.

    Args:
        experiment: what to run.
        scale: its name.
        out: a folder; each run has one of its own in it, which a later call continues.
        observing: makes what is told of each sweep's progress.
        time_limit_seconds: from now, for all runs together; what is not done by then is left to the next call.
        options: of `sweeping.run`, such as `device` or `num_workers`.
        taken: by the name of the run, results that stand for training it.

    Returns:
        What is stored in the end, by the name of the run, with published accuracies where `AGD_BENCH_PUBLISHED` names some; runs that were
        not begun in time are left out.

    Raises:
        AgdBenchError: as its kinds say; what was finished is kept.
    """
    # The monotonic clock does not jump when the system's time is set.
    stop_at = None if time_limit_seconds is None else time.monotonic() + time_limit_seconds
    results = {}
    for name, sweep in experiment.sweeps(scale).items():
        if taken is not None and name in taken:
            results[name] = gather_evidence(taken[name])
            continue
        left = None if stop_at is None else stop_at - time.monotonic()
        # Not `break`: later runs whose results are at hand need no time.
        if left is not None and left <= 0:
            continue
        with observing() as observer:
            held = api.run(sweep, out / name, observer=observer, time_limit_seconds=left, **dict(options or {}))
        results[name] = gather_evidence(held)
    return results
