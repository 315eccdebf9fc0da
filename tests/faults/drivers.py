"""Drivers of a tiny sweep, each forked from a process that has imported everything: real training, real files, a second a run."""

from __future__ import annotations

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
from tests.faults.operations import Operations

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
"""Fourteen trainings of five steps an epoch: self-tuning, tuned and pruned, with a checkpoint after each epoch."""
RUN = ("run", "faulty.toml", "--executor", "in-process", "--device", "cpu", "--out", "run")
TRACEBACK = 70
"""Exit code for an exception that the command does not report itself."""
LIMIT_SECONDS = 300.0


class Driver:
    """One command in a process of its own.

    Args:
        home: its working directory.
        arguments: of `agd-bench`; default: a run in `home / "run"`.
        before: called in the new process before the command; how many operations it counts is written to the file `operations`.
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
        """The exit code, negative for a signal; -SIGSTOP when it stopped."""
        until = time.monotonic() + LIMIT_SECONDS
        while time.monotonic() < until:
            pid, status = os.waitpid(self.pid, os.WNOHANG | os.WUNTRACED)
            if pid:
                return -signal.SIGSTOP if os.WIFSTOPPED(status) else os.waitstatus_to_exitcode(status)
            time.sleep(0.002)
        os.kill(self.pid, signal.SIGKILL)
        os.waitpid(self.pid, 0)
        raise TimeoutError(f"a driver did not end within {LIMIT_SECONDS:.0f} s")

    def kill(self, number: int = signal.SIGKILL) -> None:
        """Send a signal, if it has not been waited for."""
        os.kill(self.pid, number)

    @property
    def said(self) -> str:
        """What it wrote to standard error."""
        return self._said.read_text(encoding="utf-8", errors="replace")


def arm(home: Path, at: int, act: Callable[[object], object], only: str = "") -> Callable[[], Operations]:
    """For `before`: act before the `at`-th operation on the run, and leave the file `acted` behind."""
    (home / "acted").unlink(missing_ok=True)

    def note_and_act(at_work: object) -> None:
        os.close(os.open(home / "acted", os.O_CREAT | os.O_WRONLY))
        act(at_work)

    return lambda: Operations(home, at, note_and_act, only)


def has_acted(home: Path) -> bool:
    """Whether the fault of the last `arm` came to pass."""
    return (home / "acted").exists()


def prepare(home: Path) -> None:
    """Write the sweep into a new folder."""
    home.mkdir(parents=True)
    (home / "faulty.toml").write_text(SWEEP, encoding="utf-8")


def warm_up(home: Path) -> None:
    """Make the run once in this process, which imports and caches everything that forked drivers need."""
    prepare(home)
    api.run(home / "faulty.toml", home / "run", executor="in-process", device="cpu")


def be_impatient() -> None:
    """Wait for another process's lock of the database for a moment only."""
    database.BUSY_SECONDS = 1


def _become(home: Path, said: Path, before: Callable[[], Operations | None] | None, arguments: Sequence[str]) -> None:
    """Be the command, in a forked process, and end it."""
    code = TRACEBACK
    try:
        os.chdir(home)
        for number, path in ((1, "/dev/null"), (2, str(said))):
            os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), number)
        signal.signal(signal.SIGINT, signal.default_int_handler)
        if arguments is RUN:  # the report takes longer than the run; `commands.py` tests it
            setattr(train, "conclude", lambda *_: None)  # noqa: B010 (mypy knows the function's own type)
        operations = None if before is None else before()
        sys.argv = ["agd-bench", *arguments]
        try:
            cli.main()
            code = 0
        except SystemExit as error:
            code = error.code if isinstance(error.code, int) else int(error.code is not None)
        if operations is not None:
            (home / "operations").write_text(str(operations.seen))
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stderr.flush()
        os._exit(code)
