"""The progress display, on a terminal and in a log file."""

from __future__ import annotations

import errno
import io
import shlex
import subprocess
import sys

import pytest

from agd_bench.display import Display, counts_line, duration, trouble
from agd_bench.records import Trial, TrialResult
from agd_bench.scheduling.progress import Event, Snapshot

TRIAL = Trial(
    search_space="s",
    search_space_label="s",
    architecture="|a~0|",
    dataset="d",
    algorithm="agd",
    algorithm_label="agd",
    epochs=1,
    batch_size=8,
    seed=2,
)


def snapshot(**changes: object) -> Snapshot:
    """Return a snapshot of ten trials, six of which have ended."""
    given: dict[str, object] = {
        "total": 10,
        "counts": {"done": 4, "failed": 1, "refused": 1, "running": 1, "pending": 3},
        "running": (TRIAL,),
        "elapsed_seconds": 75.0,
        "remaining_seconds": 30.0,
        "best": {"agd": (0.5, "|a~0|")},
    }
    return Snapshot(**{**given, **changes})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("seconds", "said"), [(None, "?"), (0.4, "0 s"), (59.4, "59 s"), (75, "1 min 15 s"), (1500, "25 min"), (7500, "2 h 5 min")]
)
def test_durations_read_well(seconds: float | None, said: str) -> None:
    """Durations are formatted the way a person would say them."""
    assert duration(seconds) == said


def test_the_line_counts_everything_that_ended() -> None:
    """The line shows ended, running, failed and refused trials, and the time."""
    assert counts_line(snapshot()) == "6 of 10 trials, 1 running, 1 failed, 1 refused; 1 min 15 s so far, 30 s left"


def test_trouble_is_told_and_the_ordinary_is_not() -> None:
    """Failed, diverged and lost trials are shown as they occur; done and refused ones are not."""
    failed = TrialResult(trial_id=TRIAL.id, status="failed", reason="RuntimeError: oh")
    assert trouble(Event("ended", TRIAL, 1, failed)) == "failed: agd on |a~0|, seed 2: RuntimeError: oh"
    assert trouble(Event("lost", TRIAL, 1, None, "its worker died")) == "lost: agd on |a~0|, seed 2, attempt 1: its worker died"
    assert trouble(Event("ended", TRIAL, 1, TrialResult(trial_id=TRIAL.id, status="done"))) is None
    assert trouble(Event("started", TRIAL, 1)) is None


def test_without_a_terminal_there_are_plain_lines_and_the_last_is_said_once(capsys: pytest.CaptureFixture[str]) -> None:
    """Without a terminal, a line is printed at the start, one occasionally, and one at the end."""
    with Display() as display:
        for _ in range(50):
            display(None, snapshot())
        for _ in range(3):
            display(None, snapshot(counts={"done": 10}, running=(), remaining_seconds=0.0))
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 2
    assert "best validation accuracy: agd 0.500" in lines[0]
    assert lines[1].startswith("10 of 10 trials")


def test_quiet_is_quiet(capsys: pytest.CaptureFixture[str]) -> None:
    """With `quiet`, nothing is printed at all."""
    with Display(quiet=True) as display:
        display(Event("lost", TRIAL, 1, None, "x"), snapshot())
    assert capsys.readouterr() == ("", "")


def test_a_stream_that_takes_nothing_ends_no_run(monkeypatch: pytest.MonkeyPatch) -> None:
    """If standard error is closed or on a full disk, the display stops printing and the run continues."""
    monkeypatch.setattr(sys, "stderr", Full())
    with Display() as display:
        for _ in range(3):
            display(None, snapshot())
    assert Full.written > 0


class Full(io.StringIO):
    """A stream on a full disk."""

    written = 0

    def write(self, text: str) -> int:
        Full.written += 1
        raise OSError(errno.ENOSPC, "No space left on device")


@pytest.mark.parametrize("closing", ["2>&-", "2>/dev/full", ">&- 2>&-"])
def test_commands_work_without_standard_error(closing: str) -> None:
    """Commands started by a daemon may have no standard error; they must not crash with a traceback."""
    command = f"exec {shlex.quote(sys.executable)} -m agd_bench status nowhere {closing}"
    ended = subprocess.run(["sh", "-c", command], capture_output=True, text=True, check=False)
    assert ended.returncode == 2
    assert "Traceback" not in ended.stdout + ended.stderr
