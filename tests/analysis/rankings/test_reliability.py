"""Reliability of rankings and the noise ceilings that follow from it."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import scipy.stats
from hypothesis import given
from hypothesis import strategies as st

from agd_bench.analysis import kendall_tau, noise_ceilings
from agd_bench.analysis.rankings.reliability import correlation_of_tau, one_seed_reliability, spearman_brown, tau_of_correlation
from agd_bench.errors import InputError
from tests.analysis.synthetic import simulate_trials, spoil
from tests.analysis.tables import number


@given(reliability=st.floats(0.01, 1), seeds=st.integers(1, 50))
def test_spearman_brown_of_a_mean_of_means(reliability: float, seeds: int) -> None:
    """Doubling the seeds of a ranking of so many seeds is the ranking of twice as many."""
    once = spearman_brown(reliability, seeds)
    assert spearman_brown(once, 2) == pytest.approx(float(spearman_brown(reliability, 2 * seeds)))
    assert reliability - 1e-12 <= once <= 1 + 1e-12


@given(tau=st.floats(-1, 1))
def test_tau_and_correlation_are_inverse(tau: float) -> None:
    """Greiner's relation there and back."""
    assert float(tau_of_correlation(correlation_of_tau(tau))) == pytest.approx(tau, abs=1e-7)


def test_ceilings_are_the_agreement_of_fresh_rankings() -> None:
    """Ceilings told from 3 seeds are scipy's tau between simulated rankings of 1 and of 5 fresh seeds each."""
    rng = np.random.default_rng(0)
    true = rng.standard_normal(4000)
    noise = 0.6
    trials = simulate_trials(800, 3, algorithms=("sgd",), noise=0.03 * noise, spread=0.03, seed=1)
    table = noise_ceilings(trials, seeds=(1, 5)).set_index("seeds")
    for seeds in (1, 5):
        first, second = (true + noise / seeds**0.5 * rng.standard_normal(4000) for _ in range(2))
        assert number(table, seeds, "noise_ceiling") == pytest.approx(scipy.stats.kendalltau(first, second).statistic, abs=0.025)
        assert number(table, seeds, "ceiling_low") < number(table, seeds, "noise_ceiling") < number(table, seeds, "ceiling_high")


def test_ceiling_agrees_with_the_measured_one() -> None:
    """At the seeds that were compared, the ceiling is the one that `kendall_tau` measures over disjoint halves."""
    trials = simulate_trials(300, 4, noise=0.02, seed=2)
    measured = kendall_tau(trials, resamples=0)
    own = measured[measured["algorithm"] == measured["other"]].set_index("algorithm")["noise_ceiling"]
    told = noise_ceilings(trials, seeds=(2,)).set_index("algorithm")["noise_ceiling"]
    pd.testing.assert_series_equal(told, own, atol=0.02, check_names=False)


def test_reliability_intervals_cover() -> None:
    """The 95 % interval of one seed's reliability holds the truth in 95 % of simulated runs, unequal numbers of seeds included."""
    rng = np.random.default_rng(4)
    runs, truth, hits = 300, 0.7, np.zeros(2)
    for _ in range(runs):
        values = np.sqrt(truth) * rng.standard_normal((24, 1)) + np.sqrt(1 - truth) * rng.standard_normal((24, 3))
        gappy = np.where((rng.random((24, 3)) < 0.2) & (np.arange(3) > 0), np.nan, values)
        for place, given_values in enumerate((values, gappy)):
            _, low, high = one_seed_reliability(given_values)
            hits[place] += low <= truth <= high
    assert (hits >= 0.91 * runs).all()
    assert (hits <= 0.99 * runs).all()


def test_what_cannot_be_told_is_missing() -> None:
    """One seed or equal accuracies give no ceiling; no noise at all gives 1; fewer than one seed is refused."""
    assert noise_ceilings(simulate_trials(8, 1))["noise_ceiling"].isna().all()
    assert noise_ceilings(simulate_trials(8, 3, noise=0, spread=0))["noise_ceiling"].isna().all()
    assert (noise_ceilings(simulate_trials(8, 3, noise=0))["noise_ceiling"] == 1).all()
    assert noise_ceilings(spoil(simulate_trials(8, 3), "agd", "refused", range(24)))["noise_ceiling"].isna().sum() == 6
    with pytest.raises(InputError, match="from 1"):
        noise_ceilings(simulate_trials(8, 2), seeds=(0,))
