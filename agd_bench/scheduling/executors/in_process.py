"""One attempt at a time in this process: for tests, debugging, and machines without Ray."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, NoReturn

from agd_bench.records import Trial
from agd_bench.scheduling.executors.protocol import Device, Outcome, RunTrial, Task
from agd_bench.scheduling.executors.worker import perform, prepare

if TYPE_CHECKING:
    from agd_bench.trial import Workplace

HERE = "this machine"


@contextmanager
def no_exit() -> Iterator[None]:
    """Make `os._exit` raise SystemExit within the context, so a trial cannot end this process; forked processes can end themselves."""
    leave, here = os._exit, os.getpid()

    def refuse(status: int) -> NoReturn:
        if os.getpid() != here:
            leave(status)
        raise SystemExit(f"os._exit({status})")

    os._exit = refuse
    try:
        yield
    finally:
        os._exit = leave


class InProcessExecutor:
    """Runs each attempt to its end when it is submitted.

    It cannot end a hung attempt; the trial itself checks its deadline at each step.
    """

    slots = 1

    def __init__(self, workplace: Workplace, run_trial: RunTrial | None = None, warm_up: Sequence[Trial] = ()) -> None:
        """Set up.

        Args:
            workplace: location of data, plug-ins and checkpoints.
            run_trial: None: `agd_bench.trial.run_trial`.
            warm_up: trials to prepare for.
        """
        self._workplace, self._run_trial = workplace, run_trial
        self._ended: list[Outcome] = []
        self.nodes = [HERE]
        prepare(workplace, run_trial, warm_up)

    @property
    def idle(self) -> list[str]:
        """This process, unless the outcome of the last attempt has not been fetched yet."""
        return [] if self._ended or not self.nodes else ["in-process"]

    def node_of(self, worker: str) -> str:
        """This machine."""
        return HERE

    def set_aside(self, node: str) -> None:
        """Nothing runs here any more."""
        self.nodes = []

    def device_of(self, worker: str) -> Device:
        """One device, one attempt at a time."""
        return Device(worker)

    def submit(self, worker: str, task: Task) -> None:
        """Run the attempt to its end."""
        with no_exit():
            self._ended.append(perform(task, self._workplace, self._run_trial))

    def wait(self, seconds: float) -> list[Outcome]:
        """Return the ended attempt immediately."""
        ended, self._ended = self._ended, []
        return ended

    def kill(self, trial_id: str) -> None:
        """No effect: an attempt that hangs here also hangs the caller."""

    def refresh(self) -> None:
        """No effect: there are no idle workers."""

    def close(self) -> None:
        """No effect: nothing runs."""
