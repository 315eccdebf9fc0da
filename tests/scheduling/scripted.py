"""An executor with outcomes scripted by the test, and a driver that records events."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

from agd_bench.records import Plan
from agd_bench.scheduling.driver import Run
from agd_bench.scheduling.executors.in_process import InProcessExecutor
from agd_bench.scheduling.executors.protocol import Device, Outcome, Task
from agd_bench.scheduling.progress import MOST_SHOWN, Event, Snapshot
from agd_bench.store import Store
from tests.scheduling.plans import HashTuner, result_of

Answer = Callable[[Task], Outcome | None]


class Clock:
    """A replacement for the driver's `time` module that a test advances by hand, however busy the machine is."""

    now = 0.0

    def monotonic(self) -> float:
        """Return the seconds so far."""
        return self.now


class Scripted:
    """An executor that ends each attempt with the outcome returned by a function; for None, the attempt hangs until it is killed."""

    def __init__(self, answer: Answer, slots: int = 3, nodes: int = 1) -> None:
        self.answer, self.slots = answer, slots
        self.nodes = [f"node-{number}" for number in range(nodes)]
        self.workers = [f"node-{slot % nodes}/{slot}" for slot in range(slots)]
        self.where: dict[str, str] = {}
        self.at_work: dict[str, Task] = {}
        self.sent: list[tuple[str, int]] = []
        self.together: list[set[str]] = []
        self.killed: list[str] = []
        self.ended: list[Outcome] = []
        self.refreshed = 0

    @property
    def idle(self) -> list[str]:
        """Free slots of the nodes in use; slots are assigned to nodes in turn."""
        busy = set(self.where.values())
        return [name for name in self.workers if name not in busy and self.node_of(name) in self.nodes]

    def node_of(self, worker: str) -> str:
        """Return the node, which is the first part of the worker's name."""
        return worker.partition("/")[0]

    def set_aside(self, node: str) -> None:
        """End the attempts running on a node, and offer its slots no more."""
        self.nodes.remove(node)
        for trial_id in [trial_id for trial_id, worker in self.where.items() if self.node_of(worker) == node]:
            task = self.at_work.pop(trial_id)
            del self.where[trial_id]
            self.ended.append(Outcome(trial_id, task.attempt, "lost", message="its node was set aside"))

    def device_of(self, worker: str) -> Device:
        """Return a separate device for each slot."""
        return Device(worker)

    def submit(self, worker: str, task: Task) -> None:
        """Start a task on a worker."""
        assert len(self.at_work) < self.slots
        self.at_work[task.trial.id], self.where[task.trial.id] = task, worker
        self.sent.append((task.trial.id, task.attempt))
        self.together.append(set(self.at_work))

    def wait(self, seconds: float) -> list[Outcome]:
        """Return attempts that were ended by force, if any, or else the outcome of the first task that does not hang."""
        if self.ended:
            ended, self.ended = self.ended, []
            return ended
        for trial_id, task in self.at_work.items():
            outcome = self.answer(task)
            if outcome is not None:
                del self.at_work[trial_id], self.where[trial_id]
                return [outcome]
        time.sleep(0.01)
        return []

    def kill(self, trial_id: str) -> None:
        """End a trial's attempt by force."""
        self.killed.append(trial_id)
        task = self.at_work.pop(trial_id)
        del self.where[trial_id]
        self.ended.append(Outcome(trial_id, task.attempt, "lost", message="ended by force"))

    def refresh(self) -> None:
        """Count the call, which is allowed only while nothing runs."""
        assert not self.at_work
        self.refreshed += 1

    def close(self) -> None:
        """Do nothing."""


def good(task: Task) -> Outcome:
    """Return the outcome of a successful attempt."""
    return Outcome(task.trial.id, task.attempt, "result", result_of(task.trial))


def drive(folder: Path, planned: Plan, executor: Scripted | InProcessExecutor, **more: object) -> list[Event]:
    """Run a plan to its end and return the events."""
    events: list[Event] = []

    def observe(event: Event | None, snapshot: Snapshot) -> None:
        assert sum(snapshot.counts.values()) == snapshot.total
        assert len(snapshot.running) == min(MOST_SHOWN, snapshot.counts.get("running", 0))
        if event is not None:
            events.append(event)

    with Store.open(folder, planned) as store:
        Run(planned, store, executor, HashTuner(), observe, **more).drive()  # type: ignore[arg-type]
    return events
