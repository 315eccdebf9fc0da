"""Power planning: shifts and gaps, simulated verdicts, and sufficient designs."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import scipy.stats
from hypothesis import given
from hypothesis import strategies as st

from agd_bench.analysis import DesignCost, kendall_tau, pilot_reliabilities, power_table, shift_of_gap, sufficient_designs
from agd_bench.analysis.rankings.null_test import Interaction
from agd_bench.analysis.rankings.power import Shift, gaps, pair_ceiling, simulate
from agd_bench.errors import InputError
from tests.analysis.synthetic import simulate_trials
from tests.analysis.tables import as_trials


@given(gap=st.floats(-0.4, -0.01), reliability=st.tuples(st.floats(0.4, 1), st.floats(0.4, 1)), seeds=st.sampled_from([None, 1, 3]))
def test_a_shift_shows_the_gap_that_was_asked_for(gap: float, reliability: tuple[float, float], seeds: int | None) -> None:
    """The expected gap with those seeds equals the requested one, and more seeds reveal more of the shift."""
    shift = shift_of_gap(gap, reliability, seeds)
    assert shift.gap(seeds or float("inf")) == pytest.approx(gap)
    gaps = [shift.gap(count) for count in (1, 2, 4, 8)]
    assert gaps == sorted(gaps, reverse=True) or min(reliability) > 0.9  # near 1, rounding decides
    assert shift.gap(float("inf")) <= gaps[0] + 1e-9


def test_simulated_runs_have_that_gap() -> None:
    """In a large simulated run, scipy's tau between algorithms and between seeds of one algorithm match the model."""
    shift = shift_of_gap(-0.2, (0.9, 0.6), 1)
    (scores,) = simulate(shift, 4000, 2, 1, np.random.default_rng(0))
    across, own = scipy.stats.kendalltau(scores[0, :, 0], scores[1, :, 1]), scipy.stats.kendalltau(scores[1, :, 0], scores[1, :, 1])
    ceiling = 2 / np.pi * np.arcsin(shift.reliability(1))
    assert across.statistic == pytest.approx(ceiling - 0.2, abs=0.03)
    assert own.statistic == pytest.approx(2 / np.pi * np.arcsin(0.6), abs=0.03)


def test_power_grows_with_architectures_and_seeds() -> None:
    """Power grows with both, stays below the level without a shift, and is 0 with one seed or seven architectures."""
    shift = shift_of_gap(-0.2, (0.8, 0.7), 1)
    table = power_table(shift, [8, 16, 32, 64], [2, 4], simulations=400).pivot(index="architectures", columns="seeds", values="power")
    assert (table.diff().iloc[1:] >= 0).all().all()
    assert (table[4] >= table[2]).all()
    assert table.to_numpy().max() > 0.95 > 0.5 > table.to_numpy().min()
    none = power_table(Shift(1.0, (0.9, 0.5)), [24], [2, 3], simulations=1000)
    assert none["power"].between(0.005, 0.05).all()
    assert power_table(shift, [7], [4])["power"].tolist() == [0.0]
    assert power_table(shift, [50], [1])["power"].tolist() == [0.0]


def test_sufficient_designs_suffice_and_smaller_ones_do_not() -> None:
    """Each design reaches the requested power with other random numbers, two thirds of its architectures do not; the cheapest is first."""
    shift, cost = shift_of_gap(-0.25, (0.8, 0.8), 1), DesignCost(100.0, 6.0, 4.0)
    table = sufficient_designs(shift, 0.8, (2, 4), cost)
    assert table["cost"].is_monotonic_increasing
    assert sorted(table["seeds"]) == [2, 4]
    for row in table.to_dict("records"):
        count, seeds = int(row["architectures"]), int(row["seeds"])
        assert row["cost"] == 100 + count * (6 + 4 * seeds)
        fresh, fewer = power_table(shift, [count, count * 2 // 3], [seeds], seed=1, simulations=2000)["power"]
        assert fresh == pytest.approx(row["power"], abs=0.06)
        assert fewer < 0.8


def test_what_cannot_be_seen_has_no_design() -> None:
    """A tiny shift has no design of up to 400 architectures; above that number the power is that of 400."""
    assert sufficient_designs(shift_of_gap(-0.002, (0.5, 0.5), 1), seeds=(2,), simulations=100).empty
    table = power_table(shift_of_gap(-0.05, (0.8, 0.8), 1), [400, 15_625], [2], simulations=50)
    assert table["power"].nunique() == 1


@pytest.mark.parametrize(("gap", "reliabilities"), [(0.1, (0.8, 0.8)), (0.0, (0.8, 0.8)), (-1.6, (0.8, 0.8)), (-0.2, (0.0, 0.8))])
def test_impossible_shifts_are_refused(gap: float, reliabilities: tuple[float, float]) -> None:
    """A gap that is not negative or too large, and a reliability of 0, are errors."""
    with pytest.raises(InputError, match="must be"):
        shift_of_gap(gap, reliabilities, 1)


def test_a_pilot_tells_reliabilities() -> None:
    """A pilot gives the one-seed reliability by label; with one seed or noise alone it raises an error."""
    known = pilot_reliabilities(simulate_trials(200, 3, spread=0.03, noise=0.015))
    assert known == pytest.approx({"sgd": 0.8, "agd": 0.8}, abs=0.06)
    with pytest.raises(InputError, match="two finished seeds"):
        pilot_reliabilities(simulate_trials(20, 1))
    noise = pd.concat([simulate_trials(20, 3, algorithms=("sgd",)), simulate_trials(20, 3, algorithms=("agd",), spread=0.0, seed=1)])
    with pytest.raises(InputError, match="seed noise"):
        pilot_reliabilities(noise)
    for wrong in (0.0, 1.0):
        with pytest.raises(InputError, match="probability"):
            sufficient_designs(Shift(0.5, (0.8, 0.8)), wrong)


def test_gaps_are_those_of_a_report() -> None:
    """The planner's gaps are close to those of `kendall_tau`, and its power to the share of runs with `shift_p` of at most 5 %."""
    shift = shift_of_gap(-0.25, (0.8, 0.6), 1)
    scores = simulate(shift, 24, 3, 40, np.random.default_rng(0))
    tables = pd.concat([as_trials(scipy.stats.norm.cdf(run)).assign(search_space=str(number)) for number, run in enumerate(scores)])
    rows = kendall_tau(tables, resamples=200)
    rows = rows[rows["algorithm"] != rows["other"]]
    planned_gaps = gaps(scores)
    assert planned_gaps.mean() == pytest.approx(rows["gap"].mean(), abs=0.05)
    assert np.corrcoef(planned_gaps, rows["gap"])[0, 1] > 0.9
    planned = power_table(shift, [24], [3])["power"].iloc[0]
    assert (rows["shift_p"] <= 0.05).mean() == pytest.approx(planned, abs=0.2)  # three standard errors of 40 runs


@pytest.mark.slow
@pytest.mark.parametrize(("gap", "seeds"), [(-0.3, 3), (-0.2, 4), (-0.1, 2)])
def test_the_report_reaches_the_planned_power(gap: float, seeds: int) -> None:
    """Of 200 sweeps planned for a power of 0.8, the test behind `shift_p` detects 70 to 95 %; the planner is conservative."""
    shift = shift_of_gap(gap, (0.8, 0.8), 1)
    planned = sufficient_designs(shift, 0.8, (seeds,)).iloc[0]
    rng = np.random.default_rng(3)
    scores = 0.5 + simulate(shift, int(planned["architectures"]), seeds, 200, rng) / 20
    lost = np.zeros(scores.shape[1:], dtype=bool)
    called = [Interaction(run, lost, "all").p_values(199, rng)[0][0, 1] <= 0.05 for run in scores]
    assert 0.7 <= np.mean(called) <= 0.95


def test_pair_ceiling_lies_between_the_own_ones() -> None:
    """The ceiling of a pair lies between its two own ceilings; a negative ceiling counts as 0."""
    ceiling = pair_ceiling(np.array([[0.8, 0.0, 0.0], [0.0, 0.4, 0.0], [0.0, 0.0, -0.2]]))
    assert 0.4 < ceiling[0, 1] < 0.8
    assert ceiling[0, 2] == 0
