"""The protocol of executors, with their input and output."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, NamedTuple, Protocol

from agd_bench.errors import AgdBenchError
from agd_bench.records import Trial, TrialResult

if TYPE_CHECKING:
    from agd_bench.trial import Workplace

RunTrial = Callable[[Trial, "Workplace", int, float | None], TrialResult]
"""Executes an attempt, given the trial, the workplace, the attempt's number, and the seconds until its deadline."""


class Device(NamedTuple):
    """A device of workers.

    Attributes:
        name: unique within the run.
        slots: number of workers; one: not shared.
        memory_bytes: total memory; None: unknown, or a CPU.
    """

    name: str
    slots: int = 1
    memory_bytes: int | None = None


@dataclass(frozen=True)
class Task:
    """One attempt to execute.

    Attributes:
        trial: the trial.
        attempt: its number, from 1.
        seconds_left: until its deadline.
        exclusive: whether it uses its device exclusively; None: as set in the executor's workplace.
    """

    trial: Trial
    attempt: int
    seconds_left: float
    exclusive: bool | None = None


@dataclass(frozen=True)
class Outcome:
    """Outcome of an attempt.

    Attributes:
        trial_id: id of the trial.
        attempt: number of the attempt.
        kind: a result; the worker or its node was lost; out of memory; or a fault of the environment, which may not occur on another node.
        result: the result, if there is one.
        message: otherwise, what happened.
        error: the error, for a fault.
    """

    trial_id: str
    attempt: int
    kind: Literal["result", "lost", "out of memory", "fault"]
    result: TrialResult | None = None
    message: str = ""
    error: AgdBenchError | None = None


class Executor(Protocol):
    """Runs attempts. It makes no decisions and does not retry; it reports the outcome of each attempt exactly once."""

    @property
    def slots(self) -> int:
        """Number of attempts that it can run at the same time."""

    @property
    def idle(self) -> list[str]:
        """Names of the workers that can currently take an attempt."""

    @property
    def nodes(self) -> Collection[str]:
        """Names of the nodes in use."""

    def node_of(self, worker: str) -> str:
        """The node of an idle worker."""

    def set_aside(self, node: str) -> None:
        """Stop using a node; attempts running there are lost."""

    def device_of(self, worker: str) -> Device:
        """The device of an idle worker."""

    def submit(self, worker: str, task: Task) -> None:
        """Start an attempt on an idle worker."""

    def wait(self, seconds: float) -> list[Outcome]:
        """Return ended attempts, waiting up to the given seconds for the first one.

        Raises:
            ExecutorError: there is no worker left, and none can be started.
        """

    def kill(self, trial_id: str) -> None:
        """End an attempt by force. `wait` reports it as lost once it has ended; until then, its worker is not idle."""

    def refresh(self) -> None:
        """Release resources of idle workers, mainly memory; only allowed while nothing runs."""

    def close(self) -> None:
        """End everything, including running attempts."""
