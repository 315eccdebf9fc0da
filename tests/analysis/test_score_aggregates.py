"""Aggregates: agreement with scipy, symmetry, and intervals that cover with few seeds."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.stats
from hypothesis import given, settings
from hypothesis import strategies as st

from agd_bench.analysis import aggregate_scores, probability_of_improvement
from agd_bench.analysis.score_aggregates import trimmed_mean
from agd_bench.errors import InputError
from tests.analysis.synthetic import simulate_trials, spoil


def test_statistics_by_their_definitions() -> None:
    """Median of architectures' means, mean of the middle half, mean, and what lacks to the optimum."""
    trials = simulate_trials(9, 3, ("agd",), noise=0.05)
    values = trials["test_accuracy"].to_numpy().reshape(9, 3)
    table = aggregate_scores(trials, optimum=0.8, resamples=20).set_index("statistic")["value"]
    assert table["median"] == pytest.approx(np.median(values.mean(axis=1)))
    assert table["iqm"] == pytest.approx(scipy.stats.trim_mean(values.ravel(), 0.25))
    assert table["mean"] == pytest.approx(values.mean())
    assert table["optimality_gap"] == pytest.approx(np.maximum(0.8 - values, 0).mean())


@given(st.lists(st.tuples(st.floats(0, 1), st.integers(0, 3)), min_size=1, max_size=40).filter(lambda rows: any(w for _, w in rows)))
@settings(max_examples=100, deadline=None)
def test_weights_stand_for_copies(rows: list[tuple[float, int]]) -> None:
    """The trimmed mean with weights equals scipy's of the copies."""
    values, weights = (np.array(column, dtype=float) for column in zip(*sorted(rows), strict=True))
    copies = np.repeat(values, weights.astype(int))
    assert trimmed_mean(values, weights) == pytest.approx(scipy.stats.trim_mean(copies, 0.25))


def test_intervals_cover_with_three_seeds() -> None:
    """Over 100 simulations of new seeds on the same 20 architectures the interval of the mean covers the truth in 88 or more."""
    truth = simulate_trials(20, 3, ("agd",), noise=0.0)["test_accuracy"].to_numpy()
    rng, covered = np.random.default_rng(5), 0
    trials = simulate_trials(20, 3, ("agd",))
    for _ in range(100):
        trials["test_accuracy"] = (truth + rng.normal(0, 0.02, 60)).clip(0, 1)
        row = aggregate_scores(trials, resamples=100).set_index("statistic").loc["mean"]
        covered += bool(row["low"] <= truth.mean() <= row["high"])
    assert covered >= 88


def test_probability_is_symmetric_and_by_pairs_of_seeds() -> None:
    """It is the share of pairs of seeds won, ties one half, and the two directions add up to 1."""
    trials = simulate_trials(6, 3, ("sgd", "agd"), interaction=0.02, noise=0.02)
    table = probability_of_improvement(trials, resamples=50).set_index("algorithm")
    values = {name: rows["test_accuracy"].to_numpy().reshape(6, 3) for name, rows in trials.groupby("algorithm")}
    wins = (values["agd"][:, :, None] > values["sgd"][:, None, :]).mean()
    assert table["probability"].to_dict()["agd"] == pytest.approx(wins)
    assert table["probability"].sum() == pytest.approx(1)
    assert table["low"].to_dict()["agd"] == pytest.approx(1 - table["high"].to_dict()["sgd"])
    assert table["low"].le(table["probability"]).all()


def test_equal_algorithms_have_one_half() -> None:
    """Ties count one half, so an algorithm does not improve on its double."""
    table = probability_of_improvement(simulate_trials(5, 2, ("a", "b"), noise=0.0))
    assert table["probability"].tolist() == [0.5, 0.5]


def test_one_seed_has_no_interval_and_divergence_scores_0() -> None:
    """Nothing varies over one seed, so the interval is missing; a diverged trial lowers the mean."""
    trials = simulate_trials(4, 1)
    table = aggregate_scores(trials)
    assert table[["low", "high"]].isna().all(axis=None)
    assert probability_of_improvement(trials)["low"].isna().all()
    worse = aggregate_scores(spoil(trials, "agd", "diverged", [0])).set_index(["algorithm", "statistic"])["value"]
    lost = trials.loc[trials["algorithm"] == "agd", "test_accuracy"].iloc[0] / 4
    assert worse["agd", "mean"] == pytest.approx(table.set_index(["algorithm", "statistic"])["value"]["agd", "mean"] - lost)
    with pytest.raises(InputError, match="optimum = 95"):
        aggregate_scores(trials, optimum=95)
