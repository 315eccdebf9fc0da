"""Trials in flight in one process give the same results as alone, however the others end."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from agd_bench.algorithms import agd
from agd_bench.errors import ExecutorError, InputError, OutOfMemory
from agd_bench.records import Trial, TrialResult
from agd_bench.scheduling.executors import threads
from agd_bench.scheduling.executors.protocol import Task
from agd_bench.scheduling.executors.threads import ThreadExecutor
from agd_bench.scheduling.resources import Resources
from agd_bench.scheduling.runs import run_plan
from agd_bench.store import load_results
from agd_bench.training import turns
from agd_bench.training.concurrency import draws
from agd_bench.training.data import load_splits
from agd_bench.training.fit import Fit
from agd_bench.training.turns import OwnGenerators
from agd_bench.trial import Workplace, run_trial
from tests.scheduling import plans
from tests.short_trials import trial

DROPPING = '''"""Networks that draw in training."""
from torch import nn
def sample(rng):
    return f"{rng.integers(8, 64)}"
def build(architecture, in_channels, num_classes):
    width = int(architecture)
    layers = nn.Linear(64 * in_channels, width), nn.ReLU(), nn.Dropout(0.2), nn.Linear(width, num_classes)
    return nn.Sequential(nn.Flatten(), *layers)
'''


@pytest.fixture(autouse=True)
def cores(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pretend that the machine has four cores."""
    monkeypatch.setattr(threads, "usable_cores", lambda: 4)


def numbers(result: TrialResult) -> tuple[Any, ...]:
    """Return everything that a trial measures except for seconds."""
    points = [(point.train_loss, point.train_accuracy, point.val_loss, point.learning_rate) for point in result.curve]
    return result.status, points, result.test_accuracy, result.flops, result.parameters


def test_each_measures_what_it_measures_alone(tmp_path: Path) -> None:
    """Results are bitwise equal to those of single trials, even if some draw random numbers in training and one diverges."""
    (tmp_path / "dropping.py").write_text(DROPPING)
    own = {"search_space": "dropping", "search_space_label": "dropping", "search_space_options": {}}
    chain = {"search_space": "plain_chain", "search_space_options": {}, "architecture": "c8-c8"}
    trials = [
        trial(),
        trial(**own, architecture="32", algorithm="sgd"),
        trial(architecture="2x64", algorithm="nadamw", seed=3),
        trial(hyperparameters={"gain": 1e30}),
        trial(**own, architecture="48", seed=1),
        trial(**chain, algorithm="nas_bench_201_sgd"),
    ]
    place = Workplace(tmp_path, {"search_spaces": (tmp_path,)}, device="cpu")
    expected = {one.id: numbers(run_trial(one, place)) for one in trials}
    state, tf32 = torch.get_rng_state(), torch.backends.cudnn.allow_tf32
    executor = ThreadExecutor(place, 3)
    left = list(trials)
    found: dict[str, TrialResult] = {}
    while len(found) < len(trials):
        for worker in executor.idle[: len(left)]:
            executor.submit(worker, Task(left.pop(0), 1, 60.0))
        for outcome in executor.wait(30.0):
            assert outcome.result is not None, outcome.message
            found[outcome.trial_id] = outcome.result
    executor.close()
    assert {name: numbers(result) for name, result in found.items()} == expected
    lanes = [found[one.id].provenance["in_flight"] for one in trials]
    assert [lane == "3" for lane in lanes] == [True, False, True, True, False, True]
    assert "draws random numbers" in lanes[1]
    assert {result.provenance["exclusive"] for result in found.values()} == {"no"}
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.backends.cudnn.allow_tf32 == tf32


def test_trainings_that_draw_take_turns_by_epoch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A training that draws random numbers can start and finish between two epochs of another, and both give the same results as alone."""
    (tmp_path / "dropping.py").write_text(DROPPING)
    own = {"search_space": "dropping", "search_space_label": "dropping", "search_space_options": {}, "architecture": "32"}
    first, second = trial(**own, seed=1), trial(**own, seed=2)
    place = Workplace(tmp_path, {"search_spaces": (tmp_path,)}, device="cpu")
    expected = [numbers(run_trial(one, place)) for one in (first, second)]
    between, go_on, leave = threading.Event(), threading.Event(), OwnGenerators.__exit__

    def pause(self: OwnGenerators, *given: Any) -> None:
        leave(self, *given)
        if not between.is_set():
            between.set()
            assert go_on.wait(60)

    monkeypatch.setattr(OwnGenerators, "__exit__", pause)
    in_flight = replace(place, in_flight=2)
    with ThreadPoolExecutor(1) as other:
        paused = other.submit(run_trial, first, in_flight)
        assert between.wait(60)
        try:
            found = run_trial(second, in_flight)
        finally:
            go_on.set()
        assert [numbers(paused.result()), numbers(found)] == expected


def test_a_wait_for_another_is_not_charged_and_stops_its_deadline(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A training that waits 1,000 s for another's random numbers is done within its deadline of 60 s, and charged for less."""
    (tmp_path / "dropping.py").write_text(DROPPING)
    asked = trial(search_space="dropping", search_space_label="dropping", search_space_options={}, architecture="32")
    place = Workplace(tmp_path, {"search_spaces": (tmp_path,)}, device="cpu", in_flight=2)
    run_trial(asked, place)
    offset, waits, clock = [0.0], threading.Event(), time.perf_counter

    class Noticed(turns.Queue):
        def acquire(self) -> None:
            if self._holder not in (0, threading.get_ident()):
                waits.set()
            super().acquire()

    monkeypatch.setattr(turns, "perf_counter", lambda: clock() + offset[0])
    monkeypatch.setattr(turns.DEFAULT_GENERATORS, "_lock", Noticed())
    with ThreadPoolExecutor(1) as other:
        with turns.DEFAULT_GENERATORS:
            waiting = other.submit(run_trial, asked, place, 1, 60.0)
            assert waits.wait(60)
            offset[0] += 1000.0
        result = waiting.result()
    assert result.status == "done"
    assert result.total_seconds < 60


def test_they_are_at_work_at_the_same_time(tmp_path: Path) -> None:
    """Timed trials have the process to themselves; all others run concurrently, up to the limit."""
    at_work, most, lock = 0, [0, 0], threading.Lock()

    def counted(one: Trial, workplace: Workplace, attempt: int = 1, seconds_left: float | None = None) -> TrialResult:
        nonlocal at_work
        with lock:
            at_work += 1
            most[workplace.exclusive] = max(most[workplace.exclusive], at_work)
        time.sleep(0.02)
        with lock:
            at_work -= 1
        return plans.result_of(one, seconds=0.02)

    planned = plans.plan(architectures=12, seeds=2, rounds=0)
    resources = Resources("in-process", in_flight=3, timed=2)
    run_plan(planned, tmp_path, plans.workplace(tmp_path), resources, run_trial=counted, tuner=plans.HashTuner())
    assert (load_results(tmp_path).trials["status"] == "done").all()
    assert most[True] == 1
    assert 2 <= most[False] <= 3


def test_one_without_memory_is_repeated_alone(tmp_path: Path) -> None:
    """After running out of memory, a trial is repeated with nothing else running, and the other trials are not repeated."""
    lock, at_work, company = threading.Lock(), set(), {}

    def starving(one: Trial, workplace: Workplace, attempt: int = 1, seconds_left: float | None = None) -> TrialResult:
        with lock:
            at_work.add(one.id)
            company[one.id, attempt] = len(at_work)
        time.sleep(0.01)
        with lock:
            at_work.discard(one.id)
        if one.architecture == "cell-3" and attempt == 1:
            raise OutOfMemory("too many")
        return plans.result_of(one, seconds=0.01)

    planned = plans.plan(architectures=8, seeds=1, rounds=0)
    resources = Resources("in-process", in_flight=3, timed=0)
    run_plan(planned, tmp_path, plans.workplace(tmp_path), resources, run_trial=starving, tuner=plans.HashTuner())
    trials = load_results(tmp_path).trials.set_index("architecture")
    assert (trials["status"] == "done").all()
    assert [name for name, count in trials["attempts"].items() if count > 1] == ["cell-3"]
    assert next(count for (_, attempt), count in company.items() if attempt == 2) == 1


def test_one_that_is_killed_ends_at_its_next_step_and_is_lost(tmp_path: Path) -> None:
    """A killed trial keeps its thread busy until its next step, and is then reported as lost exactly once."""
    executor = ThreadExecutor(Workplace(tmp_path, device="cpu"), 2)
    endless = trial(epochs=1_000_000)
    executor.submit(executor.idle[0], Task(endless, 1, 1e6))
    executor.kill(endless.id)
    assert len(executor.idle) == 1
    ended = executor.wait(600.0)
    executor.close()
    assert [(outcome.trial_id, outcome.kind, outcome.result) for outcome in ended] == [(endless.id, "lost", None)]
    assert len(executor.idle) == 2


def test_a_hung_one_is_not_begun_again_beside_itself(tmp_path: Path) -> None:
    """A hung trial is lost only once its thread has ended, so that its second attempt never overlaps with the first."""
    lock, at_work, beside = threading.Lock(), set[str](), []

    def hang_until_killed(one: Trial, workplace: Workplace, attempt: int = 1, seconds_left: float | None = None) -> TrialResult:
        with lock:
            beside.append(one.id in at_work)
            at_work.add(one.id)
        if one.seed == 3 and attempt == 1:
            assert workplace.cancelled is not None
            assert workplace.cancelled.wait(600.0)
            others_done.wait(600.0)
        elif one.seed == 7:
            others_done.set()
        with lock:
            at_work.remove(one.id)
        return plans.result_of(one, status="failed" if one.seed == 3 and attempt == 1 else "done")

    others_done = threading.Event()
    planned = plans.plan(architectures=1, seeds=8, rounds=0, deadline_seconds=0.01)
    place, resources = plans.workplace(tmp_path), Resources("in-process", in_flight=2, timed=0)
    run_plan(planned, tmp_path, place, resources, run_trial=hang_until_killed, tuner=plans.HashTuner(), grace_seconds=0.01)
    trials = load_results(tmp_path).trials
    assert not any(beside)
    assert list(trials["status"]) == ["done"] * 8
    assert list(trials["attempts"]) == [1, 1, 1, 2, 1, 1, 1, 1]


def test_a_sweep_in_flight_is_the_sweep(tmp_path: Path) -> None:
    """A sweep with several trials in flight gives the same rows as one trial after the other, with real training."""
    from agd_bench.planning.planner import plan
    from agd_bench.records import Sweep

    asked = {
        "name": "threads",
        "search_spaces": [{"name": "fcn", "architectures": ["2x32", "3x16"], "options": {"size": 8}}],
        "datasets": [{"name": "digits", "share": 0.1}],
        "algorithms": [{"name": "agd"}, {"name": "sgd"}],
        "epochs": 2,
        "seeds": 2,
    }
    made = plan(Sweep.model_validate(asked))
    tables = []
    for count in (1, 3):
        folder = tmp_path / str(count)
        run_plan(made, folder, Workplace(folder, device="cpu"), Resources("in-process", in_flight=count, timed=1))
        tables.append(load_results(folder).trials.set_index("trial_id").sort_index())
    columns = ["status", "train_loss", "val_loss", "test_accuracy", "flops"]
    assert tables[0][columns].equals(tables[1][columns])


def test_what_draws_is_found_out_without_changing_anything() -> None:
    """Whether a network draws random numbers is found by trying, without changing generators, weights or the mode."""
    split = load_splits("digits", Path(), (), 0.1, "cpu").train
    for layers, expected in (((), False), ((torch.nn.Dropout(),), True), ((torch.nn.BatchNorm1d(64), torch.nn.RReLU()), True)):
        network = torch.nn.Sequential(torch.nn.Flatten(), *layers, torch.nn.Linear(64, 10, bias=False)).eval()
        before = {name: value.clone() for name, value in network.state_dict().items()}
        fit = Fit(network, torch.optim.SGD(network.parameters()), None, agd.loss)
        with torch.random.fork_rng():
            assert draws(fit, split) is expected
        assert not network.training
        assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())


def test_more_than_the_cores_hold_is_refused(tmp_path: Path) -> None:
    """More trials in flight than cores, or none, are rejected before anything runs."""
    with pytest.raises(ExecutorError, match=r"5 trials in flight .*4 cores"):
        ThreadExecutor(Workplace(tmp_path, device="cpu"), 5)
    with pytest.raises(InputError, match="at least 1"):
        Resources("in-process", in_flight=0)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_graphs_in_flight_on_a_gpu_measure_what_they_measure_alone(tmp_path: Path) -> None:
    """Six trainings, three at a time, are each captured on their own stream; results differ only by the order of atomic additions."""
    trials = [
        trial(algorithm=algorithm, architecture=architecture, dataset_share=1.0)
        for algorithm in ("agd", "nas_bench_201_sgd", "nadamw")
        for architecture in ("3x32", "2x64")
    ]
    place = Workplace(tmp_path, device="cuda")
    expected = [run_trial(one, place) for one in trials]
    executor = ThreadExecutor(place, 3)
    found: dict[str, TrialResult] = {}
    left = list(trials)
    while len(found) < len(trials):
        for worker in executor.idle[: len(left)]:
            executor.submit(worker, Task(left.pop(0), 1, 600.0))
        for outcome in executor.wait(60.0):
            assert outcome.result is not None, outcome.message
            found[outcome.trial_id] = outcome.result
    executor.close()
    for one in expected:
        other = found[one.trial_id]
        assert (one.provenance["step"], other.provenance["step"]) == ("graph", "graph")
        assert [point.train_loss for point in other.curve] == pytest.approx([point.train_loss for point in one.curve], rel=1e-3)
        assert other.test_accuracy == pytest.approx(one.test_accuracy, abs=0.02)
        assert other.peak_memory_bytes is None
