"""Agreement of rankings, the noise ceiling and the interval of the gap."""

from __future__ import annotations

import itertools

import numpy as np
import pandas as pd
import pytest
import scipy.stats
from hypothesis import given, settings
from hypothesis import strategies as st

from agd_bench.analysis import kendall_tau
from agd_bench.analysis.bootstrap import FEWEST_FOR_INTERVAL
from agd_bench.analysis.rankings.kendall import TIE_Z, compare
from agd_bench.analysis.scores import MAX_SPLITS, seed_splits
from agd_bench.errors import UnknownNameError
from tests.analysis.synthetic import simulate_trials, spoil


def pair(trials: pd.DataFrame, resamples: int = 1000, seed: int = 0) -> pd.Series[float]:
    """Return the row that compares two different algorithms."""
    table = kendall_tau(trials, resamples=resamples, seed=seed)
    return table[table["algorithm"] != table["other"]].iloc[0]


@given(count=st.integers(2, 12))
def test_splits_are_disjoint_halves_in_both_orders(count: int) -> None:
    """Every split has two disjoint halves of floor(S / 2) seeds, and its mirror image is included."""
    splits = seed_splits(count)
    assert 0 < len(splits) <= MAX_SPLITS
    for first, second in splits:
        assert len(first) == len(second) == count // 2
        assert not set(first) & set(second)
        assert (second, first) in splits


def test_three_seeds_compare_single_disjoint_seeds() -> None:
    """Tau and ceilings equal scipy's tau averaged by hand over all pairs of different seeds."""
    trials = simulate_trials(10, 3, interaction=0.03)
    cube = {key: rows["test_accuracy"].to_numpy().reshape(10, 3) for key, rows in trials.groupby("algorithm")}
    order = list(itertools.permutations(range(3), 2))

    def agree(a: str, b: str) -> float:
        return float(np.mean([scipy.stats.kendalltau(cube[a][:, i], cube[b][:, j]).statistic for i, j in order]))

    table = kendall_tau(trials, resamples=0).set_index(["algorithm", "other"])
    assert table.loc[("sgd", "agd"), "kendall_tau"] == pytest.approx(agree("sgd", "agd"))
    for label in ("sgd", "agd"):
        assert table.loc[(label, label), "noise_ceiling"] == pytest.approx(agree(label, label))


def test_one_seed_has_no_ceiling() -> None:
    """With one seed the ceiling and the gap are missing; the ceiling is not 1."""
    row = pair(simulate_trials(10, 1))
    assert np.isfinite(row["kendall_tau"])
    assert np.isnan([row["noise_ceiling"], row["gap"], row["gap_low"]]).all()


def test_equal_true_rankings_have_no_gap() -> None:
    """Without interaction tau meets its ceiling on average, and the interval covers 0 at about its nominal rate."""
    rows = [pair(simulate_trials(25, 3, noise=0.02, seed=seed), resamples=200) for seed in range(40)]
    assert abs(np.mean([row["gap"] for row in rows])) < 0.03
    covered = np.mean([row["gap_low"] <= 0 <= row["gap_high"] for row in rows])
    assert 0.85 <= covered <= 1.0


def test_a_changed_ranking_is_found() -> None:
    """With an interaction as large as the architecture effect the interval lies below 0."""
    rows = [pair(simulate_trials(25, 3, noise=0.005, interaction=0.03, seed=seed), resamples=200) for seed in range(10)]
    assert np.mean([row["gap_high"] < 0 for row in rows]) >= 0.9


def test_unequal_noise_is_no_change_of_the_ranking() -> None:
    """A noisier challenger agrees less with the baseline than the baseline with itself, but this produces no gap."""
    gaps = []
    for seed in range(40):
        calm = simulate_trials(40, 2, ("sgd",), noise=0.005, seed=seed)
        noisy = calm.assign(algorithm="agd")
        rng = np.random.default_rng(1000 + seed)
        noisy["test_accuracy"] = (noisy["test_accuracy"] + rng.normal(0, 0.03, len(noisy))).clip(0, 1)
        gaps.append(pair(pd.concat([calm, noisy], ignore_index=True), resamples=0)["gap"])
    assert abs(np.mean(gaps)) < 0.03


def test_few_architectures_give_no_interval() -> None:
    """With seven architectures the gap has no interval; with eight it has one."""
    assert np.isnan(pair(simulate_trials(7, 3))["gap_low"])
    assert np.isfinite(pair(simulate_trials(8, 3))["gap_low"])


def test_intervals_shrink_with_the_root_of_the_architectures() -> None:
    """Four times as many architectures halve the width."""
    widths = []
    for count in (150, 600):
        rows = [pair(simulate_trials(count, 2, noise=0.02, seed=seed), resamples=200) for seed in range(6)]
        widths.append(np.mean([row["gap_high"] - row["gap_low"] for row in rows]))
    assert widths[1] / widths[0] == pytest.approx(0.5, rel=0.15)


def test_equal_calls_give_equal_intervals() -> None:
    """The resampling has a fixed seed; another seed gives another interval of the true tau."""
    trials = simulate_trials(12, 3)
    assert pair(trials).equals(pair(trials))
    assert pair(trials)["corrected_low"] != pair(trials, seed=1)["corrected_low"]


@given(seed=st.integers(0, 200))
@settings(max_examples=15, deadline=None)
def test_monotone_transforms_change_nothing(seed: int) -> None:
    """Tau sees ranks only: with one seed per half a monotone transform of the accuracies does not change it."""
    trials = simulate_trials(9, 2, interaction=0.05, seed=seed)
    changed = trials.assign(test_accuracy=trials["test_accuracy"] ** 2)
    assert pair(trials, resamples=0)["kendall_tau"] == pytest.approx(pair(changed, resamples=0)["kendall_tau"])


def test_refused_architectures_leave_both_rankings() -> None:
    """A pair is compared on the architectures that both algorithms trained; other pairs are not affected."""
    trials = spoil(simulate_trials(12, 2, ("sgd", "agd", "adamw")), "agd", "refused", [0, 1, 2])
    table = kendall_tau(trials, resamples=0).set_index(["algorithm", "other"])["architectures"]
    assert table.loc[("sgd", "agd")] == 10
    assert table.loc[("sgd", "adamw")] == 12
    kept = trials[~trials["architecture"].isin(trials["architecture"].unique()[:2])]
    expected = pair(kept[kept["algorithm"] != "adamw"], resamples=0)
    ceilings = kendall_tau(trials, resamples=0).set_index(["algorithm", "other"])["noise_ceiling"]
    assert ceilings[("sgd", "agd")] == pytest.approx(expected["noise_ceiling"])


def test_all_tied_has_no_tau() -> None:
    """Where all architectures diverged there is no ranking: tau is missing, not 0."""
    trials = spoil(simulate_trials(4, 2), "agd", "diverged", range(8))
    assert np.isnan(pair(trials)["kendall_tau"])


def test_spearman_is_scipys() -> None:
    """Spearman's coefficient and its ceiling equal scipy's averaged by hand over pairs of different seeds."""
    trials = simulate_trials(15, 2, interaction=0.03)
    cube = {key: rows["test_accuracy"].to_numpy().reshape(15, 2) for key, rows in trials.groupby("algorithm")}
    table = kendall_tau(trials, resamples=0).set_index(["algorithm", "other"])
    between = [scipy.stats.spearmanr(cube["sgd"][:, i], cube["agd"][:, 1 - i]).statistic for i in (0, 1)]
    assert table.loc[("sgd", "agd"), "spearman"] == pytest.approx(np.mean(between), abs=1e-12)
    own = scipy.stats.spearmanr(cube["sgd"][:, 0], cube["sgd"][:, 1]).statistic
    assert table.loc[("sgd", "sgd"), "spearman_ceiling"] == pytest.approx(own, abs=1e-12)


def test_equal_ceilings_are_the_pairs_ceiling() -> None:
    """Between two copies of one algorithm, every statistic is close to its ceiling and there is no gap."""
    single = simulate_trials(20, 2, ("sgd",), noise=0.02)
    row = pair(pd.concat([single, single.assign(algorithm="copy")], ignore_index=True), resamples=100)
    for statistic, ceiling in (
        ("kendall_tau", "noise_ceiling"),
        ("spearman", "spearman_ceiling"),
        ("kendall_tau_noise_ties", "noise_ties_ceiling"),
    ):
        assert row[statistic] == pytest.approx(row[ceiling], abs=0.06)
    assert row["gap"] == pytest.approx(0, abs=0.06)
    assert row["shift_p"] > 0.2
    assert row["corrected_tau"] > 0.7


def test_ties_by_noise_are_stated_in_standard_errors() -> None:
    """Differences below z standard errors, from the pooled SD over seeds, count as ties; tau equals a computation by hand."""
    trials = simulate_trials(15, 2, interaction=0.03, noise=0.02)
    cube = {key: rows["test_accuracy"].to_numpy().reshape(15, 2) for key, rows in trials.groupby("algorithm")}
    signs = {}
    for key, values in cube.items():
        threshold = TIE_Z * np.sqrt(2 * values.var(axis=1, ddof=1).mean())
        for seed in (0, 1):
            difference = values[:, seed][:, None] - values[:, seed][None]
            signs[key, seed] = np.sign(difference) * (np.abs(difference) > threshold)
    taus = []
    for seed in (0, 1):
        one, two = signs["sgd", seed], signs["agd", 1 - seed]
        taus.append((one * two).sum() / np.sqrt((one**2).sum() * (two**2).sum()))
    assert 0 < (signs["sgd", 0] == 0).mean() < 1
    assert pair(trials, resamples=0)["kendall_tau_noise_ties"] == pytest.approx(np.mean(taus))


def test_the_corrected_tau_is_that_of_the_true_rankings() -> None:
    """For true scores of correlation 0.6, the corrected tau is their tau on average despite noise, and its interval mostly covers it."""
    rng = np.random.default_rng(0)
    expected = 2 / np.pi * np.arcsin(0.6)
    found = []
    for _ in range(60):
        true = rng.standard_normal((2, 60))
        true[1] = 0.6 * true[0] + 0.8 * true[1]
        noisy = true[:, :, None] + np.array([0.4, 1.0])[:, None, None] * rng.standard_normal((2, 60, 3))
        values = 1 / (1 + np.exp(-noisy))
        each = compare(values, np.zeros(values.shape, dtype=bool), 100, rng)
        found.append([each.corrected[0, 1], each.corrected_low[0, 1], each.corrected_high[0, 1]])
    tau, low, high = np.array(found).T
    assert tau.mean() == pytest.approx(expected, abs=0.04)
    assert ((low <= expected) & (expected <= high)).mean() >= 0.8


def test_the_top_decile_is_smaller_and_agrees_less() -> None:
    """The top decile has at least eight architectures and a lower ceiling than the whole; with two seeds its statistics are missing."""
    trials = simulate_trials(200, 3, noise=0.02)
    top, whole = kendall_tau(trials, resamples=100, subset="top-decile"), kendall_tau(trials, resamples=0)
    row = top[top["algorithm"] != top["other"]].iloc[0]
    assert row["architectures"] == 20
    assert row["subset"] == "top-decile"
    assert row[["kendall_tau", "spearman", "gap_low", "shift_p", "corrected_tau", "kendall_tau_noise_ties"]].notna().all()
    assert (top["noise_ceiling"] < whole["noise_ceiling"]).all()
    few = kendall_tau(simulate_trials(40, 2), subset="top-decile", resamples=100)
    assert few["architectures"].eq(FEWEST_FOR_INTERVAL).all()
    assert few[["kendall_tau", "noise_ceiling", "shift_p"]].isna().all(axis=None)


def test_an_unknown_subset_is_answered() -> None:
    """A misspelt subset is an error before anything is computed."""
    with pytest.raises(UnknownNameError, match="top-decile"):
        kendall_tau(simulate_trials(3, 1), subset="best")
