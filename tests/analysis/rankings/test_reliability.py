"""Reliability of rankings and the noise ceilings that follow from it."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agd_bench.analysis.rankings.reliability import correlation_of_tau, one_seed_reliability, spearman_brown, tau_of_correlation


@given(reliability=st.floats(0.01, 1), seeds=st.integers(1, 50))
def test_spearman_brown_of_a_mean_of_means(reliability: float, seeds: int) -> None:
    """Applying the formula for n seeds and then for 2 equals applying it once for 2n seeds."""
    once = spearman_brown(reliability, seeds)
    assert spearman_brown(once, 2) == pytest.approx(float(spearman_brown(reliability, 2 * seeds)))
    assert reliability - 1e-12 <= once <= 1 + 1e-12


@given(tau=st.floats(-1, 1))
def test_tau_and_correlation_are_inverse(tau: float) -> None:
    """Greiner's relation and its inverse round-trip."""
    assert float(tau_of_correlation(correlation_of_tau(tau))) == pytest.approx(tau, abs=1e-7)


@pytest.mark.slow
def test_reliability_intervals_cover() -> None:
    """The 95 % interval of one seed's reliability covers the truth in about 95 % of runs, also with unequal numbers of seeds."""
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
