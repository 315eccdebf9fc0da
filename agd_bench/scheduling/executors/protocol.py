"""What an executor is, what it is given and what it gives back."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, NamedTuple, Protocol

from agd_bench.errors import AgdBenchError
from agd_bench.records import Trial, TrialResult

if TYPE_CHECKING:
    from agd_bench.trial import Workplace

RunTrial = Callable[[Trial, "Workplace", int, float | None], TrialResult]
"""What executes an attempt: trial, workplace, number of the attempt, and seconds until its deadline."""


class Device(NamedTuple):
    """What workers compute on.

    Attributes:
        name: of its own within the run.
        slots: workers that it has; one: nothing is shared.
        memory_bytes: all of its memory; None: not known, or a CPU's.
    """

    name: str
    slots: int = 1
    memory_bytes: int | None = None


@dataclass(frozen=True)
class Task:
    """One attempt to be executed.

    Attributes:
        trial: what to train.
        attempt: its number, from 1.
        seconds_left: until its deadline.
        exclusive: whether it has its device to itself; None: as the executor's workplace says.
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
        kind: a result; the worker or its node was lost; memory did not suffice; or a fault of the environment, which another node may
            not have.
        result: for a result.
        message: what happened, otherwise.
        error: for a fault.
    """

    trial_id: str
    attempt: int
    kind: Literal["result", "lost", "out of memory", "fault"]
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

    @property
    def nodes(self) -> Collection[str]:
        """Names of the nodes that it uses."""

    def node_of(self, worker: str) -> str:
        """The node of an idle worker."""

    def set_aside(self, node: str) -> None:
        """Use a node no more; what runs there is lost."""

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
        """End an attempt by force. `wait` reports it as lost once it has ended; until then its worker is not idle."""

    def refresh(self) -> None:
        """Give back what idle workers hold, memory above all; only while nothing runs."""

    def close(self) -> None:
        """End everything, running attempts too."""
