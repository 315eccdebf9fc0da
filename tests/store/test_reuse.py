"""Rows of equal trials are reused from any run, with their cost and code digests; all other rows are left out."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest

from agd_bench.errors import RunChangedError
from agd_bench.records import Plan
from agd_bench.scheduling.driver import Run
from agd_bench.store import Results, Store, declared_meta, join, load_results, merge_into, reusable_rows
from agd_bench.store.reader import faults_of
from tests.scheduling import plans
from tests.scheduling.scripted import Scripted, good

FREE, TUNED = "algorithms/free", "algorithms/tuned"
BOTH = {FREE: "0" * 16, TUNED: "0" * 16}


def train(location: Path, planned: Plan, start_from: tuple[Results, ...] = ()) -> tuple[Results, int]:
    """Run a plan to its end, starting from rows of other runs; return the results and the number of trials trained here."""
    reused = [reusable_rows("other", one, planned).results for one in start_from]
    executor = Scripted(good)
    with Store.open(location, planned, joined=[declared_meta(one) for one in reused]) as store:
        if reused:
            merge_into(store, planned, join([("other", one) for one in reused]))
        Run(planned, store, executor, plans.HashTuner()).drive()
    return load_results(location), len(executor.sent)


def test_a_larger_sweep_trains_what_no_other_has(tmp_path: Path) -> None:
    """With more architectures and seeds, rows, charges and proposals are the same as if the larger sweep had been trained alone."""
    small, large = plans.plan(architectures=2, name="small", digests=BOTH), plans.plan(architectures=4, seeds=3, name="large", digests=BOTH)
    before, sent = train(tmp_path / "small", small)
    found, more = train(tmp_path / "large", large, (before,))
    alone, all_of_them = train(tmp_path / "alone", large)
    assert (sent, more) == (len(small.all_trials), len(large.all_trials) - len(small.all_trials))
    assert all_of_them == len(large.all_trials)
    taken = found.trials["trial_id"].isin(before.trials["trial_id"])
    assert taken.sum() == len(before.trials)
    columns = [name for name in alone.trials if name not in ("train_seconds", "total_seconds")]
    assert found.trials[columns].equals(alone.trials[columns])
    attempts = found.attempts.merge(before.attempts, on=["trial_id", "started_at", "seconds"])
    assert len(attempts) == len(before.attempts), "each is charged once, as it was"
    assert faults_of(found) == []


def test_rows_of_two_sweeps_meet_in_a_third(tmp_path: Path) -> None:
    """Rows that both sweeps contain are kept and charged once."""
    first, _ = train(tmp_path / "a", plans.plan(architectures=3, rounds=0, name="a"))
    second, _ = train(tmp_path / "b", plans.plan(architectures=2, seeds=3, rounds=0, name="b"))
    whole = plans.plan(architectures=3, seeds=3, rounds=0, name="c")
    found, sent = train(tmp_path / "c", whole, (first, second))
    assert sent == 9 - (6 + 6 - 4)
    assert found.trials["attempts"].tolist() == [1] * 9
    assert found.trials["charged_seconds"].sum() == pytest.approx(found.attempts["seconds"].sum())


def test_nothing_in_common_says_why(tmp_path: Path) -> None:
    """If no row can be reused, the error says what differs."""
    results, _ = train(tmp_path / "run", plans.plan(architectures=2))
    trials = tuple(trial.model_copy(update={"batch_size": 64}) for trial in plans.plan(architectures=2, rounds=0).trials)
    other = Plan(sweep=plans.sweep(batch_size=64), trials=trials, studies=(), plugin_digests=BOTH)
    with pytest.raises(RunChangedError, match="none of its 14 trials can be reused: the sweep's batch_size changed"):
        reusable_rows("run", results, other)


def test_rows_of_edited_plugins_are_left_and_the_others_taken(tmp_path: Path) -> None:
    """An algorithm whose code changed is trained again, the rows of others are kept, and only the code of kept rows is declared."""
    results, _ = train(tmp_path / "run", plans.plan(digests=BOTH))
    edited = plans.plan(digests=BOTH | {TUNED: "1" * 16})
    taken = reusable_rows("run", results, edited)
    assert taken.edited == (TUNED,)
    assert set(taken.results.trials["algorithm"]) == {"free"}
    assert taken.omitted == (results.trials["algorithm"] == "tuned").sum()
    assert json.loads(taken.results.meta["plugin_digests"]) == {FREE: "0" * 16}
    accepted = reusable_rows("run", results, edited, allow_mixed_code=True)
    assert (accepted.edited, accepted.omitted) == ((), 0)
    with pytest.raises(RunChangedError, match=f"the code of {FREE}, the code of {TUNED} changed.*--allow-mixed-code"):
        reusable_rows("run", results, plans.plan(digests=dict.fromkeys(BOTH, "1" * 16)))


def test_finals_come_with_all_their_tuning_or_not_at_all(tmp_path: Path) -> None:
    """Final trials of a study without one of its tuning trials would look cheaper than they were, so they are left out."""
    results, _ = train(tmp_path / "run", plans.plan(architectures=2))
    tuning = results.trials["purpose"] == "tuning"
    gone = results.trials.loc[tuning, "trial_id"].iloc[0]
    study = results.trials.loc[tuning, "study"].iloc[0]
    parts = {name: getattr(results, name) for name in ("trials", "curves", "attempts")}
    cut = dataclasses.replace(results, **{name: rows[rows["trial_id"] != gone].reset_index(drop=True) for name, rows in parts.items()})
    taken = reusable_rows("run", cut, plans.plan(architectures=2, name="other")).results.trials
    assert set(taken.loc[taken["study"] == study, "purpose"]) == {"tuning"}
    assert "final" in set(taken.loc[taken["study"].notna() & (taken["study"] != study), "purpose"])


def test_an_adaptive_rules_unneeded_seeds_are_not_results(tmp_path: Path) -> None:
    """Another sweep may need the seeds that an adaptive rule left out; a sweep with the same rule may not."""
    adaptive = plans.plan(rounds=0, seeds=4, adaptive=plans.ADAPTIVE)
    results, _ = train(tmp_path / "run", plans.plan(rounds=0, seeds=4))
    rows = results.trials.assign(status=results.trials["status"].mask(results.trials["seed"] == 3, "unneeded"))
    same = dataclasses.replace(results, trials=rows)
    assert len(reusable_rows("run", same, plans.plan(rounds=0, seeds=4)).results.trials) == 8
    assert set(reusable_rows("run", same, adaptive).results.trials["seed"]) == {0, 1, 2}


def test_rows_without_what_the_sweep_records_are_trained_again(tmp_path: Path) -> None:
    """Diagnostics are not part of a trial's id and cannot be added afterwards."""
    results, _ = train(tmp_path / "run", plans.plan())
    with pytest.raises(RunChangedError, match="the sweep's diagnostics changed"):
        reusable_rows("run", results, plans.plan(diagnostics=["optimizer"]))


def test_results_of_an_equal_network_stay_with_their_sweep(tmp_path: Path) -> None:
    """A plan without representatives does not reuse rows that were copied from an equal network at no cost."""
    planned = plans.plan(architectures=2, rounds=0, seeds=1)
    first, second = planned.trials
    shared = planned.model_copy(update={"trials": (first, second.model_copy(update={"representative": first.id}))})
    results, sent = train(tmp_path / "shared", shared)
    assert sent == 1
    other = plans.plan(architectures=2, rounds=0, seeds=1, name="other")
    assert list(reusable_rows("shared", results, other).results.trials["trial_id"]) == [first.id]
    assert len(reusable_rows("shared", results, shared.model_copy(update={"sweep": other.sweep})).results.trials) == 2
