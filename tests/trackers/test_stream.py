"""Trackers receive every trial once, however often the driver is killed."""

from __future__ import annotations

import dataclasses
import importlib.util
import logging
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from agd_bench.errors import InputError
from agd_bench.scheduling.resources import Resources
from agd_bench.scheduling.runs import run_plan
from agd_bench.store import load_results
from agd_bench.trackers import TRACKERS, TrackedTrial, TrackerStream, open_tracker, write_all
from agd_bench.trackers.tracked import Point, tracked_results
from tests.scheduling import plans
from tests.trackers.killing import run
from tests.trackers.reading import READERS, Points

# The trackers' packages and what they import warn about themselves.
pytestmark = pytest.mark.filterwarnings("ignore")


def expected(folder: Path) -> Points:
    """The curves in the store."""
    found: Points = {}
    for row in load_results(folder).curves[["trial_id", "epoch", "val_accuracy"]].to_numpy(dtype=object):
        found.setdefault(row[0], []).append((row[1], round(row[2], 6)))
    return found


@pytest.mark.parametrize("kind", TRACKERS)
def test_a_killed_run_goes_on_without_a_missing_or_doubled_point(tmp_path: Path, kind: str) -> None:
    """An export afterwards adds nothing, and a later attempt at a trial replaces it."""
    if importlib.util.find_spec(TRACKERS[kind].package) is None:
        pytest.skip(f"{TRACKERS[kind].package} is not installed")
    # To a file: a tracker's own process may outlive the driver, and would hold a pipe open.
    with (tmp_path / "said").open("w+") as said:
        done = subprocess.run([sys.executable, "-m", "tests.trackers.killing", str(tmp_path), kind, "4"], check=False, stderr=said)
        said.seek(0)
        assert done.returncode == -signal.SIGKILL, said.read()
    run(tmp_path, kind)
    points = READERS[kind](tmp_path / kind)
    assert len(points) == 14
    assert points == expected(tmp_path / "run")
    tracker, results = open_tracker(kind, str(tmp_path / kind)), load_results(tmp_path / "run")
    assert write_all(tracker, results) == 14
    assert READERS[kind](tmp_path / kind) == points
    first = next(tracked_results(results))
    tracker.write(dataclasses.replace(first, attempt=2, points=(Point(1, first.ended_at, {"val_accuracy": 0.25}),)))
    assert READERS[kind](tmp_path / kind) == points | {first.id: [(1, 0.25)]}


class Broken:
    """A tracker whose server is away."""

    show = ""

    def write(self, trial: TrackedTrial) -> None:
        """Fail."""
        raise OSError("no route to host")


def test_a_tracker_that_fails_costs_a_warning_and_no_trial(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """The run ends as without it; the next one cannot begin to write, and says so."""
    here, tuner, folder = Resources("in-process"), plans.HashTuner(), tmp_path / "run"
    with caplog.at_level(logging.WARNING, "agd_bench.notices"), TrackerStream(Broken(), folder) as stream:
        run_plan(plans.plan(), folder, plans.workplace(tmp_path), here, observer=stream, run_trial=plans.succeed, tuner=tuner)
    assert set(load_results(folder).trials["status"]) == {"done"}
    assert "no route to host" in caplog.text
    with pytest.raises(InputError, match="no route to host"), TrackerStream(Broken(), folder):
        pytest.fail("the stream opened")
