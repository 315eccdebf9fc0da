"""Places with their uncertainty, counting failures."""

from __future__ import annotations

import pandas as pd
import pytest

from agd_bench.analysis import standings
from tests.analysis.synthetic import simulate_trials, spoil


def test_failing_where_it_is_hard_gains_nothing() -> None:
    """An algorithm that is two points better but fails half of its trainings is last, and failures are counted by kind."""
    trials = spoil(simulate_trials(12, 3, gain=0.02, noise=0.001), "agd", "diverged", range(12))
    trials = spoil(trials, "agd", "refused", range(12, 18))
    last = standings(trials, "sgd").iloc[-1]
    assert (last["algorithm"], last["place"], last["place_low"], last["place_high"]) == ("agd", 2, 2, 2)
    assert last["accuracy"] == pytest.approx(trials.loc[trials["algorithm"] == "agd", "test_accuracy"].fillna(0).mean(), abs=1e-6)
    assert last[["bad", "diverged", "failed", "refused", "trainings"]].tolist() == [18, 12, 0, 6, 36]


def test_what_nobody_can_train_is_left_out() -> None:
    """An architecture that every algorithm refuses counts as a failure of none; one that only some refuse counts for those."""
    trials = simulate_trials(10, 2)
    for label in ("sgd", "agd"):
        trials = spoil(trials, label, "refused", [0, 1])
    table = standings(trials, "sgd")
    assert table["architectures"].tolist() == [9, 9]
    assert table["bad"].tolist() == [0, 0]
    assert standings(spoil(simulate_trials(10, 2), "agd", "refused", [0, 1]), "sgd")["bad"].tolist() == [0, 2]


def test_places_are_shared_where_nothing_tells_them_apart() -> None:
    """Two equal algorithms far above a third share places 1 to 2, and the third has place 3."""
    trials = pd.concat([simulate_trials(20, 3, ("a", "b"), noise=0.02), simulate_trials(20, 3, ("c",), noise=0.02, seed=0)])
    trials.loc[trials["algorithm"] == "c", "test_accuracy"] -= 0.3
    table = standings(trials, "a").set_index("algorithm")
    assert table.loc[["a", "b", "c"], ["place_low", "place_high"]].to_numpy().tolist() == [[1, 2], [1, 2], [3, 3]]
    assert table.loc[["a"], "difference_low"].isna().all()


def test_true_places_are_covered() -> None:
    """In simulations without any difference, a place is wrongly excluded in about 5 % at most."""
    wrong = 0
    for seed in range(60):
        table = standings(simulate_trials(15, 2, ("a", "b", "c"), interaction=1e-9, seed=seed), "a", resamples=200)
        wrong += bool((table["place_low"] > 1).any())
    assert wrong <= 8


@pytest.mark.parametrize("architectures", [1, 3])
def test_few_architectures_have_no_places(architectures: int) -> None:
    """Few architectures are ordered by their means, without an interval of places."""
    table = standings(simulate_trials(architectures, 2), "sgd")
    assert table["place"].tolist() == [1, 2]
    assert table[["place_low", "place_high"]].isna().all(axis=None)


def test_nothing_ended_is_no_crash() -> None:
    """If no trial has ended, the row has no numbers and there is no error."""
    table = standings(spoil(simulate_trials(3, 1, ("agd",)), "agd", "pending", range(3)), "agd")
    assert table[["architectures", "trainings"]].values.tolist() == [[0, 0]]
    assert table["accuracy"].isna().all()
