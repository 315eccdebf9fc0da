"""The driver's loop: sending trials, retries, deadlines and failures."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from agd_bench.errors import ExecutorError
from agd_bench.records import Trial, TrialResult
from agd_bench.scheduling import driver
from agd_bench.scheduling.driver import Run
from agd_bench.scheduling.executors.in_process import InProcessExecutor
from agd_bench.scheduling.executors.protocol import Device, Outcome, Task
from agd_bench.scheduling.in_flight import Running
from agd_bench.scheduling.progress import Event, Snapshot
from agd_bench.scheduling.queue import HOPELESS
from agd_bench.store import Store, load_results
from tests.scheduling.plans import HashTuner, plan, result_of, succeed, workplace
from tests.scheduling.scripted import Clock, Scripted, drive, good


def test_a_plan_is_done(tmp_path: Path) -> None:
    """Every trial ends once, and all slots are used."""
    planned = plan(architectures=3, proxies=2)
    executor = Scripted(good)
    events = drive(tmp_path, planned, executor)
    trials = load_results(tmp_path).trials
    assert (trials["status"] == "done").all()
    assert sorted(executor.sent) == sorted((trial.id, 1) for trial in planned.all_trials)
    assert max(len(group) for group in executor.together) == 3
    assert [event.kind for event in events].count("ended") == len(planned.all_trials)


def test_a_lost_attempt_is_repeated_up_to_the_limit(tmp_path: Path) -> None:
    """A trial that loses its worker every time fails with the reason, and does not hold up the others."""
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
    """The second attempt has fresh workers and the executor to itself; a second failure is final."""
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
    assert "alone" in str(trials.loc[huge, "reason"])
    for trial_id in (large, huge):
        again = executor.sent.index((trial_id, 2))
        assert executor.together[again] == {trial_id}
        assert not any(trial_id in group for group in executor.together[again + 1 :])
    assert executor.refreshed == 2
    assert list(results.attempts["outcome"]).count("out of memory") == 3


def test_a_hung_attempt_is_ended_and_repeated(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An attempt that is still running after its deadline and the grace period is killed and repeated."""
    clock = Clock()
    monkeypatch.setattr(driver, "time", clock)
    planned = plan(rounds=0, deadline_seconds=50.0)
    stuck = planned.trials[0].id

    def answer(task: Task) -> Outcome | None:
        if task.trial.id != stuck or task.attempt > 1:
            return good(task)
        clock.now += 30.0
        return None

    executor = Scripted(answer, slots=1)
    events = drive(tmp_path, planned, executor, grace_seconds=100.0)
    results = load_results(tmp_path)
    assert executor.killed == [stuck]
    assert (results.trials["status"] == "done").all()
    lost = results.attempts[results.attempts["outcome"] == "lost"].iloc[0]
    assert lost["seconds"] == 180.0
    assert "ended by force" in lost["reason"]
    assert [event.kind for event in events if event.trial.id == stuck] == ["started", "lost", "retried", "ended"]


def test_a_deadline_covers_the_turns_of_others_on_the_device(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Attempts that share a device may wait for each other, so none is ended before the longest deadline among them."""
    clock = Clock()
    monkeypatch.setattr(driver, "time", clock)
    planned, executor, ended = plan(rounds=0), Scripted(good), list[str]()
    monkeypatch.setattr(executor, "kill", ended.append)
    with Store.open(tmp_path, planned) as store:
        run = Run(planned, store, executor, HashTuner(), grace_seconds=100.0)
        short, long, alone = planned.trials[:3]
        for trial, deadline, device in ((short, 50.0, "shared"), (long, 500.0, "shared"), (alone, 50.0, "own")):
            run._running.add(Running(trial, 1, clock.now, deadline, "node", Device(device, 2), 2, False, sharers=2))
        clock.now += 400.0
        run._end_overdue()
        assert ended == [alone.id]
        clock.now += 300.0
        run._end_overdue()
        assert ended == [alone.id, short.id, long.id]


def test_a_deadline_is_sent_with_the_trial(tmp_path: Path) -> None:
    """The worker is given the deadline, so that it can end the trial itself."""
    planned = plan(architectures=1, deadline_seconds=7.0)
    seen: list[float] = []

    def answer(task: Task) -> Outcome:
        seen.append(task.seconds_left)
        return good(task)

    drive(tmp_path, planned, Scripted(answer))
    assert set(seen) == {7.0}


def test_studies_of_which_nothing_finished_end_with_a_reason(tmp_path: Path) -> None:
    """The finals of such a study are failed rows that were never started."""
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


@pytest.mark.parametrize("interrupted", [False, True])
def test_finals_of_a_study_that_was_refused_are_refused_with_its_reason(tmp_path: Path, interrupted: bool) -> None:
    """This also holds for a later driver, which reads the reason from the store."""
    planned = plan(architectures=1, seeds=2)
    last = planned.studies[0].rounds[-1][0].id

    def answer(task: Task) -> Outcome | None:
        if interrupted and task.trial.id == last:
            raise KeyboardInterrupt
        ends = "refused" if task.trial.purpose == "tuning" else "done"
        return Outcome(task.trial.id, task.attempt, "result", result_of(task.trial, status=ends))

    if interrupted:
        with pytest.raises(KeyboardInterrupt):
            drive(tmp_path, planned, Scripted(answer))
        interrupted = False
    drive(tmp_path, planned, Scripted(answer))
    trials = load_results(tmp_path).trials
    finals = trials[(trials["algorithm"] == "tuned") & (trials["purpose"] == "final")]
    assert list(finals["status"]) == ["refused"] * 2
    assert list(finals["reason"]) == ["its study was refused: so it is"] * 2
    assert list(finals["attempts"]) == [0, 0]


def test_what_is_told_is_on_the_disk(tmp_path: Path) -> None:
    """Every event is stored before observers are notified of it."""
    planned = plan(architectures=1)

    def look(event: Event | None, snapshot: Snapshot) -> None:
        if event is not None:
            row = load_results(tmp_path).trials.set_index("trial_id").loc[event.trial.id]
            assert row["status"] == ("done" if event.kind == "ended" else "running")

    with Store.open(tmp_path, planned) as store:
        Run(planned, store, Scripted(good, slots=1), HashTuner(), look).drive()


def test_a_tuning_trial_says_who_proposed_its_values(tmp_path: Path) -> None:
    """The provenance of tuning trials, and of no others, names the sampler."""
    planned = plan()
    drive(tmp_path, planned, Scripted(good))
    results = load_results(tmp_path)
    samplers = results.attempts.set_index("trial_id")["provenance"].map(lambda text: json.loads(text).get("sampler", ""))
    tuning = results.trials.set_index("trial_id")["purpose"] == "tuning"
    assert set(samplers[tuning]) == {"hash of what was told"}
    assert set(samplers[~tuning]) == {""}


def test_an_exception_of_a_trial_is_a_result(tmp_path: Path) -> None:
    """An exception raised by a trial becomes a failed row and is not retried."""

    def fail(one: Trial, place: object, attempt: int = 1, seconds_left: float | None = None) -> TrialResult:
        raise RuntimeError("shapes do not fit")

    drive(tmp_path, plan(rounds=0), InProcessExecutor(workplace(tmp_path), fail))
    trials = load_results(tmp_path).trials
    assert set(trials["status"]) == {"failed"}
    assert set(trials["reason"]) == {"RuntimeError: shapes do not fit"}
    assert set(trials["attempts"]) == {1}


def test_a_result_of_another_trial_is_not_stored(tmp_path: Path) -> None:
    """A worker that returns another trial's result stops the run."""
    planned = plan()
    other = result_of(planned.trials[-1])
    with pytest.raises(ExecutorError, match="returned a result of trial"):
        drive(tmp_path, planned, Scripted(lambda task: Outcome(task.trial.id, task.attempt, "result", other)))


def test_checkpoints_of_ended_trials_are_removed(tmp_path: Path) -> None:
    """Checkpoints are removed once the result is stored."""
    kept = tmp_path / "checkpoints"

    def train(one: Trial, place: object, attempt: int = 1, seconds_left: float | None = None) -> TrialResult:
        (kept / one.id).mkdir(parents=True)
        (kept / one.id / "attempt-1.pt").touch()
        return result_of(one)

    drive(tmp_path, plan(), InProcessExecutor(workplace(tmp_path), train), checkpoints=kept)
    assert list(kept.iterdir()) == []


def test_in_process_execution_imports_no_ray(tmp_path: Path) -> None:
    """A plan can run on a machine without Ray, and the driver imports neither Ray nor torch."""
    drive(tmp_path, plan(rounds=0), InProcessExecutor(workplace(tmp_path), succeed))
    assert (load_results(tmp_path).attempts["node"] == "in-process").all()
    check = "import sys, agd_bench.scheduling.runs; sys.exit(bool({'torch', 'ray'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", check], check=False).returncode == 0
