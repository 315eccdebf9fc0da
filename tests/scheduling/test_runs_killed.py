"""Real training that is killed and restarted gives the same rows as an undisturbed run."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

from agd_bench.datasets import data_root
from agd_bench.scheduling.resources import Resources
from agd_bench.scheduling.runs import run_plan
from agd_bench.store import Results, load_results
from agd_bench.trial import Workplace
from tests.scheduling.killing import die_after_first_checkpoint, small_plan

pytestmark = pytest.mark.timeout(1800)
"""Ten processes import torch and train, which takes minutes on a busy machine."""
TIMINGS = ["attempts", "train_seconds", "total_seconds", "charged_seconds"]


def start(folder: Path, point: str = "never", count: int = 0) -> int:
    """Run the plan in a separate process and return its exit status."""
    command = [sys.executable, "-m", "tests.scheduling.killing", str(folder), point, str(count)]
    return subprocess.run(command, check=False).returncode


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Results:
    """Return the results of an undisturbed run."""
    folder = tmp_path_factory.mktemp("undisturbed")
    assert start(folder) == 0
    return load_results(folder)


def assert_equal_but_for_time(results: Results, expected: Results) -> None:
    """Assert that trials and curves are exactly equal, except for attempts and seconds."""
    pd.testing.assert_frame_equal(results.trials.drop(columns=TIMINGS), expected.trials.drop(columns=TIMINGS), check_exact=True)
    pd.testing.assert_frame_equal(
        results.curves.drop(columns="train_seconds"), expected.curves.drop(columns="train_seconds"), check_exact=True
    )


def assert_all_is_charged(results: Results) -> None:
    """Assert that trials are charged for the seconds of all their attempts, including lost ones."""
    taken = results.attempts.groupby("trial_id")["seconds"].sum()
    charged = results.trials.set_index("trial_id")["charged_seconds"]
    assert charged.sub(taken, fill_value=0.0).abs().max() < 1e-9


def test_a_driver_killed_at_several_points_goes_on_as_if_nothing_happened(tmp_path: Path, undisturbed: Results) -> None:
    """A run killed after a start, an end and two checkpoints, each time in a new process, gives the same results in the end."""
    for point, count in (("started", 2), ("checkpoint", 3), ("ended", 1), ("checkpoint", 1)):
        assert start(tmp_path, point, count) == -signal.SIGKILL
    assert start(tmp_path) == 0
    results = load_results(tmp_path)
    assert_equal_but_for_time(results, undisturbed)
    assert_all_is_charged(results)
    lost = results.attempts[results.attempts["outcome"] == "lost"]
    assert len(lost) >= 3
    assert set(lost["reason"]) == {"the driver ended during this attempt"}
    assert not list((tmp_path / "checkpoints").iterdir())


def test_workers_killed_in_training_are_replaced_and_resume(tmp_path: Path, undisturbed: Results) -> None:
    """On Ray, if a worker dies after its first checkpoint, the next attempt resumes from it and gives the same numbers."""
    place = Workplace(data_root=data_root(), device="cpu")
    run_plan(small_plan(), tmp_path, place, Resources(num_workers=2), run_trial=die_after_first_checkpoint)
    results = load_results(tmp_path)
    assert_equal_but_for_time(results, undisturbed)
    assert_all_is_charged(results)
    assert list(results.attempts["outcome"]).count("lost") == 3
    again = results.trials[results.trials["attempts"] == 2]
    assert set(again["seed"]) == {1, 1_000_001}


def test_the_same_call_on_a_finished_run_trains_nothing(tmp_path: Path) -> None:
    """Repeating the command on a finished run leaves its database unchanged."""
    assert start(tmp_path) == 0
    before = (tmp_path / "results.sqlite").read_bytes()
    attempts = load_results(tmp_path).attempts
    assert start(tmp_path) == 0
    pd.testing.assert_frame_equal(load_results(tmp_path).attempts, attempts)
    assert len(before) == (tmp_path / "results.sqlite").stat().st_size
