"""Intervals of means and medians, and Holm's correction."""

from __future__ import annotations

import math

import numpy as np
import pytest
import scipy.stats

from agd_bench.analysis.inference import holm, mean_interval, median_interval


def test_the_t_interval_of_a_textbook_sample() -> None:
    """The interval uses Student's quantile for 9 degrees of freedom, 2.262; a single value has no interval."""
    values = np.arange(1.0, 11.0)
    half = 2.262157 * np.sqrt(55 / 6 / 10)
    assert mean_interval(values) == pytest.approx((5.5 - half, 5.5 + half))
    assert all(math.isnan(end) for end in mean_interval(values[:1]))


def test_the_median_is_covered_whatever_the_distribution() -> None:
    """The interval contains the median of a skewed distribution in about 95 % of samples or more."""
    rng = np.random.default_rng(0)
    covered = [low <= math.log(2) <= high for low, high in (median_interval(rng.exponential(size=15)) for _ in range(400))]
    assert np.mean(covered) >= 0.93


@pytest.mark.parametrize(("count", "places"), [(5, None), (6, (0, 5)), (12, (2, 9)), (20, (5, 14))])
def test_the_median_lies_between_order_statistics(count: int, places: tuple[int, int] | None) -> None:
    """The ends are the tabulated order statistics for 95 %, also with infinite values; too few values have no interval."""
    numbers = np.arange(count, dtype=float)
    numbers[-1] = math.inf
    low, high = median_interval(np.random.default_rng(0).permutation(numbers))
    if places is None:
        assert math.isnan(low)
        assert math.isnan(high)
    else:
        assert (low, high) == (numbers[places[0]], numbers[places[1]])


@pytest.mark.parametrize("p", [[], [0.3], [0.01, 0.2, 0.01, 0.6, 0.04, 0.9]])
def test_it_is_statsmodels(p: list[float]) -> None:
    """The correction equals that of statsmodels, also with ties, for a single test and for none."""
    multitest = pytest.importorskip("statsmodels.stats.multitest")
    expected = multitest.multipletests(p, method="holm")[1] if p else []
    assert holm(np.array(p)) == pytest.approx(expected)


def test_all_true_nulls_are_rarely_rejected() -> None:
    """Of 400 families of ten true null hypotheses, a share of 1 - 0.995 ** 10 (about 5 %) have a corrected p of at most 5 %."""
    rng = np.random.default_rng(0)
    rejected = sum(bool((holm(rng.uniform(size=10)) <= 0.05).any()) for _ in range(400))
    assert scipy.stats.binomtest(rejected, 400, 1 - 0.995**10).pvalue > 0.001
