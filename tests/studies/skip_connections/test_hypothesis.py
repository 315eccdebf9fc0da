"""The test of the skip-connection claim is exact, counts divergence, and rarely finds an effect where there is none."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import scipy.stats

from agd_bench.errors import InputError
from agd_bench.studies.skip_connections import hypothesis
from tests.analysis.tables import number

CONTRAST = [("projection", "fixed-1")]
DOSES = {"projection": 0.0, "fixed-0.5": 0.5, "fixed-1": 1.0}


def runs_of(gain: float, seeds: int = 12, noise: float = 0.02, rates: tuple[str, ...] = ("0.1",), seed: int = 0) -> pd.DataFrame:
    """Return runs whose area is a random value per seed minus `gain` per unit of dose, plus noise."""
    rng = np.random.default_rng(seed)
    rows = []
    for rate in rates:
        for number_of in range(seeds):
            shared = rng.normal(0, 1)
            for variant, dose in DOSES.items():
                area = shared - gain * dose + rng.normal(0, noise)
                rows.append(("d", rate, variant, number_of, 0.4 + 0.4 * dose, area, False))
    return pd.DataFrame(rows, columns=hypothesis.RUN)


@pytest.mark.parametrize("count", [1, 6, 13, 30])
def test_signed_ranks_are_exact(count: int) -> None:
    """Without ties the p-value matches scipy's exact distribution."""
    gains = np.random.default_rng(count).normal(0.3, 1, count)
    statistic, p_value = hypothesis.signed_ranks(gains)
    expected = scipy.stats.wilcoxon(gains, method="exact")
    assert p_value == pytest.approx(expected.pvalue)
    ranks = scipy.stats.rankdata(np.abs(gains))
    assert statistic == pytest.approx((np.sign(gains) * ranks).sum() / ranks.sum())


def test_signed_ranks_are_exact_with_ties_and_infinities() -> None:
    """With ties and infinities the p-value matches an enumeration of all sign patterns."""
    gains = np.array([0.5, -0.5, 1.0, 1.0, 2.0, np.inf, -np.inf, np.inf, 0.25])
    ranks = scipy.stats.rankdata(np.abs(gains))
    signs = np.array(np.meshgrid(*[[-1, 1]] * len(gains))).reshape(len(gains), -1)
    observed = (np.sign(gains) * ranks).sum()
    statistic, p_value = hypothesis.signed_ranks(gains)
    assert p_value == pytest.approx(float((np.abs(ranks @ signs) >= abs(observed) - 1e-9).mean()))
    assert statistic == pytest.approx(observed / ranks.sum())


@pytest.mark.parametrize(("gain", "outcome"), [(0.5, "predicted"), (-0.5, "reversed")])
def test_either_direction_is_found(gain: float, outcome: str) -> None:
    """A true effect in either direction is found at all three rates."""
    table = hypothesis.skip_test(runs_of(gain, rates=("0.02", "0.1", "0.5")), CONTRAST)
    assert list(table["outcome"]) == [outcome] * 3
    assert np.allclose(table["singular_value_difference"], 0.4)
    assert np.sign(number(table, 0, "area_difference")) == -np.sign(gain)


@pytest.mark.slow
def test_the_familywise_error_is_kept() -> None:
    """Without an effect, any of four cells is significant in at most 5 % of simulations (9 % of 200 allows for chance)."""
    called = 0
    for trial in range(200):
        table = hypothesis.skip_test(runs_of(0.0, rates=("1", "2", "3", "4"), seed=trial), CONTRAST)
        called += bool(table["outcome"].isin(["predicted", "reversed"]).any())
    assert called <= 18


def test_divergence_is_the_worst_rank() -> None:
    """A variant that is faster in nine seeds and diverges in three is not called faster, as it would be without the three."""
    runs = runs_of(0.5)
    lost = (runs["variant"] == "fixed-1") & (runs["seed"] < 3)
    diverged = runs.assign(diverged=lost, area=runs["area"].mask(lost))
    table = hypothesis.skip_test(diverged, CONTRAST)
    assert number(table, 0, "pairs") == 12
    assert number(table, 0, "variant_diverged") == 3
    assert table["outcome"][0] == "undecided"
    without = hypothesis.skip_test(diverged[~diverged["seed"].isin([0, 1, 2])], CONTRAST, least_pairs=5)
    assert without["outcome"][0] == "predicted"
    ranks = np.arange(1, 10)
    assert number(table, 0, "statistic") == pytest.approx((ranks.sum() - 3 * 11) / 78)


def test_both_diverged_is_a_tie() -> None:
    """If both diverge, the pair is a tie; with opposite divergences the median difference is 0."""
    runs = runs_of(0.0, seeds=4)
    lost = (
        (runs["seed"] == 0)
        | ((runs["seed"] == 1) & (runs["variant"] == "fixed-1"))
        | ((runs["seed"] == 2) & (runs["variant"] == "projection"))
    )
    runs = runs[(runs["seed"] < 3) & (runs["variant"] != "fixed-0.5")].assign(diverged=lost)
    table = hypothesis.skip_test(runs, CONTRAST, least_pairs=1)
    assert number(table, 0, "ties") == 1
    assert number(table, 0, "area_difference") == 0
    assert number(table, 0, "p_value") == 1
    halves = hypothesis.skip_test(runs[runs["seed"] > 0], CONTRAST)
    assert number(halves, 0, "area_difference") == 0
    assert table["outcome"][0] == "undecided"
    assert halves["outcome"][0] == "too few pairs"


def test_the_sign_of_the_singular_values_turns_the_prediction() -> None:
    """If the variant has smaller singular values, being slower is predicted; equal singular values are ties."""
    runs = runs_of(-0.5)
    smaller = runs.assign(mean_singular_value=1 - runs["mean_singular_value"])
    assert hypothesis.skip_test(smaller, CONTRAST)["outcome"][0] == "predicted"
    equal = hypothesis.skip_test(runs.assign(mean_singular_value=0.5), CONTRAST)
    assert number(equal, 0, "ties") == 12
    assert number(equal, 0, "predicted") == 0.5
    assert number(equal, 0, "p_value") == 1


def test_only_seeds_of_both_sides_pair() -> None:
    """Only seeds that both variants trained form pairs, and a contrast without pairs has no row."""
    runs = runs_of(0.5)
    some = runs[(runs["variant"] != "fixed-1") | (runs["seed"] < 5)]
    table = hypothesis.skip_test(some, [*CONTRAST, ("projection", "other")])
    assert len(table) == 1
    assert number(table, 0, "pairs") == 5
    assert hypothesis.skip_test(runs, [("projection", "other")]).empty


@pytest.mark.parametrize(("gain", "outcome", "trend"), [(0.5, "predicted", -1.0), (-0.5, "reversed", 1.0)])
def test_the_dose_response_is_found(gain: float, outcome: str, trend: float) -> None:
    """A response that is monotone in every seed is found in either direction."""
    table = hypothesis.dose_trend(runs_of(gain), DOSES)
    assert table["outcome"][0] == outcome
    assert number(table, 0, "area_trend") == pytest.approx(trend)
    assert number(table, 0, "singular_value_trend") == pytest.approx(1)
    assert number(table, 0, "seeds") == 12


def test_trends_are_spearman_s() -> None:
    """Trends match Spearman's coefficient, with ties and with diverged runs ranked last."""
    rng = np.random.default_rng(0)
    runs = runs_of(0.0, seeds=5).assign(area=rng.integers(0, 3, 15).astype(float))
    runs = runs.assign(diverged=rng.random(15) < 0.2)
    table = hypothesis.dose_trend(runs, DOSES)
    values = runs["area"].mask(runs["diverged"], np.inf).to_numpy().reshape(5, 3)
    expected = [0.0 if len(set(row)) == 1 else scipy.stats.spearmanr([0, 0.5, 1], scipy.stats.rankdata(row)).statistic for row in values]
    assert number(table, 0, "area_trend") == pytest.approx(np.mean(expected))


def test_a_rate_is_chosen_on_the_other_seeds() -> None:
    """A seed's rate is chosen on the other seeds, and a variant that diverges at the high rate gets the lower one."""
    rows = []
    for seed in range(5):
        for rate, area in (("0.1", 0.2), ("1", 0.1)):
            rows.append(("d", rate, "projection", seed, 0.4, area - (0.5 if seed == 0 and rate == "0.1" else 0), False))
            rows.append(("d", rate, "fixed-1", seed, 0.8, area, rate == "1"))
    table = hypothesis.tuned_rate(pd.DataFrame(rows, columns=hypothesis.RUN))
    assert set(table["learning_rate"]) == {"tuned"}
    assert len(table) == 10
    chosen = table.groupby("variant")["chosen_rate"].agg(set).to_dict()
    assert chosen == {"projection": {"1"}, "fixed-1": {"0.1"}}
    assert hypothesis.skip_test(table, CONTRAST)["pairs"].tolist() == [5]


def test_areas() -> None:
    """The area covers a share of the losses and bounds tiny ones; no losses at all are an error."""
    assert hypothesis.log_loss_area([np.e] * 3) == pytest.approx(1)
    assert hypothesis.log_loss_area([1.0, np.e, np.inf], share=0.5) == pytest.approx(0.5)
    assert hypothesis.log_loss_area([0.0]) == pytest.approx(np.log(1e-8))
    for losses, share in (([], 1.0), ([1.0], 0.0), ([1.0], 1.5)):
        with pytest.raises(InputError, match="at least one loss"):
            hypothesis.log_loss_area(losses, share)


def test_what_cannot_be_tested_is_refused() -> None:
    """Missing columns or values, duplicate runs, and too few doses or seeds are errors."""
    runs = runs_of(0.5)
    with pytest.raises(InputError, match="missing columns area"):
        hypothesis.skip_test(runs.drop(columns="area"), CONTRAST)
    with pytest.raises(InputError, match="duplicate run"):
        hypothesis.skip_test(pd.concat([runs, runs[:1]]), CONTRAST)
    for column in ("area", "mean_singular_value"):
        with pytest.raises(InputError, match="no mean singular value"):
            hypothesis.skip_test(runs.assign(**{column: runs[column].mask(runs.index == 0)}), CONTRAST)
    with pytest.raises(InputError, match="three different"):
        hypothesis.dose_trend(runs, {"projection": 0.0, "fixed-1": 1.0})
    with pytest.raises(InputError, match="at least 2"):
        hypothesis.tuned_rate(runs[runs["seed"] == 0])
