"""A run of stand-ins with a tracker, killed when a number of trials have ended. Run as a module by `test_stream`."""

from __future__ import annotations

import os
import signal
import sys
import time
from pathlib import Path

from agd_bench.records import Trial, TrialResult
from agd_bench.scheduling.resources import Resources
from agd_bench.scheduling.runs import run_plan
from agd_bench.trackers import TrackerStream, open_tracker
from agd_bench.trial import Workplace
from tests.scheduling import plans


def run(folder: Path, kind: str, fatal: int = 0) -> None:
    """Run the plan; SIGKILL in the trial after `fatal` others; 0: never."""
    count = 0

    def succeed(trial: Trial, workplace: Workplace, attempt: int = 1, seconds_left: float | None = None) -> TrialResult:
        nonlocal count
        count += 1
        if fatal and count > fatal:
            # Until the tracker has at least one trial, so that some are there and some are not.
            while not any((folder / kind).rglob("*")):
                time.sleep(0.01)
            os.kill(os.getpid(), signal.SIGKILL)
        return plans.result_of(trial, 0.001)

    with TrackerStream(open_tracker(kind, str(folder / kind)), folder / "run") as stream:
        here, tuner = Resources("in-process"), plans.HashTuner()
        run_plan(plans.plan(), folder / "run", plans.workplace(folder), here, observer=stream, run_trial=succeed, tuner=tuner)


if __name__ == "__main__":
    run(Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]))
