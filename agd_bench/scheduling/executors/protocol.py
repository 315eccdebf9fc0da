"""What an executor is, what it is given and what it gives back; and the one that runs trials in this process."""

from __future__ import annotations

import ctypes
import platform
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal, NamedTuple, Protocol

from agd_bench.errors import AgdBenchError, ExecutorError, OutOfMemory
from agd_bench.records import Trial, TrialResult

if TYPE_CHECKING:
    from agd_bench.trial import Workplace

KEEPING = {-1: -1, -3: 2**30, -2: 2**26}
"""glibc's M_TRIM_THRESHOLD (-1: never), M_MMAP_THRESHOLD and M_TOP_PAD, in bytes, by their numbers in malloc.h."""


class Device(NamedTuple):
    """What workers compute on.

    Attributes:
        name: of its own within the run.
        slots: workers that it has; one: nothing is shared.
        memory_bytes: all of its memory; null: not known, or a CPU's.
    """

    name: str
    slots: int = 1
    memory_bytes: int | None = None


RunTrial = Callable[[Trial, "Workplace", int, float | None], TrialResult]


@dataclass(frozen=True)
class Task:
    """One attempt to be executed.

    Attributes:
        trial: what to train.
        attempt: its number, from 1.
        seconds_left: until its deadline.
        exclusive: whether it has its device to itself; null: as the executor's workplace says.
    """

    trial: Trial
    attempt: int
    seconds_left: float
    exclusive: bool | None = None


@dataclass(frozen=True)
class Outcome:
    """What came of an attempt.

    Attributes:
        trial_id: the trial.
        attempt: its number.
        kind: a result; the worker or its node was lost; memory did not suffice; or the whole sweep has to stop.
        result: for a result.
        message: what happened, otherwise.
        error: for `stop`: what is wrong with the installation, as every other trial would meet it too.
    """

    trial_id: str
    attempt: int
    kind: Literal["result", "lost", "out of memory", "stop"]
    result: TrialResult | None = None
    message: str = ""
    error: AgdBenchError | None = None


class Executor(Protocol):
    """Runs attempts somewhere. It neither retries nor decides; it reports what came of each attempt exactly once."""

    @property
    def slots(self) -> int:
        """Attempts that it can run at a time."""

    @property
    def idle(self) -> list[str]:
        """Names of the workers that would take an attempt at this moment."""

    def device_of(self, worker: str) -> Device:
        """What an idle worker computes on."""

    def submit(self, worker: str, task: Task) -> None:
        """Begin an attempt on an idle worker."""

    def wait(self, seconds: float) -> list[Outcome]:
        """Attempts that ended, waiting at most so long for a first one.

        Raises:
            ExecutorError: there is no worker left, and none can be started.
        """

    def kill(self, trial_id: str) -> None:
        """End an attempt by force; nothing will be reported of it."""

    def refresh(self) -> None:
        """Give back what idle workers hold, memory above all; only while nothing runs."""

    def close(self) -> None:
        """End everything, running attempts too."""


def import_run_trial() -> RunTrial:
    """`agd_bench.trial.run_trial`, and with it torch: only where trials run."""
    from agd_bench.trial import run_trial

    return run_trial


def _portable(error: AgdBenchError) -> AgdBenchError:
    """The error as one that survives pickling: of its nearest class that is made from a message alone."""
    nearest = next(kind for kind in type(error).__mro__ if issubclass(kind, AgdBenchError) and kind.__init__ is Exception.__init__)
    return nearest(str(error))


def perform(task: Task, workplace: Workplace, run_trial: RunTrial | None) -> Outcome:
    """Execute an attempt here, and put what comes of it into an outcome.

    Args:
        task: what to do.
        workplace: where data, plug-ins and checkpoints are.
        run_trial: what executes it; null: `agd_bench.trial.run_trial`, imported here, where it runs.
    """
    try:
        if task.exclusive is not None:
            workplace = replace(workplace, exclusive=task.exclusive)
        result = (run_trial or import_run_trial())(task.trial, workplace, task.attempt, task.seconds_left)
    except (OutOfMemory, MemoryError) as error:
        return Outcome(task.trial.id, task.attempt, "out of memory", message=str(error) or type(error).__name__)
    except AgdBenchError as error:
        return Outcome(task.trial.id, task.attempt, "stop", message=str(error), error=_portable(error))
    except Exception as error:
        reason = f"{type(error).__name__}: {' '.join(str(error).split())[:500]}"
        result = TrialResult(trial_id=task.trial.id, status="failed", reason=reason)
    return Outcome(task.trial.id, task.attempt, "result", result)


def limit_threads(threads: int) -> None:
    """Hold torch to so many threads, if it is imported, and make sure that it obeys.

    More threads than cores make training many times slower, and the number of threads can change sums in the last digit.

    Raises:
        ExecutorError: it does not obey.
    """
    torch = sys.modules.get("torch")
    if torch is None:
        return
    torch.set_num_threads(threads)
    if torch.get_num_threads() != threads:
        raise ExecutorError(f"torch uses {torch.get_num_threads()} threads although {threads} were asked for; unset OMP_NUM_THREADS")


def keep_freed_memory() -> bool:
    """Let this process keep the memory that it frees, for its next tensors; whether its C library (glibc) can be told to.

    By default tensors of some MB are handed back to the system when they go and asked of it again, page by page, in every step.
    """
    if platform.libc_ver()[0] != "glibc":
        return False
    mallopt = ctypes.CDLL(None).mallopt
    return all(mallopt(option, value) == 1 for option, value in KEEPING.items())


class InProcessExecutor:
    """Runs one attempt at a time in this process: for tests, debugging, and machines without Ray.

    It cannot end a hung attempt; the deadline is kept by the trial itself, at each of its steps.
    """

    slots = 1

    def __init__(self, workplace: Workplace, run_trial: RunTrial | None = None) -> None:
        """Set up.

        Args:
            workplace: where data, plug-ins and checkpoints are.
            run_trial: null: `agd_bench.trial.run_trial`.
        """
        self._workplace, self._run_trial = workplace, run_trial
        self._ended: list[Outcome] = []

    @property
    def idle(self) -> list[str]:
        """This process, unless the last attempt's outcome was not fetched yet."""
        return [] if self._ended else ["in-process"]

    def device_of(self, worker: str) -> Device:
        """One device, one attempt at a time."""
        return Device(worker)

    def submit(self, worker: str, task: Task) -> None:
        """Run the attempt, to its end."""
        self._ended.append(perform(task, self._workplace, self._run_trial))

    def wait(self, seconds: float) -> list[Outcome]:
        """The attempt that ended, at once."""
        ended, self._ended = self._ended, []
        return ended

    def kill(self, trial_id: str) -> None:
        """Nothing to do: an attempt that hangs here hangs the caller too."""

    def refresh(self) -> None:
        """Nothing to do: there are no idle workers."""

    def close(self) -> None:
        """Nothing to do: nothing runs."""
