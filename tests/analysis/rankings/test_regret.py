"""Transfer regret of choosing an architecture by one ranking and training it with another algorithm."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from agd_bench.analysis import transfer_regret
from agd_bench.analysis.rankings.regret import Choices
from agd_bench.errors import InputError
from tests.analysis.synthetic import simulate_trials, spoil


@pytest.mark.slow
def test_a_choice_is_not_flattered_by_its_own_noise() -> None:
    """With equal true rankings the regret is about 0 when scored on other seeds; with one seed it is biased upwards."""
    fair = [transfer_regret(simulate_trials(30, 2, noise=0.03, seed=seed), resamples=0)["transfer_regret"].mean() for seed in range(60)]
    biased = [transfer_regret(simulate_trials(30, 1, noise=0.03, seed=seed))["transfer_regret"].mean() for seed in range(60)]
    assert abs(np.mean(fair)) < 0.01
    assert np.mean(biased) > 0.02


def test_disjoint_says_which_it_is() -> None:
    """With two seeds choosing and scoring use disjoint seeds; a single seed cannot be split."""
    assert transfer_regret(simulate_trials(3, 2))["disjoint"].all()
    assert not transfer_regret(simulate_trials(3, 1))["disjoint"].any()


def test_diverged_choices_lose_everything() -> None:
    """If the chosen architecture diverges, the regret is the whole accuracy of the trainer's own best."""
    trials = simulate_trials(5, 2, noise=0.0)
    best = int(trials.loc[trials["algorithm"] == "sgd"].groupby("architecture", sort=False)["test_accuracy"].mean().argmax())
    trials = spoil(trials, "agd", "diverged", [2 * best, 2 * best + 1])
    row = transfer_regret(trials).query("trained_by == 'agd'").iloc[0]
    assert row["transfer_regret"] == pytest.approx(row["own_best_accuracy"])
    assert row["transfer_regret"] > 0.5


def test_no_shared_architecture_gives_no_row() -> None:
    """Algorithms without an architecture in common cannot choose for each other."""
    assert transfer_regret(spoil(simulate_trials(2, 1), "agd", "refused", [0, 1])).empty


def accuracies(architectures: int, seeds: int, **settings: float) -> tuple[pd.DataFrame, pd.Series[float]]:
    """Return trials, and each architecture's mean accuracy under the first algorithm in per cent, as a benchmark publishes it."""
    trials = simulate_trials(architectures, seeds, **settings)  # type: ignore[arg-type]
    listed = trials[trials["algorithm"] == "sgd"].groupby("architecture", sort=False)["test_accuracy"].mean()
    return trials, 100 * listed


def test_a_published_ranking_chooses_too() -> None:
    """Without noise, published accuracies of the first algorithm choose as it does; unlisted architectures are left out."""
    trials, listed = accuracies(20, 2, noise=0.0, interaction=0.05)
    table = transfer_regret(trials, published=listed).set_index(["chosen_by", "trained_by"])
    assert table.loc[("published", "sgd"), "transfer_regret"] == pytest.approx(0)
    assert table.loc[("published", "agd"), "transfer_regret"] == pytest.approx(table.loc[("sgd", "agd"), "transfer_regret"])
    best = str(listed.idxmax())
    fewer = transfer_regret(trials, published=listed.drop(best)).query("chosen_by == 'published'")
    assert fewer["architectures"].eq(19).all()
    assert transfer_regret(trials, published=listed.rename(lambda name: f"another {name}"))["chosen_by"].ne("published").all()


def test_a_published_ranking_that_contradicts_itself_is_refused() -> None:
    """An architecture listed twice and non-numeric accuracies are errors."""
    trials, listed = accuracies(3, 1)
    with pytest.raises(InputError, match="twice"):
        transfer_regret(trials, published=pd.concat([listed, listed]))
    with pytest.raises(InputError, match="numbers"):
        transfer_regret(trials, published=listed.astype(str))  # type: ignore[arg-type]


def test_intervals_stand_where_they_can() -> None:
    """The regret has an interval given enough architectures and two seeds; with seven architectures or one seed it has none."""
    table = transfer_regret(simulate_trials(30, 2, interaction=0.05))
    assert (table["regret_low"] <= table["regret_high"]).all()
    assert (table["regret_high"] > 0).all()
    for trials in (simulate_trials(7, 2), simulate_trials(30, 1)):
        assert transfer_regret(trials)[["regret_low", "regret_high"]].isna().all(axis=None)


def test_resamples_choose_among_what_they_hold() -> None:
    """Each resample chooses the best architecture it contains; ties are averaged, weighted by how often each was drawn."""
    weights = np.array([[1, 1, 1, 1], [0, 2, 1, 1], [2, 0, 0, 2]], dtype=np.int32)
    reached = np.array([0.0, 0.1, 0.4, 1.0])
    assert Choices.by(np.array([0.9, 0.8, 0.8, 0.1]), weights).scored(reached) == pytest.approx([0.0, 0.2, 0.0])
    assert Choices.by(np.array([0.1, 0.2, 0.2, 0.2]), weights).scored(reached) == pytest.approx([0.5, 0.4, 1.0])
