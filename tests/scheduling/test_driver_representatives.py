"""Trials that take the results of an equal network are never trained, end with it, cost nothing, and survive interruptions."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest
import sqlalchemy as sa

from agd_bench.analysis import accuracy_table, charged_cost, trained_rows
from agd_bench.records import CurvePoint, Plan, Trial, TrialResult
from agd_bench.scheduling.driver import Run
from agd_bench.scheduling.executors.protocol import Outcome, Task
from agd_bench.scheduling.partition import Part, part_of
from agd_bench.scheduling.progress import Meter
from agd_bench.scheduling.queue import Queue
from agd_bench.store import Standing, Store, columns_of, export, load_results
from agd_bench.tables import aggregates
from tests.scheduling.plans import HashTuner, plan, result_of, trial
from tests.scheduling.scripted import Scripted, drive, good


def shared_plan(rounds: int = 2, seeds: int = 2) -> Plan:
    """Return a plan of two architectures and a third that equals the first, in the self-tuning trials and in the first study."""
    made = plan(architectures=2, seeds=seeds, rounds=rounds)
    finals = {(one.architecture, one.seed): one for one in made.trials}
    copies = [takes(trial("cell-2", seed), finals["cell-0", seed]) for seed in range(seeds)]
    studies = list(made.studies)
    if studies:
        first = studies[0]
        more = tuple(takes(trial("cell-2", one.seed, "tuned", study=first.key), one) for one in first.final)
        studies[0] = first.model_copy(update={"final": first.final + more})
    return made.model_copy(update={"trials": (*made.trials, *copies), "studies": tuple(studies)})


def takes(one: Trial, other: Trial) -> Trial:
    """Return the trial with another one as its representative."""
    return one.model_copy(update={"representative": other.id})


def test_results_are_passed_on(tmp_path: Path) -> None:
    """Copies have the results and curves of their originals, but no attempts and no cost, and tables count only trained rows."""
    planned = shared_plan()
    executor = Scripted(good)
    events = drive(tmp_path, planned, executor)
    results = load_results(tmp_path)
    copied = results.trials[results.trials["representative"].notna()].set_index("trial_id")
    assert len(copied) == 4
    assert not {trial_id for trial_id, _ in executor.sent} & set(copied.index)
    assert [event.kind for event in events].count("ended") == len(planned.all_trials)
    names = ["status", "val_accuracy", "test_accuracy", "train_loss", "parameters", "hyperparameters", "seed", "epochs"]
    trained = results.trials.set_index("trial_id")[names]
    taken, given = trained.loc[copied.index], trained.loc[copied["representative"]]
    assert taken.reset_index(drop=True).equals(given.reset_index(drop=True))
    assert copied["hyperparameters"].nunique() == 2  # nothing, and what the study chose
    assert (copied[["charged_seconds", "attempts"]] == 0).all(axis=None)
    curves = results.curves.set_index("trial_id")
    mine, its = (curves.loc[list(names)].reset_index(drop=True) for names in (copied.index, copied["representative"]))
    assert mine.equals(its)
    with_copies, without = charged_cost(results.trials), charged_cost(trained_rows(results.trials))
    for name in ("charged_seconds", "flops", "attempts", "tuning_seconds", "energy_joules"):
        assert with_copies[name].equals(without[name])
    pd.testing.assert_frame_equal(accuracy_table(results.trials), accuracy_table(trained_rows(results.trials)))
    tables = aggregates(results)
    assert "progress" not in tables
    assert set(tables["accuracy"]["architectures"]) == {2}


@pytest.mark.parametrize("status", ["diverged", "failed", "refused"])
def test_bad_ends_are_passed_on_too(tmp_path: Path, status: str) -> None:
    """Copies get the status and the reason of their originals, even if those fail because nothing in their study finished."""

    def spoilt(task: Task) -> Outcome:
        return Outcome(task.trial.id, task.attempt, "result", result_of(task.trial, status=status))

    drive(tmp_path, shared_plan(), Scripted(spoilt))
    trials = load_results(tmp_path).trials.set_index("trial_id")
    copied = trials[trials["representative"].notna()]
    assert len(copied) == 4
    taken, given = (trials.loc[list(names), ["status", "reason"]] for names in (copied.index, copied["representative"]))
    assert (taken.to_numpy() == given.to_numpy()).all()
    assert (taken["reason"] != "").all()


def test_an_interrupted_run_passes_on_what_it_had_not(tmp_path: Path) -> None:
    """If an original ended in an earlier run, as after a merge, the next run passes its results on."""
    planned = shared_plan(rounds=0)
    original = next(one for one in planned.trials if one.architecture == "cell-0")
    with Store.open(tmp_path, planned) as store:
        store.start(original, 1, "worker-0", 600.0)
        store.finish(result_of(original), 1)
    with Store.open(tmp_path, planned) as store:
        assert [one.architecture for one in Queue(planned, HashTuner(), store.standings()).represented] == ["cell-2"]
    executor = Scripted(good)
    drive(tmp_path, planned, executor)
    assert original.id not in {trial_id for trial_id, _ in executor.sent}
    assert (load_results(tmp_path).trials["status"] == "done").all()


def test_parts_keep_equal_networks_together(tmp_path: Path) -> None:
    """Each part contains the originals of its copies, and the parts add up to the plan."""
    planned = shared_plan(seeds=3)
    parts = [part_of(planned, Part(number, 2)) for number in (1, 2)]
    assert sorted(one.id for part in parts for one in part.all_trials) == sorted(one.id for one in planned.all_trials)
    for part in parts:
        ids = {one.id for one in part.all_trials}
        assert all(one.representative in ids for one in part.all_trials if one.representative)
        with Store.open(tmp_path, planned) as store:
            Run(part, store, Scripted(good), HashTuner()).drive()
    assert (load_results(tmp_path).trials["status"] == "done").all()


def test_time_left_counts_what_is_trained() -> None:
    """Copies do not count towards the time left."""
    planned = shared_plan(rounds=0, seeds=1)
    meter = Meter(planned, {one.id: Standing() for one in planned.all_trials}, clock=lambda: 0.0)
    meter.started(planned.trials[0])
    meter.stopped(planned.trials[0])
    meter.ended(planned.trials[0], result_of(planned.trials[0], seconds=10.0))
    assert meter.snapshot(1).remaining_seconds == 10.0


def test_energy_and_numbers_are_not_charged_twice(tmp_path: Path) -> None:
    """In a copy, measured energy is 0 and missing energy stays missing; optimizer diagnostics are copied with the curve."""
    planned = shared_plan(rounds=0, seeds=1)
    original, _, copy = planned.trials
    point = CurvePoint(
        epoch=1, train_loss=1.0, train_accuracy=0.5, val_loss=None, val_accuracy=0.5, train_seconds=1.0, diagnostics={"eta": 0.25}
    )
    measured = TrialResult(
        trial_id=original.id,
        status="done",
        val_accuracy=0.5,
        flops=8,
        energy_joules=3.0,
        total_seconds=2.0,
        train_seconds=1.0,
        curve=(point,),
    )
    with Store.open(tmp_path, planned) as store:
        store.start(original, 1, "worker-0", 600.0)
        store.finish(measured, 1)
        given = store.pass_on(copy)
        assert (given.status, given.val_accuracy, given.flops, given.energy_joules) == ("done", 0.5, 0, 0.0)
        with pytest.raises(ValueError, match="is not pending"):
            store.pass_on(copy)
    results = load_results(tmp_path)
    assert list(results.trials["energy_joules"].dropna()) == [3.0, 0.0]
    assert results.diagnostics.groupby("trial_id")["value"].sum().to_dict() == {original.id: 0.25, copy.id: 0.25}


def test_results_of_before_there_was_the_column_are_read_and_gone_on_with(tmp_path: Path) -> None:
    """Databases and tables without the column `representative` load as if nothing was passed on, and reopening a run adds the column."""
    planned = plan(rounds=0)
    drive(tmp_path / "run", planned, Scripted(good))
    now = load_results(tmp_path / "run")
    export(now, tmp_path / "export")
    engine = sa.create_engine(f"sqlite:///{tmp_path / 'run' / 'results.sqlite'}")
    with engine.begin() as connection:
        connection.exec_driver_sql("ALTER TABLE trials DROP COLUMN representative")
    engine.dispose()
    csv = tmp_path / "export" / "trials.csv"
    lines = csv.read_text().splitlines()
    place = lines[0].split(",").index("representative")
    assert place == len(columns_of("trials")) - 1
    csv.write_text("".join(line.rpartition(",")[0] + "\n" for line in lines))
    for before in (load_results(tmp_path / "run"), load_results(tmp_path / "export")):
        assert before.trials.equals(now.trials)
    with Store.open(tmp_path / "run", planned) as store:
        assert all(standing.status == "done" for standing in store.standings().values())
    assert load_results(tmp_path / "run").trials.equals(now.trials)
