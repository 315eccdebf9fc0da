"""Trials per second that the driver schedules, by attempts in flight, with a committed store and an executor that trains nothing.

Prints the driver's CPU milliseconds per trial and the trials per wall-clock second, for 1, 64, 512 and 2,048 attempts in flight.

    uv run python -m tests.performance.driver_throughput --trials 3000
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections import OrderedDict
from pathlib import Path

from agd_bench.scheduling.driver import Run
from agd_bench.scheduling.executors.protocol import Device, Outcome, Task
from agd_bench.store import Store
from tests.scheduling import plans

IN_FLIGHT = (1, 64, 512, 2048)
TARGET_TRIALS_PER_SECOND = 150


class Instant:
    """Executor with many workers, which completes the oldest attempt on each call of `wait`."""

    nodes = ("imagined",)

    def __init__(self, slots: int) -> None:
        self.slots = slots
        self._free = OrderedDict((f"worker-{number}", Device(f"worker-{number}")) for number in range(slots))
        self._at_work: OrderedDict[str, tuple[str, Task]] = OrderedDict()

    @property
    def idle(self) -> list[str]:
        """Workers without an attempt."""
        return list(self._free)

    def node_of(self, worker: str) -> str:
        """Return the only node."""
        return self.nodes[0]

    def set_aside(self, node: str) -> None:
        """Not used here."""
        raise AssertionError

    def device_of(self, worker: str) -> Device:
        """Return the worker's own device."""
        return self._free[worker]

    def submit(self, worker: str, task: Task) -> None:
        """Accept an attempt."""
        del self._free[worker]
        self._at_work[task.trial.id] = worker, task

    def wait(self, seconds: float) -> list[Outcome]:
        """Complete the attempt that was sent first."""
        if not self._at_work:
            return []
        _, (worker, task) = self._at_work.popitem(last=False)
        self._free[worker] = Device(worker)
        return [Outcome(task.trial.id, task.attempt, "result", plans.result_of(task.trial))]

    def kill(self, trial_id: str) -> None:
        """Not used here."""
        raise AssertionError

    def refresh(self) -> None:
        """Nothing to do."""

    def close(self) -> None:
        """Nothing to do."""


def main() -> None:
    """Run one plan for each number of attempts in flight."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--trials", type=int, default=3000, help="trials beyond those that fill the workers")
    trials = parser.parse_args().trials
    print("| attempts under way | ms of CPU a trial | trials/s |\n|--:|--:|--:|")
    for slots in IN_FLIGHT:
        planned = plans.plan(architectures=trials + slots, seeds=1, rounds=0)
        with tempfile.TemporaryDirectory() as folder, Store.open(Path(folder), planned) as store:
            run = Run(planned, store, Instant(slots), plans.HashTuner(), lambda event, snapshot: None)
            begun, cpu = time.perf_counter(), time.process_time()
            run.drive()
            seconds, cpu = time.perf_counter() - begun, time.process_time() - cpu
        count = len(planned.all_trials)
        print(f"| {slots} | {1e3 * cpu / count:.2f} | {count / seconds:.0f} |", flush=True)
    print(f"\nTarget at {IN_FLIGHT[-1]}: at least {TARGET_TRIALS_PER_SECOND} trials/s.")


if __name__ == "__main__":
    main()
