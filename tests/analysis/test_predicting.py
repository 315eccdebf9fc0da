"""Agreement of predicted and searched learning rates."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from agd_bench.analysis import prediction_correlation
from agd_bench.errors import InputError


def table(predicted: list[float], searched: list[float], space: str = "s") -> pd.DataFrame:
    """Rates of one group."""
    group = {"search_space": space, "dataset": "d", "profile": "p"}
    return pd.DataFrame({"predicted_rate": predicted, "searched_rate": searched, "at_grid_end": False}).assign(**group)


def test_correlation_against_its_formula() -> None:
    """Pearson's r written out, and Fisher's interval."""
    rng = np.random.default_rng(0)
    one = rng.lognormal(size=30)
    other = one * rng.lognormal(sigma=0.3, size=30)
    row = prediction_correlation(table(list(one), list(other))).iloc[0]
    first, second = one - one.mean(), other - other.mean()
    r = float(first @ second / np.sqrt(first @ first * (second @ second)))
    assert row["pearson"] == pytest.approx(r)
    half = 1.959964 / np.sqrt(27)
    assert (row["pearson_low"], row["pearson_high"]) == pytest.approx((np.tanh(np.arctanh(r) - half), np.tanh(np.arctanh(r) + half)))
    assert row["pearson_log"] == pytest.approx(np.corrcoef(np.log(one), np.log(other))[0, 1])


def test_groups_stay_apart_and_gaps_are_left_out() -> None:
    """One row per group of at least four; a rate that is missing is no rate."""
    rising = [0.1, 0.2, 0.3, 0.4]
    rates = pd.concat([table([*rising, 9.0], [*rising, np.nan]), table(rising, rising[::-1], "t"), table(rising[:3], rising[:3], "few")])
    found = prediction_correlation(rates)
    assert found[["search_space", "architectures", "pearson"]].values.tolist() == [["s", 4, pytest.approx(1)], ["t", 4, pytest.approx(-1)]]
    assert len(prediction_correlation(rates.iloc[:0])) == 0


def test_equal_rates_have_no_correlation() -> None:
    """Missing, not 0 or 1."""
    row = prediction_correlation(table([0.1, 0.2, 0.3, 0.4], [0.1] * 4)).iloc[0]
    assert np.isnan([row["pearson"], row["pearson_low"], row["pearson_log"], row["spearman"]]).all()
    assert row["median_ratio"] == pytest.approx(2.5)


def test_rates_of_nothing_are_an_error() -> None:
    """A rate is above 0."""
    with pytest.raises(InputError, match="rates are above 0"):
        prediction_correlation(table([0.1, 0.0], [0.1, 0.1]))
