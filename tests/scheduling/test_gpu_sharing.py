"""Sharing a GPU, tested on a fake GPU with known memory and throughput, so that the right number of trials can be computed."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest

from agd_bench.errors import InputError
from agd_bench.records import Trial, TrialResult
from agd_bench.scheduling.driver import Run
from agd_bench.scheduling.executors.protocol import Device, Outcome, Task
from agd_bench.scheduling.executors.worker import perform
from agd_bench.scheduling.gpu_sharing import CONTEXT_BYTES, Sharing, capacity
from agd_bench.scheduling.resources import Resources, workers_per_gpu
from agd_bench.store import Results, Store, load_results
from tests.scheduling import plans

GIBIBYTE = 2**30


class FakeGpu:
    """An executor with simulated GPUs that have the highest throughput with `best` trials at a time, each of which takes `peak` bytes.

    Attributes:
        together: for each attempt, the number of attempts on its GPU when it started, including itself, and whether it owned the GPU.
    """

    def __init__(self, best: int, peak: int = GIBIBYTE, memory: int = 80 * GIBIBYTE, workers: int = 16, gpus: int = 1) -> None:
        self.best, self.peak, self.memory, self.workers, self.gpus = best, peak, memory, workers, gpus
        self.at_work: dict[str, tuple[str, Task]] = {}
        self.together: list[tuple[int, bool]] = []
        self.most_bytes = 0

    @property
    def slots(self) -> int:
        """Number of workers of all GPUs."""
        return self.workers * self.gpus

    @property
    def idle(self) -> list[str]:
        """Workers without an attempt, alternating between the GPUs."""
        names = [f"{gpu}-{worker}" for worker in range(self.workers) for gpu in range(self.gpus)]
        return [name for name in names if name not in self.at_work]

    nodes = ("imagined",)

    def node_of(self, worker: str) -> str:
        """Return the only node."""
        return self.nodes[0]

    def set_aside(self, node: str) -> None:
        """Fail, because these tests never call it."""
        raise AssertionError

    def device_of(self, worker: str) -> Device:
        """Return the GPU, which is the first part of the worker's name."""
        return Device(f"gpu-{worker.split('-')[0]}", self.workers, self.memory)

    def _on(self, worker: str) -> int:
        return sum(self.device_of(other).name == self.device_of(worker).name for other in self.at_work)

    def submit(self, worker: str, task: Task) -> None:
        """Start an attempt; an exclusive attempt must be the only one on its GPU."""
        self.at_work[worker] = (worker, task)
        on = self._on(worker)
        self.together.append((on, bool(task.exclusive)))
        owners = [other for name, (_, other) in self.at_work.items() if other.exclusive and self.device_of(name) == self.device_of(worker)]
        assert not owners or on == 1
        self.most_bytes = max(self.most_bytes, on * (self.peak + CONTEXT_BYTES))

    def wait(self, seconds: float) -> list[Outcome]:
        """End the attempt that started first; with more than `best` at a time, each takes proportionally longer."""
        worker = next(iter(self.at_work), None)
        if worker is None:
            return []
        slowed = max(1.0, self._on(worker) / self.best)
        _, task = self.at_work.pop(worker)
        return [self.answer(task, slowed)]

    def answer(self, task: Task, slowed: float) -> Outcome:
        """Return a result with its seconds and memory."""
        result = plans.result_of(task.trial, seconds=10.0 * slowed)
        lane = {"device": "imagined", "exclusive": "yes" if task.exclusive else "no"}
        result = result.model_copy(update={"peak_memory_bytes": self.peak, "provenance": lane})
        return Outcome(task.trial.id, task.attempt, "result", result)

    def kill(self, trial_id: str) -> None:
        """Fail, because these tests never call it."""
        raise AssertionError

    def refresh(self) -> None:
        """Check that nothing runs."""
        assert not self.at_work

    def close(self) -> None:
        """Do nothing."""


def drive(folder: Path, executor: FakeGpu, architectures: int = 40, timed: int = 2, rounds: int = 0) -> Results:
    """Run a plan on the executor and return the results."""
    planned = plans.plan(architectures=architectures, seeds=2, rounds=rounds)
    with Store.open(folder, planned) as store:
        Run(planned, store, executor, plans.HashTuner(), timed=timed).drive()
    results = load_results(folder)
    assert (results.trials["status"] == "done").all()
    return results


@pytest.mark.parametrize(("best", "settled"), [(1, 1), (2, 2), (4, 4), (5, 8), (100, 16)])
def test_as_many_share_as_do_more_work(tmp_path: Path, best: int, settled: int) -> None:
    """The number of trials doubles as long as throughput rises, and falls back when it does not."""
    executor = FakeGpu(best)
    drive(tmp_path, executor, architectures=70)
    assert max(number for number, _ in executor.together[-20:]) == settled


def test_no_more_share_than_the_memory_holds(tmp_path: Path) -> None:
    """The limit follows from the memory measured alone, with headroom and the context of every process."""
    executor = FakeGpu(best=100, peak=10 * GIBIBYTE)
    drive(tmp_path, executor)
    assert max(number for number, _ in executor.together) == 5 == capacity(executor.device_of("0-0"), executor.peak)
    assert executor.most_bytes < executor.memory


def test_nothing_is_shared_before_memory_is_known(tmp_path: Path) -> None:
    """The first attempt on each GPU runs alone, even without a timing lane."""
    executor = FakeGpu(best=4, gpus=2)
    drive(tmp_path, executor, timed=0)
    assert [number for number, _ in executor.together[:2]] == [1, 1]


def test_the_timing_lane_owns_the_device_and_says_so(tmp_path: Path) -> None:
    """Finals of the first architectures at the first seed run alone and are marked so, even those of a tuned algorithm, which come late."""
    executor = FakeGpu(best=8)
    results = drive(tmp_path, executor, architectures=12, timed=3, rounds=2)
    trials = results.trials.set_index("trial_id")
    lane = results.attempts.set_index("trial_id")["provenance"].map(lambda text: json.loads(text)["exclusive"])
    timed = (trials["purpose"] == "final") & (trials["seed"] == 0) & trials["architecture"].isin(["cell-0", "cell-1", "cell-2"])
    assert (lane[timed[timed].index] == "yes").all()
    assert timed.sum() == 6
    assert (lane == "no").sum() > len(lane) / 2
    assert all(number == 1 for number, exclusive in executor.together if exclusive)


def test_memory_that_did_not_suffice_makes_fewer_share(tmp_path: Path) -> None:
    """The trial that ran out of memory is repeated alone, and from then on one trial fewer shares the GPU."""

    class Starving(FakeGpu):
        starved = ""

        def answer(self, task: Task, slowed: float) -> Outcome:
            if len(self.at_work) == 7 and not self.starved:
                self.starved = task.trial.id
                return Outcome(task.trial.id, task.attempt, "out of memory", message="CUDA out of memory")
            return super().answer(task, slowed)

    executor = Starving(best=100)
    results = drive(tmp_path, executor)
    attempts = results.attempts[results.attempts["trial_id"] == executor.starved]
    assert list(attempts["outcome"]) == ["out of memory", "done"]
    assert json.loads(attempts["provenance"].iloc[1])["exclusive"] == "yes"
    assert max(number for number, _ in executor.together[-20:]) == 7


def test_a_device_of_one_slot_is_left_alone() -> None:
    """On a CPU or a whole GPU nothing is shared, and the workplace says whether trials are exclusive."""
    sharing, device = Sharing(plans.plan()), Device("worker-0")
    assert sharing.number(device) == 1
    assert not sharing.is_timed(plans.plan().trials[0], device)


def test_a_task_says_whether_it_owns_its_device(tmp_path: Path) -> None:
    """The workplace's setting applies only to tasks that do not set their own."""
    seen = []

    def look(one: Trial, place: object, attempt: int = 1, seconds_left: float | None = None) -> TrialResult:
        seen.append(getattr(place, "exclusive", None))
        return plans.result_of(one)

    place = dataclasses.replace(plans.workplace(tmp_path), exclusive=True)
    task = Task(plans.plan().trials[0], 1, 60.0)
    for exclusive in (None, False, True):
        perform(dataclasses.replace(task, exclusive=exclusive), place, look)
    assert seen == [True, False, True]


@pytest.mark.parametrize(
    ("num_workers", "cpus", "gpus", "threads", "each"),
    [(None, 16, 1, 1, 16), (None, 64, 2, 1, 16), (None, 16, 2, 2, 4), (6, 16, 1, 1, 6), (1, 2, 4, 1, 1)],
)
def test_workers_of_a_gpu(num_workers: int | None, cpus: float, gpus: float, threads: int, each: int) -> None:
    """There are as many workers as the cores can feed, up to a useful maximum, and at least one."""
    assert workers_per_gpu(num_workers, cpus, gpus, threads) == each


def test_sharing_gpus_in_one_process_is_refused() -> None:
    """Sharing a GPU needs Ray; one process would silently run one trial at a time, so it is an error."""
    with pytest.raises(InputError, match="ray"):
        Resources("in-process", share_gpus=True)
