"""Failed trials are counted, and repeated on request with their earlier cost still charged."""

from __future__ import annotations

from pathlib import Path

import pytest

from agd_bench.errors import InputError
from agd_bench.scheduling.executors.protocol import Outcome, Task
from agd_bench.store import Store, failed_algorithms, failed_trials, load_results
from tests.scheduling.plans import plan, result_of
from tests.scheduling.scripted import Scripted, drive, good

PLANNED = plan(architectures=1, seeds=5, rounds=0, max_attempts=1)
FAILED, REFUSED, DIVERGED, LOST, DONE = (trial.id for trial in PLANNED.trials)


def uneven(task: Task) -> Outcome:
    """Return an outcome of a different kind for each trial, taking ten seconds each."""
    if task.trial.id == LOST:
        return Outcome(task.trial.id, task.attempt, "lost", message="its worker died")
    status = {FAILED: "failed", REFUSED: "refused", DIVERGED: "diverged"}.get(task.trial.id, "done")
    return Outcome(task.trial.id, task.attempt, "result", result_of(task.trial, seconds=10.0, status=status))


@pytest.mark.parametrize(
    ("endings", "again"),
    [(["failed"], {FAILED, LOST}), (["lost"], {LOST}), (["refused", "diverged"], {REFUSED, DIVERGED}), ([], set())],
)
def test_those_that_ended_so_are_trained_again_and_nothing_is_forgotten(tmp_path: Path, endings: list[str], again: set[str]) -> None:
    """Trials with the given endings are pending again; their earlier attempts are kept, and both attempts are charged."""
    drive(tmp_path, PLANNED, Scripted(uneven))
    before = load_results(tmp_path).trials.set_index("trial_id")
    with Store.open(tmp_path, PLANNED) as store:
        assert store.retry(PLANNED.trials, endings) == len(again)
        assert {trial_id for trial_id, standing in store.standings().items() if standing.status == "pending"} == again
        assert all(standing.losses == 0 for trial_id, standing in store.standings().items() if trial_id in again)
    executor = Scripted(good)
    drive(tmp_path, PLANNED, executor)
    results = load_results(tmp_path)
    after = results.trials.set_index("trial_id")
    assert {trial_id for trial_id, _ in executor.sent} == again
    assert set(after.loc[list(again), "status"]) <= {"done"}
    assert (after["attempts"] == [2 if trial_id in again else 1 for trial_id in after.index]).all()
    assert (after["charged_seconds"] - before["charged_seconds"]).gt(0).to_dict() == {
        trial_id: trial_id in again for trial_id in after.index
    }
    taken = results.attempts.groupby("trial_id")["seconds"].sum()
    assert (after["charged_seconds"] - taken).abs().max() < 1e-9


def test_an_unknown_ending_is_refused(tmp_path: Path) -> None:
    """An unknown ending raises an error and changes nothing."""
    drive(tmp_path, PLANNED, Scripted(uneven))
    with Store.open(tmp_path, PLANNED) as store, pytest.raises(InputError, match="allowed are failed, lost"):
        store.retry(PLANNED.trials, ["done"])


def test_failures_are_counted_by_algorithm(tmp_path: Path) -> None:
    """Algorithms whose trials all failed are listed by name."""
    planned = plan(architectures=2, seeds=1, rounds=1)
    broken = {trial.id for study in planned.studies for part in (*study.rounds, study.final) for trial in part}

    def answer(task: Task) -> Outcome:
        status = "failed" if task.trial.id in broken else "done"
        return Outcome(task.trial.id, task.attempt, "result", result_of(task.trial, status=status))

    drive(tmp_path, planned, Scripted(answer))
    results = load_results(tmp_path)
    assert failed_algorithms(results) == ["tuned"]
    assert failed_trials(results).startswith("4 of 6 trials failed (tuned 4)")
    drive(tmp_path / "good", planned, Scripted(good))
    assert failed_trials(load_results(tmp_path / "good")) == ""
    assert failed_algorithms(load_results(tmp_path / "good")) == []
