"""The loop: retries, deadlines, interruptions, and a machine of random events that must lose and repeat nothing."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import ClassVar

import pandas as pd
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from agd_bench.errors import DatasetError, ExecutorError, StorageFullError
from agd_bench.records import Plan, Trial, TrialResult
from agd_bench.scheduling.driving import HOPELESS, OUT_OF_TIME, UNNEEDED, Run
from agd_bench.scheduling.executing import Device, InProcessExecutor, Outcome, Task
from agd_bench.scheduling.progress import Event, Snapshot
from agd_bench.store import Store, load_results, status
from tests.scheduling.plans import ADAPTIVE, HashTuner, miss_data, plan, result_of, succeed, uneven, workplace

Answer = Callable[[Task], Outcome | None]


class Scripted:
    """An executor that answers each attempt as a function says; null: it hangs until it is killed."""

    def __init__(self, answer: Answer, slots: int = 3) -> None:
        self.answer, self.slots = answer, slots
        self.at_work: dict[str, Task] = {}
        self.sent: list[tuple[str, int]] = []
        self.together: list[set[str]] = []
        self.killed: list[str] = []
        self.refreshed = 0

    @property
    def idle(self) -> list[str]:
        """Slots that are not at work."""
        return [f"scripted-{slot}" for slot in range(len(self.at_work), self.slots)]

    def device_of(self, worker: str) -> Device:
        """Each slot is its own."""
        return Device(worker)

    def submit(self, worker: str, task: Task) -> None:
        """Take the task."""
        assert len(self.at_work) < self.slots
        self.at_work[task.trial.id] = task
        self.sent.append((task.trial.id, task.attempt))
        self.together.append(set(self.at_work))

    def wait(self, seconds: float) -> list[Outcome]:
        """Answer the task that was sent first and does not hang."""
        for trial_id, task in self.at_work.items():
            outcome = self.answer(task)
            if outcome is not None:
                del self.at_work[trial_id]
                return [outcome]
        time.sleep(0.01)
        return []

    def kill(self, trial_id: str) -> None:
        """Stop working on it."""
        self.killed.append(trial_id)
        self.at_work.pop(trial_id, None)

    def refresh(self) -> None:
        """Only while nothing runs."""
        assert not self.at_work
        self.refreshed += 1

    def close(self) -> None:
        """Nothing to do."""


def good(task: Task) -> Outcome:
    """A result."""
    return Outcome(task.trial.id, task.attempt, "result", result_of(task.trial))


def drive(folder: Path, planned: Plan, executor: Scripted | InProcessExecutor, **more: object) -> list[Event]:
    """Run a plan to its end and return what happened."""
    events: list[Event] = []

    def observe(event: Event | None, snapshot: Snapshot) -> None:
        assert sum(snapshot.counts.values()) == snapshot.total
        assert len(snapshot.running) == snapshot.counts.get("running", 0)
        if event is not None:
            events.append(event)

    with Store.open(folder, planned) as store:
        Run(planned, store, executor, HashTuner(), observe, **more).drive()  # type: ignore[arg-type]
    return events


def test_a_plan_is_done(tmp_path: Path) -> None:
    """Every trial ends once, on as many slots as there are."""
    planned = plan(architectures=3, proxies=2)
    executor = Scripted(good)
    events = drive(tmp_path, planned, executor)
    trials = load_results(tmp_path).trials
    assert (trials["status"] == "done").all()
    assert sorted(executor.sent) == sorted((trial.id, 1) for trial in planned.all_trials)
    assert max(len(group) for group in executor.together) == 3
    assert [event.kind for event in events].count("ended") == len(planned.all_trials)


def test_a_lost_attempt_is_repeated_up_to_the_limit(tmp_path: Path) -> None:
    """A trial that takes its worker with it each time fails with the reason; others are not held up."""
    planned = plan(max_attempts=3)
    poison, unlucky = planned.trials[0].id, planned.trials[1].id

    def answer(task: Task) -> Outcome:
        if task.trial.id == poison or (task.trial.id == unlucky and task.attempt < 3):
            return Outcome(task.trial.id, task.attempt, "lost", message="its worker died")
        return good(task)

    events = drive(tmp_path, planned, Scripted(answer))
    trials = load_results(tmp_path).trials.set_index("trial_id")
    assert (trials.loc[poison, "status"], trials.loc[poison, "attempts"]) == ("failed", 3)
    assert "lost 3 times" in str(trials.loc[poison, "reason"])
    assert (trials.loc[unlucky, "status"], trials.loc[unlucky, "attempts"]) == ("done", 3)
    assert (trials["status"] == "done").sum() == len(trials) - 1
    assert [event.kind for event in events if event.trial.id == unlucky] == ["started", "lost", "retried", "lost", "retried", "ended"]


def test_out_of_memory_is_tried_once_more_alone(tmp_path: Path) -> None:
    """The second attempt has fresh workers and the executor for itself; a second failure is final."""
    planned = plan(architectures=4)
    large, huge = planned.trials[0].id, planned.trials[2].id

    def answer(task: Task) -> Outcome:
        if (task.trial.id == large and task.attempt == 1) or task.trial.id == huge:
            return Outcome(task.trial.id, task.attempt, "out of memory", message="CUDA out of memory")
        return good(task)

    executor = Scripted(answer)
    drive(tmp_path, planned, executor)
    results = load_results(tmp_path)
    trials = results.trials.set_index("trial_id")
    assert (trials.loc[large, "status"], trials.loc[large, "attempts"]) == ("done", 2)
    assert (trials.loc[huge, "status"], trials.loc[huge, "attempts"]) == ("failed", 2)
    assert "for itself" in str(trials.loc[huge, "reason"])
    for trial_id in (large, huge):
        again = executor.sent.index((trial_id, 2))
        assert executor.together[again] == {trial_id}
        assert not any(trial_id in group for group in executor.together[again + 1 :])
    assert executor.refreshed == 2
    assert list(results.attempts["outcome"]).count("out of memory") == 3


def test_a_hung_attempt_is_ended_and_repeated(tmp_path: Path) -> None:
    """An attempt that does not answer after its deadline is killed from outside."""
    planned = plan(deadline_seconds=0.05)
    stuck = planned.trials[0].id
    executor = Scripted(lambda task: None if task.trial.id == stuck and task.attempt == 1 else good(task))
    events = drive(tmp_path, planned, executor, grace_seconds=0.1)
    results = load_results(tmp_path)
    assert executor.killed == [stuck]
    assert (results.trials["status"] == "done").all()
    lost = results.attempts[results.attempts["outcome"] == "lost"].iloc[0]
    assert lost["seconds"] >= 0.15
    assert "no answer" in lost["reason"]
    assert [event.kind for event in events if event.trial.id == stuck] == ["started", "lost", "retried", "ended"]


def test_a_deadline_is_sent_with_the_trial(tmp_path: Path) -> None:
    """The worker knows how long it has, so that it can end the trial itself."""
    planned = plan(architectures=1, deadline_seconds=7.0)
    seen: list[float] = []

    def answer(task: Task) -> Outcome:
        seen.append(task.seconds_left)
        return good(task)

    drive(tmp_path, planned, Scripted(answer))
    assert set(seen) == {7.0}


def test_studies_of_which_nothing_finished_end_with_a_reason(tmp_path: Path) -> None:
    """Their finals are failed rows that were never begun."""
    planned = plan(architectures=1, seeds=2)

    def answer(task: Task) -> Outcome:
        ends = "diverged" if task.trial.purpose == "tuning" else "done"
        return Outcome(task.trial.id, task.attempt, "result", result_of(task.trial, status=ends))

    events = drive(tmp_path, planned, Scripted(answer))
    trials = load_results(tmp_path).trials
    finals = trials[(trials["algorithm"] == "tuned") & (trials["purpose"] == "final")]
    assert list(finals["status"]) == ["failed"] * 2
    assert list(finals["reason"]) == [HOPELESS] * 2
    assert list(finals["attempts"]) == [0, 0]
    assert [event.kind for event in events].count("ended") == len(trials)


def test_what_is_wrong_with_the_installation_stops_the_run(tmp_path: Path) -> None:
    """A missing data set is raised as it is; the attempt is lost without blame."""
    planned = plan()
    with pytest.raises(DatasetError, match="the images went away"):
        drive(tmp_path, planned, InProcessExecutor(workplace(tmp_path), miss_data))
    with Store.open(tmp_path, planned) as store:
        standings = list(store.standings().values())
    assert [standing.attempts for standing in standings].count(1) == 1
    assert {(standing.status, standing.losses) for standing in standings} == {("pending", 0)}


def test_a_result_that_comes_with_bad_news_is_kept(tmp_path: Path) -> None:
    """What another worker finished at the moment when the installation failed is stored."""
    planned = plan(architectures=2, seeds=1, rounds=0)
    with Store.open(tmp_path, planned) as store:
        executor = Scripted(good, slots=2)
        steps = Run(planned, store, executor, HashTuner())
        steps._step([])
        first, second = executor.at_work.values()
        error = DatasetError("the images went away")
        with pytest.raises(DatasetError):
            steps._step([Outcome(first.trial.id, 1, "stop", message=str(error), error=error), good(second)])
        standings = store.standings()
    assert (standings[first.trial.id].status, standings[second.trial.id].status) == ("running", "done")


def test_what_is_told_is_on_the_disk(tmp_path: Path) -> None:
    """An observer that looks at the store on every event finds there what it was told."""
    planned = plan(architectures=1)

    def look(event: Event | None, snapshot: Snapshot) -> None:
        if event is not None:
            row = load_results(tmp_path).trials.set_index("trial_id").loc[event.trial.id]
            assert row["status"] == ("done" if event.kind == "ended" else "running")

    with Store.open(tmp_path, planned) as store:
        Run(planned, store, Scripted(good, slots=1), HashTuner(), look).drive()


def test_a_keyboard_interrupt_leaves_everything_in_order(tmp_path: Path) -> None:
    """Ctrl-C in the middle: what ran is pending again, nothing is blamed, and the run goes on."""
    planned = plan()
    calls = 0

    def interrupt(one: Trial, place: object, attempt: int = 1, seconds_left: float | None = None) -> TrialResult:
        nonlocal calls
        calls += 1
        if calls == 4:
            raise KeyboardInterrupt
        return result_of(one)

    with pytest.raises(KeyboardInterrupt):
        drive(tmp_path, planned, InProcessExecutor(workplace(tmp_path), interrupt))
    results = load_results(tmp_path)
    assert list(results.attempts["outcome"]).count("done") == 3
    assert list(results.attempts["reason"]).count("the driver was interrupted") == 1
    drive(tmp_path, planned, InProcessExecutor(workplace(tmp_path), interrupt))
    assert (load_results(tmp_path).trials["status"] == "done").all()


def test_a_time_limit_ends_a_run_cleanly_and_the_next_goes_on(tmp_path: Path) -> None:
    """What ran at the limit is lost without blame and charged; nothing is begun after it; the rest is done by the next run."""
    planned = plan()
    stuck = planned.trials[0].id
    executor = Scripted(lambda task: None if task.trial.id == stuck else good(task), slots=2)
    stop_at = time.monotonic() + 0.5
    events = drive(tmp_path, planned, executor, stop_at=stop_at)
    assert time.monotonic() >= stop_at
    assert executor.killed == [stuck]
    results = load_results(tmp_path)
    lost = results.attempts[results.attempts["trial_id"] == stuck].iloc[0]
    assert (lost["outcome"], lost["reason"]) == ("lost", OUT_OF_TIME)
    assert lost["seconds"] > 0
    assert not any(event.kind == "lost" for event in events)
    with Store.open(tmp_path, planned) as store:
        assert store.standings()[stuck].losses == 0
    drive(tmp_path, planned, Scripted(good))
    assert (load_results(tmp_path).trials["status"] == "done").all()


def test_what_ends_at_the_limit_is_kept(tmp_path: Path) -> None:
    """The in-process executor is busy until its trial ends, which may be after the limit; the result counts."""
    planned = plan(rounds=0)

    def slow(one: Trial, place: object, attempt: int = 1, seconds_left: float | None = None) -> TrialResult:
        time.sleep(max(0.0, stop_at - time.monotonic()) + 0.01)
        return result_of(one)

    stop_at = time.monotonic() + 3  # time to open the store, on a busy machine too
    drive(tmp_path, planned, InProcessExecutor(workplace(tmp_path), slow), stop_at=stop_at)
    assert list(load_results(tmp_path).trials["status"]).count("done") == 1


@pytest.mark.parametrize(("checkpoint_seconds", "begun"), [(60.0, 1), (5.0, 8)])
def test_near_the_limit_only_what_can_end_or_be_continued_is_begun(tmp_path: Path, checkpoint_seconds: float, begun: int) -> None:
    """A trial of 10 s is not begun with 5 s left, unless it leaves checkpoints on its way."""
    planned = plan(rounds=0, architectures=4, checkpoint_seconds=checkpoint_seconds)

    def answer(task: Task) -> Outcome:
        return Outcome(task.trial.id, task.attempt, "result", result_of(task.trial, seconds=10.0))

    executor = Scripted(answer, slots=1)
    drive(tmp_path, planned, executor, stop_at=time.monotonic() + 5.0)
    assert len(executor.sent) == begun
    assert executor.killed == []
    assert list(load_results(tmp_path).trials["status"]).count("done") == begun


@pytest.mark.parametrize("sent", [0, 3, 9, 14, 20])
def test_an_adaptive_run_that_is_stopped_goes_on_identically(tmp_path: Path, sent: int) -> None:
    """Every row of an interrupted run is that of an undisturbed one; what was not needed is an end, cost nothing and says why."""
    planned = plan(architectures=5, seeds=5, rounds=2, adaptive=ADAPTIVE)

    def answer(task: Task) -> Outcome:
        return Outcome(task.trial.id, task.attempt, "result", uneven(task.trial))

    def interrupt(task: Task) -> Outcome:
        if len(executor.sent) > sent:
            raise KeyboardInterrupt
        return answer(task)

    executor = Scripted(interrupt)
    with pytest.raises(KeyboardInterrupt):
        drive(tmp_path / "stopped", planned, executor)
    drive(tmp_path / "stopped", planned, Scripted(answer))
    drive(tmp_path / "whole", planned, Scripted(answer))
    stopped, whole = (load_results(tmp_path / name).trials for name in ("stopped", "whole"))
    apart = ["attempts", "charged_seconds"]
    pd.testing.assert_frame_equal(stopped.drop(columns=apart), whole.drop(columns=apart), check_exact=True)
    spared = whole[whole["status"] == "unneeded"]
    assert len(spared) == 2 * 3 * 3
    assert (spared["seed"] >= 2).all()
    assert spared["reason"].eq(UNNEEDED).all()
    assert (spared["charged_seconds"] == 0).all()
    assert status(tmp_path / "stopped")[["missing", "running"]].to_numpy().sum() == 0


def test_a_tuning_trial_says_who_proposed_its_values(tmp_path: Path) -> None:
    """The sampler is in the provenance of tuning trials, and of no others."""
    planned = plan()
    drive(tmp_path, planned, Scripted(good))
    results = load_results(tmp_path)
    samplers = results.attempts.set_index("trial_id")["provenance"].map(lambda text: json.loads(text).get("sampler", ""))
    tuning = results.trials.set_index("trial_id")["purpose"] == "tuning"
    assert set(samplers[tuning]) == {"hash of what was told"}
    assert set(samplers[~tuning]) == {""}


def test_an_exception_of_a_trial_is_a_result(tmp_path: Path) -> None:
    """Whatever the code that runs a trial raises becomes a row, and is not tried again."""

    def fail(one: Trial, place: object, attempt: int = 1, seconds_left: float | None = None) -> TrialResult:
        raise RuntimeError("shapes do not fit")

    drive(tmp_path, plan(rounds=0), InProcessExecutor(workplace(tmp_path), fail))
    trials = load_results(tmp_path).trials
    assert set(trials["status"]) == {"failed"}
    assert set(trials["reason"]) == {"RuntimeError: shapes do not fit"}
    assert set(trials["attempts"]) == {1}


def test_a_result_of_another_trial_is_not_stored(tmp_path: Path) -> None:
    """A worker that mixes up trials stops the run."""
    planned = plan()
    other = result_of(planned.trials[-1])
    with pytest.raises(ExecutorError, match="returned a result of trial"):
        drive(tmp_path, planned, Scripted(lambda task: Outcome(task.trial.id, task.attempt, "result", other)))


def test_a_store_that_fails_stops_the_run_with_its_own_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A full disk is what the user hears of, also when closing up meets it again."""

    def full(self: Store, *arguments: object, **more: object) -> None:
        raise StorageFullError("no space left")

    monkeypatch.setattr(Store, "finish", full)
    monkeypatch.setattr(Store, "lose", full)
    with pytest.raises(StorageFullError, match="no space left"):
        drive(tmp_path, plan(), Scripted(good))
    monkeypatch.undo()
    drive(tmp_path, plan(), Scripted(good))
    assert (load_results(tmp_path).trials["status"] == "done").all()


def test_checkpoints_of_ended_trials_are_removed(tmp_path: Path) -> None:
    """They go when the result is stored, and not before."""
    kept = tmp_path / "checkpoints"

    def train(one: Trial, place: object, attempt: int = 1, seconds_left: float | None = None) -> TrialResult:
        (kept / one.id).mkdir(parents=True)
        (kept / one.id / "attempt-1.pt").touch()
        return result_of(one)

    drive(tmp_path, plan(), InProcessExecutor(workplace(tmp_path), train), checkpoints=kept)
    assert list(kept.iterdir()) == []


class Machine(RuleBasedStateMachine):
    """Send, finish, lose a worker, kill the driver, in any order; the store must come out as of an undisturbed run."""

    undisturbed: ClassVar[pd.DataFrame | None] = None

    @initialize()
    def begin(self) -> None:
        """An empty run, and the run to compare with."""
        self.holder = tempfile.TemporaryDirectory(prefix="agd-bench-machine-")
        self.folder = Path(self.holder.name)
        self.plan = plan(architectures=2, seeds=1, rounds=2, proxies=2, max_attempts=1000)
        self.finished: dict[str, int] = {}
        self.proposals: dict[str, object] = {}
        if Machine.undisturbed is None:
            with tempfile.TemporaryDirectory() as folder:
                drive(Path(folder), self.plan, Scripted(good))
                Machine.undisturbed = load_results(folder).trials
        self.start_driver()

    def start_driver(self) -> None:
        """A driver that does nothing by itself."""
        self.store = Store.open(self.folder, self.plan)
        self.executor = Scripted(good, slots=2)
        self.run = Run(self.plan, self.store, self.executor, HashTuner())

    def teardown(self) -> None:
        """Finish what is left, and compare."""
        if not hasattr(self, "run"):
            return
        self.run.drive()
        self.store.close()
        trials = load_results(self.folder).trials
        assert Machine.undisturbed is not None
        same = [name for name in trials if name not in ("attempts", "charged_seconds")]
        pd.testing.assert_frame_equal(trials[same], Machine.undisturbed[same], check_exact=True)
        self.holder.cleanup()

    @rule()
    def send(self) -> None:
        """Fill the free slots."""
        self.run._step([])
        for task in self.executor.at_work.values():
            known = self.proposals.setdefault(task.trial.id, task.trial.proposal)
            assert known == task.trial.proposal
            assert task.trial.id not in self.finished

    @precondition(lambda self: self.executor.at_work)
    @rule(which=st.integers(0, 1))
    def finish(self, which: int) -> None:
        """One attempt ends well."""
        task = self.pick(which)
        self.run._step([good(task)])
        self.finished[task.trial.id] = self.finished.get(task.trial.id, 0) + 1

    @precondition(lambda self: self.executor.at_work)
    @rule(which=st.integers(0, 1))
    def crash_worker(self, which: int) -> None:
        """One worker dies."""
        task = self.pick(which)
        self.run._step([Outcome(task.trial.id, task.attempt, "lost", message="its worker died")])

    @precondition(lambda self: self.executor.at_work)
    @rule(which=st.integers(0, 1))
    def report_twice(self, which: int) -> None:
        """A worker that was given up reports all the same."""
        task = self.pick(which)
        self.run._step([Outcome(task.trial.id, task.attempt, "lost", message="its worker died"), good(task)])

    @rule()
    def restart_driver(self) -> None:
        """The driver dies as by SIGKILL: nothing is closed, and its lock is void."""
        self.store._heartbeat.stop()
        with self.store._engine.begin() as connection:
            connection.exec_driver_sql("update driver set pid_started = 'before'")
        self.store._engine.dispose()
        self.start_driver()

    def pick(self, which: int) -> Task:
        """One of the attempts at work, no longer there."""
        names = list(self.executor.at_work)
        return self.executor.at_work.pop(names[which % len(names)])

    @invariant()
    def nothing_is_lost_done_twice_or_free(self) -> None:
        """Every planned trial has one row, ends once, and what its attempts took is what it is charged."""
        if not hasattr(self, "run"):
            return
        results = load_results(self.folder)
        assert list(results.trials["trial_id"]) == [trial.id for trial in self.plan.all_trials]
        done = results.trials.loc[results.trials["status"] == "done", "trial_id"]
        assert set(done) == set(self.finished)
        assert all(count == 1 for count in self.finished.values())
        taken = results.attempts.groupby("trial_id")["seconds"].sum()
        charged = results.trials.set_index("trial_id")["charged_seconds"]
        assert (charged.loc[taken.index] - taken).abs().max() < 1e-9 or taken.empty
        assert charged.drop(taken.index).eq(0).all()
        running = results.trials.loc[results.trials["status"] == "running", "trial_id"]
        assert set(running) == set(self.executor.at_work)


TestMachine = Machine.TestCase
TestMachine.settings = settings(
    max_examples=15, stateful_step_count=25, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large]
)


def test_in_process_execution_imports_no_ray(tmp_path: Path) -> None:
    """A machine without Ray can run a plan, and a driver without torch."""
    drive(tmp_path, plan(rounds=0), InProcessExecutor(workplace(tmp_path), succeed))
    assert (load_results(tmp_path).attempts["node"] == "in-process").all()
    check = "import sys, agd_bench.scheduling.running; sys.exit(bool({'torch', 'ray'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", check], check=False).returncode == 0
