"""Transfer regret: chosen by one ranking, trained by another algorithm."""

from __future__ import annotations

import numpy as np
import pytest

from agd_bench.analysis import transfer_regret
from tests.analysis.synthetic import simulate_trials, spoil


def test_a_choice_is_not_flattered_by_its_own_noise() -> None:
    """With equal true rankings the regret is about 0 when scored on other seeds; with one seed it is biased upwards."""
    fair = [transfer_regret(simulate_trials(30, 2, noise=0.03, seed=seed))["transfer_regret"].mean() for seed in range(60)]
    biased = [transfer_regret(simulate_trials(30, 1, noise=0.03, seed=seed))["transfer_regret"].mean() for seed in range(60)]
    assert abs(np.mean(fair)) < 0.01
    assert np.mean(biased) > 0.02


def test_disjoint_says_which_it_is() -> None:
    """One seed cannot be split."""
    assert transfer_regret(simulate_trials(3, 2))["disjoint"].all()
    assert not transfer_regret(simulate_trials(3, 1))["disjoint"].any()


def test_diverged_choices_lose_everything() -> None:
    """If the chosen architecture diverges in the trainer's hands, all of the trainer's accuracy is lost."""
    trials = simulate_trials(5, 2, noise=0.0)
    best = int(trials.loc[trials["algorithm"] == "sgd"].groupby("architecture", sort=False)["test_accuracy"].mean().argmax())
    trials = spoil(trials, "agd", "diverged", [2 * best, 2 * best + 1])
    row = transfer_regret(trials).query("trained_by == 'agd'").iloc[0]
    assert row["transfer_regret"] == pytest.approx(row["own_best_accuracy"])
    assert row["transfer_regret"] > 0.5


def test_no_shared_architecture_gives_no_row() -> None:
    """Algorithms without an architecture in common cannot choose for each other."""
    assert transfer_regret(spoil(simulate_trials(2, 1), "agd", "refused", [0, 1])).empty
