"""Crossovers: a known truth is found and covered, and sentences explain the cases without an estimate."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agd_bench.analysis import find_crossovers
from agd_bench.analysis.costs.crossover import crossing_place
from agd_bench.errors import InputError, UnknownNameError
from agd_bench.report.sentences import crossover_sentence
from tests.analysis.studies import end_otherwise, simulate_studies


def test_a_known_crossover_is_found() -> None:
    """With 4,000 architectures the estimate is close to the true 3.5 trainings, also in FLOPs and hours."""
    row = find_crossovers(simulate_studies(4000, 8, 1), "tuned", "free", random_algorithms=["tuned"], resamples=100).iloc[0]
    assert row["state"] == "overtakes"
    assert row["crossover_trainings"] == pytest.approx(3.5, abs=0.1)
    assert row["crossover_flops"] == pytest.approx(1e9 * row["crossover_trainings"])
    assert row["crossover_hours"] == pytest.approx(0.01 * row["crossover_trainings"])
    assert row["trainings_low"] < row["crossover_trainings"] < row["trainings_high"]


@pytest.mark.slow
@pytest.mark.parametrize("random", [True, False])
def test_the_interval_covers_the_truth(random: bool) -> None:
    """In at least 51 of 60 simulations the 95 % interval contains the true 3.5 trainings, for random and adaptive search."""
    covered = 0
    for seed in range(60):
        trials = simulate_studies(24, 12, 3, seed=seed)
        row = find_crossovers(trials, "tuned", "free", random_algorithms=["tuned"] * random, resamples=200).iloc[0]
        covered += bool(row["trainings_low"] <= 3.5 <= row["trainings_high"])
    assert covered >= 51


def test_ahead_from_the_start() -> None:
    """An algorithm below the first proposal is overtaken at once: there is no estimate, and the interval is one training."""
    row = find_crossovers(simulate_studies(24, 4, 2, level=-0.5), "tuned", "free").iloc[0]
    assert row["state"] == "ahead from the start"
    assert np.isnan(row["crossover_trainings"])
    assert (row["trainings_low"], row["trainings_high"], row["share_ahead"]) == (1, 1, 1)
    assert "from its first proposal" in crossover_sentence(row.to_dict())


def test_never_within_the_budget() -> None:
    """If the tuning-free algorithm is above every proposal, there is no estimate and the interval is infinite."""
    row = find_crossovers(simulate_studies(24, 4, 2, level=1.2), "tuned", "free").iloc[0]
    assert row["state"] == "not within the budget"
    assert np.isnan(row["crossover_flops"])
    assert (row["trainings_low"], row["trainings_high"], row["share_never"]) == (np.inf, np.inf, 1)
    assert "does not overtake free within the 4 trainings" in crossover_sentence(row.to_dict())


def test_doubt_is_said() -> None:
    """When some resamples never cross over, the sentence gives the interval."""
    row = find_crossovers(simulate_studies(12, 6, 2, level=0.86, noise=0.05, seed=3), "tuned", "free", random_algorithms=["tuned"]).iloc[0]
    assert row["share_never"] > 0.025
    assert np.isinf(row["trainings_high"])
    assert "to beyond the 6 tried" in crossover_sentence(row.to_dict())


def test_few_architectures_have_no_interval() -> None:
    """With fewer than 8 studies there is an estimate but no interval, and the sentence says so."""
    row = find_crossovers(simulate_studies(7, 8, 2), "tuned", "free", random_algorithms=["tuned"]).iloc[0]
    assert np.isnan(row["trainings_low"])
    assert row["state"] == "overtakes"
    assert "no interval from 7 studies" in crossover_sentence(row.to_dict())


def test_what_is_missing_is_left_out() -> None:
    """An architecture that the tuning-free algorithm refuses is left out for both; a diverged seed counts as 0."""
    trials = simulate_studies(10, 4, 2)
    free = trials.index[trials["algorithm"] == "free"]
    before = find_crossovers(trials, "tuned", "free").iloc[0]
    refused = find_crossovers(end_otherwise(trials, list(free[:2]), "refused"), "tuned", "free").iloc[0]
    assert (refused["studies"], refused["architectures"]) == (9, 9)
    diverged = find_crossovers(end_otherwise(trials, list(free[:1]), "diverged"), "tuned", "free").iloc[0]
    lost = trials.loc[free[0], "test_accuracy"] / 20
    assert diverged["accuracy"] == pytest.approx(before["accuracy"] - lost)


def test_missing_flops_leave_the_other_units() -> None:
    """Without FLOPs only the crossover in FLOPs is missing, and the sentence omits it."""
    trials = simulate_studies(12, 8, 2)
    trials["flops"] = trials["flops"].astype("float64")
    trials.loc[0, "flops"] = np.nan
    row = find_crossovers(trials, "tuned", "free", random_algorithms=["tuned"]).iloc[0]
    assert np.isnan(row["crossover_flops"])
    assert np.isnan(row["flops_low"])
    assert row["crossover_hours"] > 0
    assert "FLOPs" not in crossover_sentence(row.to_dict())


def test_wrong_labels_are_errors() -> None:
    """An unknown label and an algorithm without tuning trials raise clear errors."""
    trials = simulate_studies(3, 2, 1)
    with pytest.raises(UnknownNameError, match="algorithm 'fre'"):
        find_crossovers(trials, "tuned", "fre")
    with pytest.raises(InputError, match="free has no tuning trials"):
        find_crossovers(trials, "free", "tuned")


@given(
    curve=st.lists(st.floats(0, 1), min_size=1, max_size=8),
    target=st.floats(0, 1),
)
@settings(max_examples=100, deadline=None)
def test_the_place_is_where_the_curve_first_exceeds(curve: list[float], target: float) -> None:
    """The curve is above the target (by more than rounding) at the first whole number from the place on, and not before."""
    place = float(crossing_place(np.array([curve]), np.array([target]))[0])
    above = [round(value - target, 9) > 0 for value in curve]
    if not any(above):
        assert np.isinf(place)
    else:
        first = above.index(True) + 1
        assert max(first - 1, 1) <= place <= first


def test_ties_do_not_depend_on_the_processor() -> None:
    """Accuracies on few images often tie; last-digit differences between processors must not change any share."""
    trials = simulate_studies(12, 4, 2, level=0.8)
    accuracies = ["test_accuracy", "val_accuracy"]
    tied = trials.assign(**{name: trials[name].round(1) for name in accuracies})
    noise = np.random.default_rng(0).uniform(-1e-14, 1e-14, (len(tied), 2))
    found = [
        find_crossovers(table, "tuned", "free")
        for table in (tied, tied.assign(**dict(zip(accuracies, (tied[accuracies] + noise).to_numpy().T, strict=True))))
    ]
    for column in ("state", "share_ahead", "share_never"):
        assert found[0][column].tolist() == found[1][column].tolist()
