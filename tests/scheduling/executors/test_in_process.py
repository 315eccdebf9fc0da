"""Trials that run in the driver's process and try to end it, or succeed."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from agd_bench.records import Trial, TrialResult
from agd_bench.scheduling.executors.in_process import InProcessExecutor, no_exit
from agd_bench.store import load_results
from tests.scheduling.plans import plan, result_of, workplace
from tests.scheduling.scripted import drive

DEADLY = """
import sys
from pathlib import Path
from agd_bench.scheduling.executors.in_process import InProcessExecutor
from tests.scheduling.plans import always_die, plan, workplace
from tests.scheduling.scripted import drive

folder = Path(sys.argv[1])
drive(folder / "run", plan(architectures=1, seeds=3, rounds=0, max_attempts=2), InProcessExecutor(workplace(folder), always_die))
"""


@pytest.mark.parametrize("how", [lambda: sys.exit(0), lambda: os._exit(0), lambda: (_ for _ in ()).throw(asyncio.CancelledError())])
def test_what_ends_a_program_ends_a_trial(tmp_path: Path, how: object) -> None:
    """Any attempt to end the process, except for the user's Ctrl-C, becomes the result of its trial, and the other trials are trained."""

    def train(one: Trial, place: object, attempt: int = 1, seconds_left: float | None = None) -> TrialResult:
        if one.seed == 1:
            how()  # type: ignore[operator]
        return result_of(one)

    leave = os._exit
    drive(tmp_path, plan(architectures=1, seeds=3, rounds=0), InProcessExecutor(workplace(tmp_path), train))
    assert list(load_results(tmp_path).trials["status"]) == ["done", "failed", "done"]
    assert os._exit is leave


def test_a_forked_process_may_end_itself() -> None:
    """Forked processes, such as those of a data loader, can still call `os._exit`."""
    with no_exit():
        child = os.fork()
        if child == 0:
            os._exit(7)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7


@pytest.mark.timeout(1800)
def test_a_trial_that_takes_the_driver_with_it_is_given_up(tmp_path: Path) -> None:
    """Each start of the driver loses one attempt; after the last allowed one, the trial fails and the run continues without it."""
    ended = [subprocess.run([sys.executable, "-c", DEADLY, str(tmp_path)], check=False).returncode for _ in range(3)]
    assert ended == [-signal.SIGKILL, -signal.SIGKILL, 0]
    trials = load_results(tmp_path / "run").trials
    assert list(trials["status"]) == ["done", "failed", "done"]
    assert list(trials["attempts"]) == [1, 2, 1]
