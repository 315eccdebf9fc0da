"""A small sweep of real trainings that can be killed partway through; `test_runs_killed` runs it as a module."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path
from typing import Any

from agd_bench.datasets import data_root
from agd_bench.planning.planner import plan
from agd_bench.records import Plan, Sweep, Trial, TrialResult
from agd_bench.scheduling.progress import Event, Snapshot
from agd_bench.scheduling.resources import Resources
from agd_bench.scheduling.runs import run_plan
from agd_bench.training import checkpoints
from agd_bench.trial import Workplace, run_trial

save = checkpoints.save


def small_plan() -> Plan:
    """Return a plan of nine trainings on digits, with three epochs each."""
    given = {
        "name": "kill",
        "epochs": 3,
        "batch_size": 32,
        "seeds": 2,
        "checkpoint_seconds": 1e-6,
        "search_spaces": [{"name": "nas_bench_201", "architectures": 1, "options": {"channels": 4, "cells": 1}}],
        "datasets": [{"name": "digits", "share": 0.1}],
        "algorithms": [{"name": "agd"}, {"name": "sgd_tuned", "tuning_trials": 5, "pruner": "median"}],
    }
    return plan(Sweep.model_validate(given))


def die() -> None:
    """Kill this process with SIGKILL, as the kernel does when memory runs out."""
    os.kill(os.getpid(), signal.SIGKILL)


def die_after_first_checkpoint(trial: Trial, workplace: Workplace, attempt: int = 1, seconds_left: float | None = None) -> TrialResult:
    """Train, but kill the worker after its first checkpoint in the first attempts at seed 1 and at the second proposal."""

    def save_and_die(*arguments: Any) -> None:
        save(*arguments)
        die()

    doomed = attempt == 1 and (trial.seed == 1 or trial.number == 1)
    setattr(checkpoints, "save", save_and_die if doomed else save)  # noqa: B010 (mypy knows the function's own type)
    return run_trial(trial, workplace, attempt, seconds_left)


def main(folder: Path, point: str, count: int) -> None:
    """Run the plan in this process and die at the `count`-th event (or checkpoint) of the kind `point`; with 0, never die."""
    seen = 0

    def reached(what: str) -> None:
        nonlocal seen
        seen += what == point
        if count and seen == count:
            die()

    def observe(event: Event | None, snapshot: Snapshot) -> None:
        if event is not None:
            reached(event.kind)

    def save_and_count(*arguments: Any) -> None:
        save(*arguments)
        reached("checkpoint")

    setattr(checkpoints, "save", save_and_count)  # noqa: B010
    run_plan(small_plan(), folder, Workplace(data_root=data_root(), device="cpu"), Resources("in-process"), observer=observe)


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]))
