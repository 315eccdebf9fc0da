"""Run the sweeps of an experiment, one after the other, each in a folder of its own that can be continued."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from agd_bench import api
from agd_bench.evidence import gather_evidence
from agd_bench.reproductions.experiments import Reproduction
from agd_bench.store import Results

if TYPE_CHECKING:
    from agd_bench.scheduling.progress import Observer


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
