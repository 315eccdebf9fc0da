"""Overlap of the best architectures, against chance and noise."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.stats

from agd_bench.analysis import top_k_overlap
from agd_bench.errors import InputError
from tests.analysis.synthetic import simulate_trials


def test_overlap_of_equal_and_reversed_rankings() -> None:
    """Noise-free equal rankings share all of their best; reversed ones none; chance is k of n."""
    trials = simulate_trials(10, 2, noise=0.0)
    reversed_ = trials.assign(test_accuracy=np.where(trials["algorithm"] == "agd", 1 - trials["test_accuracy"], trials["test_accuracy"]))
    for table, expected in ((top_k_overlap(trials, k=3), 1.0), (top_k_overlap(reversed_, k=3), 0.0)):
        row = table[table["algorithm"] != table["other"]].iloc[0]
        assert row["overlap"] == pytest.approx(expected)
        assert row["chance"] == pytest.approx(0.3)
        assert row["noise_ceiling"] == pytest.approx(1.0)


def test_overlap_of_ties_is_chance() -> None:
    """If all architectures are tied, the shared top is what chance gives."""
    trials = simulate_trials(10, 2).assign(test_accuracy=0.5)
    assert top_k_overlap(trials, k=2)["overlap"].to_numpy() == pytest.approx(0.2)


def test_a_k_below_one_is_refused() -> None:
    """k = 0 is an error."""
    with pytest.raises(InputError, match="k = 0"):
        top_k_overlap(simulate_trials(3, 1), k=0)


def test_a_share_beyond_one_is_refused() -> None:
    """Shares are fractions, not percentages, so a share above 1 is an error."""
    with pytest.raises(InputError, match="shares"):
        top_k_overlap(simulate_trials(3, 1), shares=(5,))


def test_three_shares_at_once() -> None:
    """One, five and ten per cent of 100 architectures; with 12 they all give k = 1, which is listed once."""
    assert top_k_overlap(simulate_trials(100, 2))["k"].unique().tolist() == [1, 5, 10]
    small = top_k_overlap(simulate_trials(12, 2))
    assert small["k"].unique().tolist() == [1]
    assert not small.duplicated(["algorithm", "other", "k"]).any()


@pytest.mark.slow
def test_chance_is_hypergeometric() -> None:
    """With one seed the p-value is scipy's tail for the number of common architectures; unrelated rankings are rarely below 5 %."""
    p = []
    for seed in range(60):
        trials = simulate_trials(50, 1, ("sgd", "agd"), interaction=10.0, spread=1e-9, noise=0.0, seed=seed)
        trials["test_accuracy"] = np.random.default_rng(seed).random(len(trials))
        row = top_k_overlap(trials, k=10).query("algorithm != other").iloc[0]
        common = round(row["overlap"] * 10)
        assert row["chance_p"] == pytest.approx(scipy.stats.hypergeom(50, 10, 10).sf(common - 1))
        p.append(row["chance_p"])
    assert np.mean(np.array(p) <= 0.05) <= 0.12


def test_the_top_of_the_top_decile() -> None:
    """Within the top decile of 100 architectures, ten, the best of them are compared; two seeds give no rows."""
    table = top_k_overlap(simulate_trials(100, 3), shares=(0.3,), subset="top-decile")
    assert table["architectures"].eq(10).all()
    assert table["k"].eq(3).all()
    assert top_k_overlap(simulate_trials(100, 2), subset="top-decile").empty
