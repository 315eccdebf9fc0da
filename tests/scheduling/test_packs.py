"""Packs: which trials share one, what becomes of it, and that nothing but seconds depends on it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from agd_bench.planning.planner import plan as plan_of
from agd_bench.records import Sweep, Trial
from agd_bench.scheduling.executors.protocol import Outcome, Task, perform
from agd_bench.scheduling.queue import Queue
from agd_bench.scheduling.runs import run
from agd_bench.store import Results, Standing, load_results
from agd_bench.training import replicas
from agd_bench.trial import Workplace
from tests.scheduling import plans
from tests.scheduling.test_queue import drain, fresh


def queue_of(**changes: Any) -> tuple[Queue, list[Trial]]:
    """A queue of two architectures with four seeds each, and its trials."""
    planned = plans.plan(architectures=2, seeds=4, rounds=0, replicas=4, **changes)
    return Queue(planned, plans.HashTuner(), fresh(planned)), list(planned.trials)


def test_kin_are_taken_once() -> None:
    """Seeds of the same architecture, in plan order, at most so many; the rest is taken as ever."""
    queue, trials = queue_of()
    first = queue.take()
    assert first is not None
    kin = queue.take_kin(first, 2)
    assert [(one.architecture, one.seed) for one in kin] == [(first.architecture, 1), (first.architecture, 2)]
    rest = drain(queue)
    assert {one.id for one in (first, *kin, *rest)} == {one.id for one in trials}
    assert len(rest) == len(trials) - 3
    assert queue.take_kin(first, 9) == []


def test_what_is_put_back_is_taken_again_once_and_joins_no_pack_after_it_was_begun() -> None:
    """A lost attempt is begun again alone."""
    queue, _ = queue_of()
    first = queue.take()
    assert first is not None
    (other,) = queue.take_kin(first, 1)
    queue.standings[other.id] = queue.standings[other.id]._replace(attempts=1)
    queue.put_back(other)
    assert other.id not in {one.id for one in queue.take_kin(first, 9)}
    assert [one.id for one in drain(queue)].count(other.id) == 1


def test_trials_that_are_watched_and_sweeps_without_packs_have_no_kin() -> None:
    """Replicas are asked for, and diagnostics are of one network."""
    planned = plans.plan(architectures=1, seeds=3, rounds=0)
    queue = Queue(planned, plans.HashTuner(), {trial.id: Standing() for trial in planned.all_trials})
    first = queue.take()
    assert first is not None
    assert queue.take_kin(first, 2) == []
    queue, _ = queue_of()
    first = queue.take()
    assert first is not None
    assert queue.take_kin(first.model_copy(update={"diagnostics": ("optimizer",)}), 2) == []


def test_a_pack_comes_to_an_outcome_for_each(tmp_path: Path) -> None:
    """Results in order; out of memory and unknown errors are of all, an error of the installation stops the run once."""
    trials = [plans.trial("cell-0", seed) for seed in range(2)]
    task = Task(trials[0], 1, 60.0, companions=(Task(trials[1], 2, 60.0),))

    def kinds(run_trial: Any) -> list[Outcome]:
        return perform(task, plans.workplace(tmp_path), run_trial)

    def starve(*given: Any) -> Any:
        raise MemoryError("too large")

    done = kinds(plans.succeed)
    assert [(one.trial_id, one.attempt, one.kind) for one in done] == [(trials[0].id, 1, "result"), (trials[1].id, 2, "result")]
    assert [one.kind for one in kinds(starve)] == ["out of memory"] * 2
    assert [one.kind for one in kinds(plans.miss_data)] == ["stop"]


def test_a_pack_without_memory_is_repeated_one_by_one(tmp_path: Path) -> None:
    """Each of it alone; nobody failed."""
    together: list[int] = []

    def starve_in_company(one: Trial, workplace: Workplace, attempt: int = 1, seconds_left: float | None = None) -> Any:
        together.append(attempt)
        if attempt == 1:
            raise MemoryError("too many")
        return plans.result_of(one)

    planned = plans.plan(architectures=1, seeds=3, rounds=0, replicas=3)
    run(planned, tmp_path, plans.workplace(tmp_path), "in-process", run_trial=starve_in_company, tuner=plans.HashTuner())
    results = load_results(tmp_path)
    assert list(results.trials["status"]) == ["done"] * 3
    assert sorted(results.attempts["outcome"]) == ["done"] * 3 + ["out of memory"] * 3
    assert together == [1, 2, 2, 2]


def trained(folder: Path, count: int) -> Results:
    """A real sweep of fully connected networks, in packs of so many."""
    asked = {
        "name": "packs",
        "search_spaces": [{"name": "fcn", "architectures": ["2x32", "3x16"], "options": {"size": 8}}],
        "datasets": [{"name": "digits", "share": 0.1}],
        "algorithms": [{"name": "agd"}, {"name": "sgd"}],
        "epochs": 2,
        "seeds": 3,
        "replicas": count,
    }
    run(plan_of(Sweep.model_validate(asked)), folder, Workplace(folder, device="cpu"), "in-process")
    return load_results(folder)


def test_a_sweep_in_packs_measures_what_it_measures_without(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same trials with the same ids and, to rounding, results; they say that they were packed, and each attempt is charged."""
    monkeypatch.setattr(replicas, "LEAST_GAIN", 0.0)
    packed, alone = trained(tmp_path / "packed", 3), trained(tmp_path / "alone", 1)
    assert set(packed.attempts["provenance"].str.extract(r'"replicas": ?"(\d)"')[0]) == {"3"}
    columns = ["trial_id", "status", "flops", "parameters", "train_loss", "val_loss"]
    pd.testing.assert_frame_equal(packed.trials[columns], alone.trials[columns], rtol=1e-3)
    assert (packed.trials["test_accuracy"] - alone.trials["test_accuracy"]).abs().max() < 0.011
    assert (packed.trials["charged_seconds"] > 0).all()
