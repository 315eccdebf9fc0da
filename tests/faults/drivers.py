"""Drivers of a tiny sweep with real training and files, forked from a process that has imported everything; a run takes a second."""

from __future__ import annotations

import json
import os
import signal
import sys
import time
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path

from agd_bench import api, cli
from agd_bench.cli import train
from agd_bench.store import database
from tests.faults.operations import ACTED, Fault, Operations

SWEEP = """
name = "faulty"
epochs = 3
batch_size = 32
seeds = 2
max_attempts = 1000
checkpoint_seconds = 0.000001
search_spaces = [{name = "fcn", architectures = ["2x8", "3x8"], options = {size = 8}}]
datasets = [{name = "digits", share = 0.05}]
algorithms = [{name = "agd"}, {name = "sgd_tuned", tuning_trials = 3, pruner = "median"}]
"""
"""Fourteen trainings with five steps per epoch: self-tuning, tuned and pruned, with a checkpoint after each epoch."""
RUN = ("run", "faulty.toml", "--executor", "in-process", "--device", "cpu", "--out", "run")
TRACEBACK = 70
"""Exit code for an exception that the command does not report itself."""
LIMIT_SECONDS = 300.0
SEEN = "operations"


class Driver:
    """A command in a separate process.

    Args:
        home: its working directory.
        arguments: of `agd-bench`; default: a run in `home / "run"`.
        before: called in the new process before the command; what it counts is written to the file `operations`.
        said: name of the file for what it says.
    """

    def __init__(
        self, home: Path, before: Callable[[], Operations | None] | None = None, arguments: Sequence[str] = RUN, said: str = "said.txt"
    ) -> None:
        self._said = home / said
        sys.stdout.flush()
        self.pid = os.fork()
        if self.pid == 0:
            _become(home, self._said, before, arguments)

    def wait(self) -> int:
        """Return the exit code, which is negative for a signal and -SIGSTOP if the process was stopped."""
        until = time.monotonic() + LIMIT_SECONDS
        while time.monotonic() < until:
            pid, status = os.waitpid(self.pid, os.WNOHANG | os.WUNTRACED)
            if pid:
                return -signal.SIGSTOP if os.WIFSTOPPED(status) else os.waitstatus_to_exitcode(status)
            time.sleep(0.002)
        os.kill(self.pid, signal.SIGKILL)
        os.waitpid(self.pid, 0)
        raise TimeoutError(f"a driver did not end within {LIMIT_SECONDS:.0f} s")

    def is_running(self) -> bool:
        """Whether it has neither ended nor stopped."""
        return os.waitid(os.P_PID, self.pid, os.WEXITED | os.WSTOPPED | os.WNOHANG | os.WNOWAIT) is None

    def kill(self, number: int = signal.SIGKILL) -> None:
        """Send a signal to the process, which must not have been waited for."""
        os.kill(self.pid, number)

    @property
    def said(self) -> str:
        """What the command wrote to standard error."""
        return self._said.read_text(encoding="utf-8", errors="replace")


def arm(home: Path, faults: Sequence[Fault] = (), counted: Sequence[str] = ("",)) -> Callable[[], Operations]:
    """For `before`: suffer these faults, and count the operations that contain each of `counted`."""
    (home / ACTED).unlink(missing_ok=True)
    return lambda: Operations(home, faults, counted)


def acted(home: Path) -> list[str]:
    """The names of the faults of the last `arm` that came to pass, in order."""
    return (home / ACTED).read_text().splitlines() if (home / ACTED).exists() else []


def count_operations(home: Path, counted: Sequence[str] = ("",), arguments: Sequence[str] = RUN) -> dict[str, int]:
    """Run a command undisturbed; how many of its operations contain each of `counted`.

    Raises:
        RuntimeError: it failed.
    """
    driver = Driver(home, arm(home, (), counted), arguments)
    if driver.wait() != 0:
        raise RuntimeError(f"the undisturbed command failed: {driver.said}")
    return dict(json.loads((home / SEEN).read_text()))


def prepare(home: Path) -> None:
    """Write the sweep into a new folder."""
    home.mkdir(parents=True)
    (home / "faulty.toml").write_text(SWEEP, encoding="utf-8")


def warm_up(home: Path) -> None:
    """Do the run once in this process, to import and cache everything that forked drivers need."""
    prepare(home)
    api.run(home / "faulty.toml", home / "run", executor="in-process", device="cpu")


def leave_out_the_report() -> None:
    """For this process and those forked from it: the report takes longer than the run, and `commands.py` tests it."""
    setattr(train, "conclude", lambda *_: None)  # noqa: B010 (mypy knows the function's own type)


def be_impatient() -> None:
    """Wait only a moment for another process's lock on the database."""
    database.BUSY_SECONDS = 1


def _become(home: Path, said: Path, before: Callable[[], Operations | None] | None, arguments: Sequence[str]) -> None:
    """Run the command in a forked process, and end the process."""
    code = TRACEBACK
    try:
        os.chdir(home)
        for number, path in ((1, "/dev/null"), (2, str(said))):
            os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), number)
        signal.signal(signal.SIGINT, signal.default_int_handler)
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        operations = None if before is None else before()
        sys.argv = ["agd-bench", *arguments]
        try:
            cli.main()
            code = 0
        except SystemExit as error:
            code = error.code if isinstance(error.code, int) else int(error.code is not None)
        if operations is not None:
            (home / SEEN).write_text(json.dumps(operations.seen))
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stderr.flush()
        os._exit(code)
