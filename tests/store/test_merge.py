"""Runs of one sweep are merged without losing, repeating or mixing rows, and can be continued as a single run."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pandas as pd
import pytest

from agd_bench.errors import InputError
from agd_bench.leaderboard import publish_results
from agd_bench.records import Plan
from agd_bench.scheduling.driver import Run
from agd_bench.scheduling.partition import Part, part_of
from agd_bench.store import Results, Store, export, join, load_results, merge_into
from tests.scheduling import plans
from tests.scheduling.scripted import Scripted, good

APART = ["attempts", "charged_seconds"]
"""Columns that depend on lost attempts."""


def train(location: Path | str, planned: Plan, part: Plan | None = None) -> Results:
    """Run a plan, or a part of it, to its end and return the results."""
    with Store.open(location, planned) as store:
        Run(part or planned, store, Scripted(good), plans.HashTuner()).drive()
    return load_results(location)


def merged(sources: list[Results], to: Path | str, planned: Plan) -> int:
    """Merge results into a store as `sweeping.merge` does, and return the number of rows taken."""
    joined = join([(f"run {number}", results) for number, results in enumerate(sources, 1)])
    with Store.open(to, planned) as store:
        return merge_into(store, planned, joined)


def same(found: Results, expected: Results, without: list[str]) -> None:
    """Assert that trials and curves are equal, except for some columns of the trials."""
    pd.testing.assert_frame_equal(found.trials.drop(columns=without), expected.trials.drop(columns=without), check_exact=True)
    pd.testing.assert_frame_equal(found.curves, expected.curves, check_exact=True)


@pytest.fixture
def planned() -> Plan:
    """Return a plan with one study per architecture."""
    return plans.plan(architectures=4)


@pytest.mark.parametrize("database", [False, True])
def test_parts_from_several_machines_are_one_run(tmp_path: Path, planned: Plan, database: bool) -> None:
    """The merged parts of two machines are complete and equal to one uninterrupted run, in a folder or a database."""
    to: Path | str = f"sqlite:///{tmp_path / 'joined.db'}" if database else tmp_path / "joined"
    parts = [train(tmp_path / str(number), planned, part_of(planned, Part(number, 2))) for number in (1, 2)]
    assert merged(parts, to, planned) == len(planned.all_trials)
    whole = train(tmp_path / "whole", planned)
    same(load_results(to), whole, [])
    with Store.open(to, planned) as store, Store.open(tmp_path / "whole", planned) as undisturbed:
        assert store.standings() == undisturbed.standings()


def test_a_run_goes_on_from_a_published_folder(tmp_path: Path, planned: Plan) -> None:
    """Existing rows are taken, only missing trials run, and studies continue with the same proposals as without interruption."""

    def interrupted(task: object) -> object:
        if len(executor.sent) > 9:
            raise KeyboardInterrupt
        return good(task)  # type: ignore[arg-type]

    executor = Scripted(interrupted)  # type: ignore[arg-type]
    with pytest.raises(KeyboardInterrupt), Store.open(tmp_path / "slice", planned) as store:
        Run(planned, store, executor, plans.HashTuner()).drive()
    first = load_results(tmp_path / "slice")
    published = load_results(publish_results(first, tmp_path / "published"))
    done = int((first.trials["status"] == "done").sum())
    assert merged([published], tmp_path / "next", planned) == done
    again = Scripted(good)
    with Store.open(tmp_path / "next", planned) as store:
        Run(planned, store, again, plans.HashTuner()).drive()
    assert len(again.sent) == len(planned.all_trials) - done
    found = load_results(tmp_path / "next")
    same(found, train(tmp_path / "whole", planned), APART)
    lost = found.attempts[found.attempts["outcome"] == "lost"]
    assert len(lost) == int((first.attempts["outcome"] == "lost").sum()) > 0
    charged = found.attempts.groupby("trial_id")["seconds"].sum()
    assert (found.trials.set_index("trial_id")["charged_seconds"] - charged).abs().max() < 1e-9


def test_equal_trials_are_kept_once_whatever_seconds_they_took(tmp_path: Path, planned: Plan) -> None:
    """The first run's row and attempt are kept, and merging again adds nothing."""
    whole = train(tmp_path / "run", planned)
    slower = dataclasses.replace(
        whole,
        trials=whole.trials.assign(train_seconds=99.0, total_seconds=99.0, charged_seconds=99.0),
        attempts=whole.attempts.assign(seconds=99.0, started_at=whole.attempts["started_at"] + 5.0),
        curves=whole.curves.assign(train_seconds=99.0),
    )
    joined = join([("a", whole), ("b", slower)])
    assert joined.repeated == len(planned.all_trials)
    same(joined.results, whole, [])
    assert len(joined.results.attempts) == len(whole.attempts)
    assert merged([slower], tmp_path / "run", planned) == 0
    same(load_results(tmp_path / "run"), whole, [])


@pytest.mark.parametrize(("table", "column"), [("trials", "val_accuracy"), ("trials", "status"), ("curves", "train_loss")])
def test_a_trial_that_two_runs_tell_of_differently_is_refused(tmp_path: Path, planned: Plan, table: str, column: str) -> None:
    """Any difference is an error that names the trial, the column and both values, and nothing is written."""
    whole = train(tmp_path / "run", planned)
    frame = getattr(whole, table).copy()
    frame.loc[3, column] = "diverged" if column == "status" else frame.loc[3, column] + 1e-12
    other = dataclasses.replace(whole, **{table: frame})
    with pytest.raises(InputError, match=rf"one and two disagree on a trial.*{frame.loc[3, 'trial_id']}.*{column} is .* and "):
        join([("one", whole), ("two", other)])
    with pytest.raises(InputError, match="disagree"):
        merged([other], tmp_path / "run", planned)
    same(load_results(tmp_path / "run"), whole, [])


def test_a_curve_that_one_run_lacks_is_a_difference(tmp_path: Path, planned: Plan) -> None:
    """If one run has a row of a curve that the other does not have, the runs disagree."""
    whole = train(tmp_path / "run", planned)
    with pytest.raises(InputError, match="some rows exist in one of them only"):
        join([("one", whole), ("two", dataclasses.replace(whole, curves=whole.curves.iloc[1:]))])


def test_lost_attempts_are_charged_wherever_they_were_lost_and_once(tmp_path: Path) -> None:
    """A loss on one machine is charged with the end on another; a loss that both runs contain is charged once."""
    planned = plans.plan(rounds=0, architectures=2, seeds=1)
    first, second = planned.trials
    with Store.open(tmp_path / "a", planned) as store:
        for trial in planned.trials:
            store.start(trial, 1, "worker-0", 60.0)
            store.lose(trial.id, 1, 5.0, "its worker died")
    lost = load_results(tmp_path / "a")
    assert merged([lost], tmp_path / "b", planned) == 0
    with Store.open(tmp_path / "b", planned) as store:
        assert store.standings()[first.id].attempts == 1
        assert store.standings()[first.id].losses == 0
        store.start(first, 2, "worker-0", 60.0)
        store.finish(plans.result_of(first, seconds=1.0), 2)
    train(tmp_path / "c", planned, Plan(sweep=planned.sweep, trials=(second,), studies=(), plugin_digests=planned.plugin_digests))
    merged([load_results(tmp_path / "c"), lost, load_results(tmp_path / "b")], tmp_path / "all", planned)
    trials = load_results(tmp_path / "all").trials
    assert list(trials["status"]) == ["done", "done"]
    assert list(trials["attempts"]) == [2, 2]
    assert list(trials["charged_seconds"]) == [6.0, 6.0]


def test_attempts_under_way_elsewhere_are_not_taken(tmp_path: Path) -> None:
    """A trial that another driver is still running is pending in the merged run."""
    planned = plans.plan(rounds=0, architectures=1, seeds=1)
    with Store.open(tmp_path / "live", planned) as store:
        store.start(planned.trials[0], 1, "worker-0", 60.0)
        assert merged([load_results(tmp_path / "live")], tmp_path / "to", planned) == 0
    found = load_results(tmp_path / "to")
    assert (list(found.trials["status"]), len(found.attempts)) == (["pending"], 0)


def test_no_run_writes_into_a_published_folder(tmp_path: Path, planned: Plan) -> None:
    """A published folder cannot be opened as a run; the error points to --from."""
    export(train(tmp_path / "run", planned), tmp_path / "published")
    with pytest.raises(InputError, match="--from"):
        Store.open(tmp_path / "published", planned)
