"""Deadlines depend only on how long trials of the same kind took."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from agd_bench.records import Plan, Trial
from agd_bench.scheduling import driver
from agd_bench.scheduling.deadlines import LEAST_SECONDS, UNKNOWN_SECONDS, Deadlines
from agd_bench.scheduling.executors.protocol import Outcome, Task
from agd_bench.scheduling.kinds import kind_of
from agd_bench.store import Standing, load_results
from tests.scheduling.plans import plan, result_of
from tests.scheduling.scripted import Clock, Scripted, drive


def fresh(planned: Plan) -> dict[str, Standing]:
    """Return the standings before anything has started."""
    return {one.id: Standing() for one in planned.all_trials}


def test_a_deadline_is_a_multiple_of_the_median_of_its_kind() -> None:
    """Deadlines are at least ten minutes, a day while nothing is known, and the sweep's own value if it has one."""
    planned = plan()
    trial = planned.trials[0]
    known = Deadlines(planned, fresh(planned))
    assert known.seconds(trial) == UNKNOWN_SECONDS
    known.note(trial, 1.0, None)
    assert known.seconds(trial) == LEAST_SECONDS
    known.note(trial, 100.0, None)
    known.note(trial, 5000.0, None)
    assert known.seconds(trial) == 2000.0
    assert Deadlines(plan(deadline_seconds=3.0), fresh(planned)).seconds(trial) == 3.0


@pytest.mark.parametrize("change", [{"dataset_label": "larger"}, {"epochs": 100}, {"algorithm_label": "slow"}, {"purpose": "tuning"}])
def test_trials_of_another_kind_say_nothing(change: dict[str, object]) -> None:
    """A fast trial sets no deadline for trials with a different data set, number of epochs, algorithm or purpose."""
    planned = plan()
    trial = planned.trials[0]
    known = Deadlines(planned, fresh(planned))
    known.note(trial, 1.0, None)
    other = trial.model_copy(update=change)
    assert (known.typical(other), known.seconds(other)) == (None, UNKNOWN_SECONDS)


def test_a_heavier_architecture_gets_more_time_and_a_lighter_one_no_less() -> None:
    """The cost per image of an architecture is known from trials of any algorithm in the same comparison."""
    planned = plan(architectures=4)
    light, middle, heavy, unknown = planned.trials[:4]
    known = Deadlines(planned, fresh(planned))
    for trial, flops in ((light, 10), (middle, 1_000), (heavy, 50_000)):
        known.note(trial.model_copy(update={"algorithm_label": "other"}), 1.0, flops)
    known.note(middle, 100.0, 1_000)
    assert [known.typical(trial) for trial in (light, middle, heavy, unknown)] == [100.0, 100.0, 5000.0, 100.0]


def test_deadlines_judge_by_whole_trials_alone() -> None:
    """Diverged trials and resumed attempts are ignored, because they are shorter than a whole trial."""
    planned = plan()
    first, second, third = planned.trials[:3]
    standings = fresh(planned) | {
        first.id: Standing("diverged", 1, total_seconds=1.0),
        second.id: Standing("done", 2, total_seconds=1.0),
        third.id: Standing("done", 1, total_seconds=300.0),
    }
    assert Deadlines(planned, standings).seconds(first) == 6000.0


def with_long_finals(planned: Plan) -> Plan:
    """Return the plan with a hundred times as many epochs in final trials."""

    def longer(trial: Trial) -> Trial:
        return trial.model_copy(update={"epochs": 100 * trial.epochs})

    studies = tuple(study.model_copy(update={"final": tuple(map(longer, study.final))}) for study in planned.studies)
    return planned.model_copy(update={"trials": tuple(map(longer, planned.trials)), "studies": studies})


def test_short_tuning_trials_kill_no_long_final(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Finals that take well over ten minutes are not killed because tuning trials took one second."""
    clock = Clock()
    monkeypatch.setattr(driver, "time", clock)
    planned = with_long_finals(plan(architectures=1, rounds=6))
    asked: Counter[str] = Counter()

    def answer(task: Task) -> Outcome | None:
        tuning = task.trial.purpose == "tuning"
        clock.now += 1.0 if tuning else 60.0
        asked[task.trial.id] += 1
        if not tuning and asked[task.trial.id] < 20:
            return None
        return Outcome(task.trial.id, task.attempt, "result", result_of(task.trial, seconds=1.0 if tuning else 1200.0))

    executor = Scripted(answer)
    drive(tmp_path, planned, executor)
    assert executor.killed == []
    assert (load_results(tmp_path).trials["status"] == "done").all()
    assert len({kind_of(trial) for trial in planned.all_trials}) == 3


def test_short_tuning_trials_do_not_say_that_a_final_would_end_in_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Trials of a kind with unknown duration are started as long as there is time, regardless of how long other kinds took."""
    monkeypatch.setattr(driver, "time", Clock())
    planned = with_long_finals(plan(architectures=1, seeds=1, rounds=2))

    def answer(task: Task) -> Outcome:
        return Outcome(
            task.trial.id, task.attempt, "result", result_of(task.trial, seconds=50.0 if task.trial.purpose == "tuning" else 1.0)
        )

    executor = Scripted(answer, slots=1)
    drive(tmp_path, planned, executor, stop_at=40.0)
    assert {planned.trials[0].id, planned.studies[0].rounds[0][0].id} <= {trial for trial, _ in executor.sent}
