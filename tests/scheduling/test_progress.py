"""Progress of a run: trial counts, the best results so far, and the time left."""

from __future__ import annotations

import pytest

from agd_bench.scheduling.progress import Meter
from agd_bench.store import Standing
from tests.scheduling.plans import accuracy_of, plan, result_of


class Clock:
    """A clock that a test advances by hand."""

    now = 0.0

    def __call__(self) -> float:
        """Return the seconds so far."""
        return self.now


def test_a_snapshot_counts_every_trial_in_one_state() -> None:
    """Pending, running and ended trials add up to the plan at every step."""
    planned = plan()
    meter = Meter(planned, {trial.id: Standing() for trial in planned.all_trials})
    first, second = planned.trials[:2]
    meter.started(first)
    meter.started(second)
    snapshot = meter.snapshot(2)
    assert snapshot.counts == {"pending": snapshot.total - 2, "running": 2}
    assert snapshot.running == (first, second)
    meter.stopped(first)
    meter.ended(first, result_of(first))
    meter.stopped(second)
    snapshot = meter.snapshot(2)
    assert snapshot.counts == {"pending": snapshot.total - 1, "done": 1}
    assert snapshot.best == {"free": (accuracy_of(first), first.architecture)}


def test_the_best_is_of_finished_trials_alone() -> None:
    """The accuracy of a failed trial never counts as the best, and a restart remembers the best result from before."""
    planned = plan(rounds=0)
    first, second = planned.trials[:2]
    standings = {trial.id: Standing() for trial in planned.all_trials} | {
        first.id: Standing("done", 1, val_accuracy=0.3, total_seconds=1.0)
    }
    meter = Meter(planned, standings)
    meter.ended(second, result_of(second).model_copy(update={"status": "failed", "val_accuracy": 0.99}))
    assert meter.snapshot(1).best == {"free": (0.3, first.architecture)}


def test_the_time_left_follows_from_the_kinds_of_trials() -> None:
    """Each kind of trial is estimated by its own mean, running trials count only for their remaining time, and slots share the work."""
    planned = plan(architectures=2, seeds=2, rounds=3)
    clock = Clock()
    meter = Meter(planned, {trial.id: Standing() for trial in planned.all_trials}, clock)
    assert meter.snapshot(1).remaining_seconds is None
    tuning, free = planned.studies[0].rounds[0][0], planned.trials[0]
    for trial, seconds in ((tuning, 10.0), (free, 2.0)):
        meter.started(trial)
        meter.stopped(trial)
        meter.ended(trial, result_of(trial, seconds))
    # Left: 3 finals of `free` at 2 s, 5 proposals at 10 s, 4 finals of `tuned` at the 10 s of its proposals.
    assert meter.snapshot(1).remaining_seconds == pytest.approx(3 * 2 + 5 * 10 + 4 * 10)
    assert meter.snapshot(4).remaining_seconds == pytest.approx((3 * 2 + 5 * 10 + 4 * 10) / 4)
    meter.started(planned.trials[1])
    clock.now += 1.5
    assert meter.snapshot(1).remaining_seconds == pytest.approx(3 * 2 + 5 * 10 + 4 * 10 - 1.5)
    clock.now += 100
    assert meter.snapshot(1).remaining_seconds == pytest.approx(2 * 2 + 5 * 10 + 4 * 10)
    assert meter.snapshot(1).elapsed_seconds == pytest.approx(101.5)


def test_nothing_is_left_when_all_ended() -> None:
    """A finished run has no time left, even if nothing was measured."""
    planned = plan(rounds=0)
    meter = Meter(planned, {trial.id: Standing("failed") for trial in planned.all_trials})
    assert meter.snapshot(1).remaining_seconds == 0.0


def test_the_time_left_counts_epochs_where_a_kind_is_unknown() -> None:
    """Finals with fifty times the epochs are expected to take fifty times as long as the tuning trials measured so far."""
    planned = plan(architectures=1, seeds=1, rounds=2)
    study = planned.studies[0]
    long = study.final[0].model_copy(update={"epochs": 100})
    planned = planned.model_copy(update={"trials": (), "studies": (study.model_copy(update={"final": (long,)}),)})
    meter = Meter(planned, {trial.id: Standing() for trial in planned.all_trials}, Clock())
    tuning = study.rounds[0][0]
    meter.ended(tuning, result_of(tuning, 10.0))
    assert meter.snapshot(1).remaining_seconds == pytest.approx(10.0 + 50 * 10.0)
