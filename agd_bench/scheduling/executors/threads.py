"""Several concurrent attempts in threads of this process, as in a worker with trials in flight, but without Ray."""

from __future__ import annotations

import queue
import threading
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import replace
from typing import TYPE_CHECKING

from agd_bench.cores import usable_cores
from agd_bench.errors import ExecutorError
from agd_bench.records import Trial
from agd_bench.scheduling.executors.in_process import HERE, no_exit
from agd_bench.scheduling.executors.protocol import Device, Outcome, RunTrial, Task
from agd_bench.scheduling.executors.worker import limit_threads, perform, prepare

if TYPE_CHECKING:
    from agd_bench.trial import Workplace


class ThreadExecutor:
    """Runs attempts in threads of this process: on a GPU, each with its own stream and graph; on a CPU, each on a core.

    A thread cannot be ended from outside: a killed attempt ends at its next step, or occupies its thread forever. Closing waits for all
    threads.

    Args:
        workplace: location of data, plug-ins and checkpoints.
        in_flight: largest number of concurrent attempts; the driver decides how many run.
        run_trial: None: `agd_bench.trial.run_trial`.
        warm_up: trials to prepare for.

    Raises:
        ExecutorError: more threads than cores on a CPU, which would be extremely slow.
    """

    def __init__(self, workplace: Workplace, in_flight: int, run_trial: RunTrial | None = None, warm_up: Sequence[Trial] = ()) -> None:
        device, cores = workplace.torch_device(), usable_cores()
        if device.type == "cpu" and in_flight * workplace.threads > cores:
            raise ExecutorError(f"{in_flight} trials in flight with {workplace.threads} threads each exceed the {cores} cores; use fewer")
        self.slots, self.nodes = in_flight, [HERE]
        self._workplace, self._run_trial = replace(workplace, exclusive=False, in_flight=in_flight), run_trial
        self._device = Device("in-process", in_flight, _memory(device.type))
        self._threads = ThreadPoolExecutor(in_flight, thread_name_prefix="trial")
        self._running: dict[str, tuple[Task, threading.Event]] = {}
        # Callbacks run in the threads of the trials; only the driver's thread may access `_running`.
        self._ended: queue.Queue[tuple[str, Outcome]] = queue.Queue()
        prepare(self._workplace, run_trial, warm_up)
        self._opened = ExitStack()
        # For the executor's whole lifetime: `os._exit` is shared by all threads, which would restore it in any order.
        self._opened.enter_context(no_exit())

    @property
    def idle(self) -> list[str]:
        """Threads without an attempt."""
        if not self.nodes:
            return []
        return [name for number in range(self.slots) if (name := f"thread-{number}") not in self._running]

    def node_of(self, worker: str) -> str:
        """This machine."""
        return HERE

    def set_aside(self, node: str) -> None:
        """Nothing can be started here any more."""
        self.nodes = []

    def device_of(self, worker: str) -> Device:
        """The one device, shared by all threads."""
        return self._device

    def submit(self, worker: str, task: Task) -> None:
        """Start an attempt in a thread."""
        cancelled = threading.Event()
        self._running[worker] = task, cancelled
        self._threads.submit(self._perform, task, cancelled).add_done_callback(lambda done: self._note(worker, task, cancelled, done))

    def _perform(self, task: Task, cancelled: threading.Event) -> Outcome:
        # A per-thread setting.
        limit_threads(self._workplace.threads)
        return perform(task, replace(self._workplace, cancelled=cancelled), self._run_trial)

    def _note(self, worker: str, task: Task, cancelled: threading.Event, done: Future[Outcome]) -> None:
        # Cancelled by `close`, so nothing waits for it.
        if done.cancelled():
            return
        error = done.exception()  # `perform` turns errors of trials into outcomes; this is a different error
        fault = Outcome(task.trial.id, task.attempt, "fault", message=str(error), error=ExecutorError(str(error)))
        outcome = done.result() if error is None else fault
        # An attempt that ended before noticing the kill still has a result.
        finished = outcome.result is not None and outcome.result.status == "done"
        if cancelled.is_set() and not finished:
            outcome = Outcome(task.trial.id, task.attempt, "lost", message="it was ended by force")
        self._ended.put((worker, outcome))

    def wait(self, seconds: float) -> list[Outcome]:
        """Return ended attempts, waiting up to the given seconds for the first one."""
        ended: list[Outcome] = []
        try:
            while self._running:
                worker, outcome = self._ended.get(timeout=0 if ended else seconds)
                del self._running[worker]
                ended.append(outcome)
        except queue.Empty:
            pass
        return ended

    def kill(self, trial_id: str) -> None:
        """Make the attempt raise at its next step."""
        for task, cancelled in self._running.values():
            if task.trial.id == trial_id:
                cancelled.set()

    def refresh(self) -> None:
        """Release the device memory cached by torch; only allowed while nothing runs."""
        if self._device.memory_bytes is not None:
            import torch

            torch.cuda.empty_cache()

    def close(self) -> None:
        """End running attempts at their next step, and wait for them."""
        for _, cancelled in self._running.values():
            cancelled.set()
        self._threads.shutdown(wait=True, cancel_futures=True)
        self._opened.close()


def _memory(device_type: str) -> int | None:
    """Total memory of the GPU; None on a CPU."""
    if device_type != "cuda":
        return None
    import torch

    return int(torch.cuda.get_device_properties(0).total_memory)
