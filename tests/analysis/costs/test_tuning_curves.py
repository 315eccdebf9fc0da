"""Tuning curves: selection by validation accuracy, charges of unsuccessful proposals, and coverage of bands."""

from __future__ import annotations

import itertools

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agd_bench.analysis import anytime_curves, search_bands
from agd_bench.analysis.costs.tuning_curves import ADAPTIVE_BAND, band_steps, best_of_weights, searches
from agd_bench.errors import UnknownNameError
from tests.analysis.studies import BASE, GAIN, end_otherwise, simulate_studies


@given(values=st.lists(st.tuples(st.integers(0, 5), st.floats(0, 1)), min_size=1, max_size=5))
@settings(max_examples=30, deadline=None)
def test_a_random_search_is_averaged_over_all_orders(values: list[tuple[int, float]]) -> None:
    """The expected curve equals the mean over all orders of the proposals, where the best so far is chosen by validation accuracy."""
    trials = simulate_studies(1, len(values), 1)
    tuning = trials["purpose"] == "tuning"
    trials.loc[tuning, "val_accuracy"] = [val / 10 + place * 1e-6 for place, (val, _) in enumerate(values)]
    trials.loc[tuning, "test_accuracy"] = [test for _, test in values]
    (search,) = searches(trials, "tuned", random_algorithms=["tuned"])
    rows = trials.loc[tuning, ["val_accuracy", "test_accuracy"]].to_numpy()
    expected = np.zeros(len(values))
    orders = list(itertools.permutations(range(len(values))))
    for order in orders:
        for size in range(1, len(values) + 1):
            chosen = max(order[:size], key=lambda place: rows[place, 0])
            expected[size - 1] += rows[chosen, 1] / len(orders)
    assert search.best_so_far()[0] == pytest.approx(expected)


def test_an_adaptive_search_counts_in_its_order() -> None:
    """The curve follows the best proposal by validation so far (the earliest of ties), so its test accuracy may fall."""
    trials = simulate_studies(1, 4, 1)
    tuning = trials["purpose"] == "tuning"
    trials.loc[tuning, "val_accuracy"] = [0.3, 0.5, 0.5, 0.6]
    trials.loc[tuning, "test_accuracy"] = [0.4, 0.6, 0.9, 0.2]
    (search,) = searches(trials, "tuned")
    assert search.best_so_far().tolist() == [[0.4, 0.6, 0.6, 0.2]]


def test_what_cannot_be_chosen_is_charged() -> None:
    """Diverged, failed and pruned proposals are charged but never chosen; until another ends, the accuracy is 0."""
    trials = end_otherwise(simulate_studies(1, 4, 1), [0], "diverged")
    trials = end_otherwise(trials, [1], "failed")
    trials.loc[1, "flops"] = pd.NA
    trials.loc[2, "status"] = "pruned"
    trials.loc[2, "val_accuracy"] = 1.0
    (search,) = searches(trials, "tuned")
    curve = search.best_so_far()[0]
    assert curve[:3].tolist() == [0, 0, 0]
    assert curve[3] == trials.loc[3, "test_accuracy"]
    assert search.charged("seconds")[0].tolist() == [36, 72, 108, 144]
    assert search.charged("flops")[0].tolist() == [1e9, 1e9, 2e9, 3e9]


@pytest.mark.parametrize("status", ["pending", "running", "refused"])
def test_studies_that_have_not_ended_are_left_out(status: str) -> None:
    """A study with a proposal that has not ended, or was refused, is left out and counted."""
    curves = anytime_curves(end_otherwise(simulate_studies(9, 4, 1), [5], status))
    assert curves["studies"].tolist() == [8] * 4
    assert curves["left_out"].tolist() == [1] * 4


def test_missing_flops_are_missing_not_free() -> None:
    """A finished proposal without a FLOP count makes the FLOPs missing but leaves the seconds."""
    trials = simulate_studies(9, 3, 1)
    trials.loc[0, "flops"] = pd.NA
    curves = anytime_curves(trials)
    assert curves["flops"].isna().all()
    assert curves["seconds"].tolist() == [36, 72, 108]


def test_search_space_studies_share_their_cost() -> None:
    """In a study of two proxies for ten architectures, a round's value is the mean over the proxies, its cost a tenth of both.

    Every architecture is trained once more with the choice; a single proposal is trained without a study.
    """
    trials = simulate_studies(10, 3, 1)
    trials.loc[trials["study"].notna(), "study"] = "one"
    trials = trials[(trials["purpose"] == "final") | trials["architecture"].isin(["a0", "a1"])].reset_index(drop=True)
    (search,) = searches(trials, "tuned")
    assert search.architectures == (("a0", "a1"),)
    assert search.proposed["seconds"][0].tolist() == pytest.approx([7.2] * 3)
    assert search.charged("trainings")[0].tolist() == pytest.approx([1.0, 1.4, 1.6])
    assert search.charged("seconds")[0].tolist() == pytest.approx([36.0, 50.4, 57.6])
    tuning = trials[trials["purpose"] == "tuning"]
    assert search.validation[0] == pytest.approx(tuning.groupby("number")["val_accuracy"].mean().to_numpy(dtype=float))


def test_the_mean_curve_is_unbiased_and_its_band_covers() -> None:
    """In at least 51 of 60 simulations the band contains the whole known curve, and the mean curve equals it."""
    sizes = np.arange(1, 9)
    truth = BASE + GAIN * sizes / (sizes + 1)
    covered, mean = 0, np.zeros(8)
    for seed in range(60):
        curves = anytime_curves(simulate_studies(24, 8, 1, seed=seed), random_algorithms=["tuned"], resamples=200)
        covered += bool(((curves["low"] <= truth) & (truth <= curves["high"])).all())
        mean += curves["accuracy"].to_numpy() / 60
    assert covered >= 51
    assert mean == pytest.approx(truth, abs=0.003)


def test_a_blurred_validation_does_not_flatter() -> None:
    """With noisy validation the winner's validation accuracy is too high, but the reported test accuracy is not."""
    trials = simulate_studies(400, 6, 1, blur=0.3)
    curve = anytime_curves(trials, random_algorithms=["tuned"], resamples=50)["accuracy"].iloc[-1]
    flattered = anytime_curves(trials, "val_accuracy", ["tuned"], resamples=50)["accuracy"].iloc[-1]
    assert curve < BASE + GAIN * 6 / 7 < flattered


def test_bands_of_one_study_cover_the_truth_at_all_k() -> None:
    """The band contains the whole true tuning curve in at least 93 % of 300 studies with uniform scores."""
    trials = simulate_studies(300, 6, 1, spread=0.0)
    bands = search_bands(trials, ["tuned"])
    truth = BASE + GAIN * bands["proposals"] / (bands["proposals"] + 1)
    held = ((bands["low"] <= truth) & (truth <= bands["high"])).groupby(bands["study"]).all()
    assert held.mean() >= 0.93
    assert (bands["low"] <= bands["accuracy"]).all()
    assert (bands["accuracy"] <= bands["high"]).all()


def test_bands_agree_with_opda() -> None:
    """The bands equal those of opda on the same scores."""
    from opda.nonparametric import EmpiricalDistribution

    trials = simulate_studies(1, 5, 1)
    scores = trials.loc[trials["purpose"] == "tuning", "val_accuracy"].to_numpy()
    bands = search_bands(trials, ["tuned"])
    lower, middle, upper = EmpiricalDistribution.confidence_bands(
        scores, 0.95, a=0.0, b=1.0, generator=np.random.default_rng(0), n_jobs=1, method="ld_highest_density"
    )
    sizes = np.arange(1, 6)
    assert bands["low"].to_numpy() == pytest.approx(upper.average_tuning_curve(sizes))
    assert bands["accuracy"].to_numpy() == pytest.approx(middle.average_tuning_curve(sizes))
    assert bands["high"].to_numpy() == pytest.approx(lower.average_tuning_curve(sizes))


def test_an_adaptive_study_has_no_band_and_says_why() -> None:
    """Proposals of an adaptive search are not independent, so the table gives the reason instead of a band."""
    bands = search_bands(simulate_studies(2, 3, 1))
    assert bands["low"].isna().all()
    assert set(bands["band"]) == {ADAPTIVE_BAND}
    assert set(anytime_curves(simulate_studies(2, 3, 1))["band"]) == {"none: fewer than 8 studies"}


def test_nothing_tuned_gives_empty_tables() -> None:
    """Without tuning trials the tables have columns but no rows; an unknown metric is an error."""
    trials = simulate_studies(3, 2, 1)
    trials = trials[trials["algorithm"] == "free"]
    assert anytime_curves(trials).empty
    assert "band" in search_bands(trials).columns
    with pytest.raises(UnknownNameError, match="metric 'accuracy'"):
        list(searches(trials, "free", "accuracy"))


@given(count=st.integers(1, 300))
@settings(max_examples=20, deadline=None)
def test_weights_are_chances(count: int) -> None:
    """The probabilities of being the best of k sum to 1 for each k, also for long studies."""
    weights = best_of_weights(count)
    assert weights.sum(axis=0) == pytest.approx(np.ones(count))
    assert (weights >= 0).all()


def test_steps_enclose_the_sample() -> None:
    """The limits lie on either side of the sample's distribution function and rise to 1."""
    pessimistic, sample, optimistic = band_steps(7, 0.9)
    assert (optimistic <= sample + 1e-12).all()
    assert (sample <= pessimistic + 1e-12).all()
    assert all((np.diff(steps) >= 0).all() and steps[-1] == 1 for steps in (pessimistic, sample, optimistic))
