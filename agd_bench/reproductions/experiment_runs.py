"""Run the sweeps of an experiment, each in a folder that can be resumed, and reuse existing results of the same sweep."""

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
"""File of a page with its experiment, its scale and, for each run, the folder with raw rows relative to the page."""
UNCOMPARED = EXECUTION_KEYS | {"name"}
"""Keys of a sweep that do not affect results."""


class Taken(NamedTuple):
    """Existing results of a run, and their location."""

    place: Path
    results: Results


def rows_at_hand(experiment: Reproduction, scale: str, places: Sequence[Path]) -> dict[str, Taken]:
    """Find runs of an experiment that need no training because their rows exist.

    Args:
        experiment: the experiment.
        scale: name of the scale.
        places: run folders, published leaderboards, or pages of this experiment, which hold the rows of all its runs.

    Returns:
        Results by the name of the run; runs without existing rows are left out.

    Raises:
        InputError: a place that cannot be read, or a sweep that does not belong to the experiment.
        StoreDamagedError: rows cannot be read.
    """
    asked = experiment.sweeps(scale)
    found = {}
    for place in [one for given in places for one in _rows_of(given)]:
        results = load_results(place)
        differs = {name: _differing(sweep, results.sweep) for name, sweep in asked.items()}
        # Match sweeps by content, because folders may have been renamed.
        nearest = min(differs, key=lambda name: len(differs[name]))
        if differs[nearest]:
            raise InputError(
                f"--from {place} matches no run of {experiment.name!r} at scale {scale!r}; "
                f"it differs from the most similar run, {nearest!r}, in {', '.join(differs[nearest])}"
            )
        found[nearest] = Taken(place, results)
    return found


def _rows_of(place: Path) -> Iterator[Path]:
    """The folders with rows of a place: those listed by a page, or the place itself."""
    if not (place / PAGE).is_file():
        yield place
        return
    try:
        listed: dict[str, str] = json.loads((place / PAGE).read_text(encoding="utf-8"))["rows"]
        yield from [place / where for where in listed.values()]
    except (OSError, ValueError, KeyError, AttributeError, TypeError, RecursionError):
        raise InputError(f"{place / PAGE} cannot be read; publish the page again from the folders that hold its rows") from None


def _differing(asked: Sweep, there: Sweep) -> list[str]:
    """The keys in which two sweeps differ and that affect results."""
    before, after = asked.model_dump(mode="json"), there.model_dump(mode="json")
    return [key for key in before if key not in UNCOMPARED and before[key] != after[key]]


def edited_plugins(results: Results) -> list[str]:
    """The plug-ins whose source has changed since these rows were trained, as `KIND/NAME`."""
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
    """Train the missing trials of an experiment at a scale.

    Args:
        experiment: the experiment to run.
        scale: name of the scale.
        out: folder with a subfolder for each run; a later call resumes the runs.
        observing: creates the observer that reports each sweep's progress.
        time_limit_seconds: limit for all runs together, from now; the next call continues with the remaining trials.
        options: options of `agd_bench.run`, such as `device` or `num_workers`.
        taken: existing results by the name of the run; these runs are not trained.

    Returns:
        Stored results by the name of the run, with published accuracies if `AGD_BENCH_PUBLISHED` is set; runs that did not start in time
        are left out.

    Raises:
        AgdBenchError: a run failed; finished trials are kept.
    """
    # The monotonic clock does not jump when the system's time is set.
    stop_at = None if time_limit_seconds is None else time.monotonic() + time_limit_seconds
    results = {}
    for name, sweep in experiment.sweeps(scale).items():
        if taken is not None and name in taken:
            results[name] = gather_evidence(taken[name])
            continue
        left = None if stop_at is None else stop_at - time.monotonic()
        # Not `break`: later runs with existing results need no time.
        if left is not None and left <= 0:
            continue
        with observing() as observer:
            held = api.run(sweep, out / name, observer=observer, time_limit_seconds=left, **dict(options or {}))
        results[name] = gather_evidence(held)
    return results
