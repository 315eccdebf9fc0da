"""Runs stopped by the user, a limit or an error keep their finished trials and resume with identical results."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from agd_bench.errors import DatasetError, StorageFullError
from agd_bench.records import Trial, TrialResult
from agd_bench.scheduling import driver
from agd_bench.scheduling.driver import OUT_OF_TIME, UNNEEDED, Run
from agd_bench.scheduling.executors.in_process import InProcessExecutor
from agd_bench.scheduling.executors.protocol import Outcome, Task
from agd_bench.store import Store, load_results, status
from tests.scheduling.plans import ADAPTIVE, HashTuner, miss_data, plan, result_of, uneven, workplace
from tests.scheduling.scripted import Clock, Scripted, drive, good


def test_what_is_wrong_with_the_installation_stops_the_run(tmp_path: Path) -> None:
    """A missing data set is raised as its own error, and the lost attempt is not blamed on the trial."""
    planned = plan()
    with pytest.raises(DatasetError, match="the images went away"):
        drive(tmp_path, planned, InProcessExecutor(workplace(tmp_path), miss_data))
    with Store.open(tmp_path, planned) as store:
        standings = list(store.standings().values())
    assert [standing.attempts for standing in standings].count(1) == 1
    assert {(standing.status, standing.losses) for standing in standings} == {("pending", 0)}


def test_a_result_that_comes_with_bad_news_is_kept(tmp_path: Path) -> None:
    """A result that arrives together with an installation error is stored."""
    planned = plan(architectures=2, seeds=1, rounds=0)
    with Store.open(tmp_path, planned) as store:
        executor = Scripted(good, slots=2)
        steps = Run(planned, store, executor, HashTuner())
        steps._step([])
        first, second = executor.at_work.values()
        error = DatasetError("the images went away")
        with pytest.raises(DatasetError):
            steps._step([Outcome(first.trial.id, 1, "fault", message=str(error), error=error), good(second)])
        standings = store.standings()
    assert (standings[first.trial.id].status, standings[second.trial.id].status) == ("running", "done")


def test_a_keyboard_interrupt_leaves_everything_in_order(tmp_path: Path) -> None:
    """After Ctrl-C the running trial is pending again and not blamed, and the run can be resumed."""
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


def test_a_time_limit_ends_a_run_cleanly_and_the_next_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Attempts running at the limit are charged but not blamed, nothing starts after it, and the next run does the rest."""
    planned = plan()
    stuck = planned.trials[0].id
    clock = Clock()
    monkeypatch.setattr(driver, "time", clock)

    def answer(task: Task) -> Outcome | None:
        clock.now += 1.0
        return None if task.trial.id == stuck else good(task)

    executor = Scripted(answer, slots=2)
    events = drive(tmp_path, planned, executor, stop_at=20.0)
    assert clock.now >= 20.0
    results = load_results(tmp_path)
    lost = results.attempts[results.attempts["trial_id"] == stuck].iloc[0]
    assert (lost["outcome"], lost["reason"]) == ("lost", OUT_OF_TIME)
    assert lost["seconds"] > 0
    assert not any(event.kind == "lost" for event in events)
    with Store.open(tmp_path, planned) as store:
        assert store.standings()[stuck].losses == 0
    drive(tmp_path, planned, Scripted(good))
    assert (load_results(tmp_path).trials["status"] == "done").all()


def test_what_ends_at_the_limit_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A trial in the driver's process may end after the limit, and its result is kept."""
    planned = plan(rounds=0)

    def slow(one: Trial, place: object, attempt: int = 1, seconds_left: float | None = None) -> TrialResult:
        clock.now += 10.0
        return result_of(one)

    clock = Clock()
    monkeypatch.setattr(driver, "time", clock)
    drive(tmp_path, planned, InProcessExecutor(workplace(tmp_path), slow), stop_at=5.0)
    assert list(load_results(tmp_path).trials["status"]).count("done") == 1


@pytest.mark.parametrize(("checkpoint_seconds", "begun"), [(60.0, 1), (5.0, 8)])
def test_near_the_limit_only_what_can_end_or_be_continued_is_begun(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, checkpoint_seconds: float, begun: int
) -> None:
    """A trial of 10 s is not started with 5 s left, unless it writes checkpoints on the way."""
    planned = plan(rounds=0, architectures=4, checkpoint_seconds=checkpoint_seconds)

    def answer(task: Task) -> Outcome:
        return Outcome(task.trial.id, task.attempt, "result", result_of(task.trial, seconds=10.0))

    monkeypatch.setattr(driver, "time", Clock())
    executor = Scripted(answer, slots=1)
    drive(tmp_path, planned, executor, stop_at=5.0)
    assert len(executor.sent) == begun
    assert executor.killed == []
    assert list(load_results(tmp_path).trials["status"]).count("done") == begun


@pytest.mark.parametrize("sent", [0, 3, 9, 14, 20])
def test_an_adaptive_run_that_is_stopped_goes_on_identically(tmp_path: Path, sent: int) -> None:
    """An interrupted run has the same rows as an undisturbed one; unneeded trials are final, cost nothing and say why."""
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


def test_a_store_that_fails_stops_the_run_with_its_own_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The user sees the full-disk error, even if cleaning up fails for the same reason."""

    def full(self: Store, *arguments: object, **more: object) -> None:
        raise StorageFullError("no space left")

    monkeypatch.setattr(Store, "finish", full)
    monkeypatch.setattr(Store, "lose", full)
    with pytest.raises(StorageFullError, match="no space left"):
        drive(tmp_path, plan(), Scripted(good))
    monkeypatch.undo()
    drive(tmp_path, plan(), Scripted(good))
    assert (load_results(tmp_path).trials["status"] == "done").all()
