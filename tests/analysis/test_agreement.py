"""Agreement of rankings, the noise ceiling and the interval of the gap."""

from __future__ import annotations

import itertools

import numpy as np
import pandas as pd
import pytest
import scipy.stats
from hypothesis import given, settings
from hypothesis import strategies as st

from agd_bench.analysis import kendall_tau, top_k_overlap
from agd_bench.analysis.agreement import pair_ceiling
from agd_bench.analysis.pairing import MAX_SPLITS, seed_splits
from agd_bench.errors import InputError
from tests.analysis.synthetic import simulate_trials, spoil


def pair(trials: pd.DataFrame, resamples: int = 1000, seed: int = 0) -> pd.Series[float]:
    """The row of the two different algorithms."""
    table = kendall_tau(trials, resamples=resamples, seed=seed)
    return table[table["algorithm"] != table["other"]].iloc[0]


@given(count=st.integers(2, 12))
def test_splits_are_disjoint_halves_in_both_orders(count: int) -> None:
    """Every split has two disjoint halves of floor(S / 2) seeds, and its mirror image is there too."""
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
    """With one seed the ceiling is missing, never 1, and so is the gap."""
    row = pair(simulate_trials(10, 1))
    assert np.isfinite(row["kendall_tau"])
    assert np.isnan([row["noise_ceiling"], row["gap"], row["gap_low"]]).all()


def test_equal_true_rankings_have_no_gap() -> None:
    """Without interaction tau meets its ceiling on average, and the interval covers 0 about as often as it says."""
    rows = [pair(simulate_trials(25, 3, noise=0.02, seed=seed), resamples=200) for seed in range(40)]
    assert abs(np.mean([row["gap"] for row in rows])) < 0.03
    covered = np.mean([row["gap_low"] <= 0 <= row["gap_high"] for row in rows])
    assert 0.85 <= covered <= 1.0


def test_a_changed_ranking_is_found() -> None:
    """With an interaction as large as the architecture effect the interval lies below 0."""
    rows = [pair(simulate_trials(25, 3, noise=0.005, interaction=0.03, seed=seed), resamples=200) for seed in range(10)]
    assert np.mean([row["gap_high"] < 0 for row in rows]) >= 0.9


def test_unequal_noise_is_no_change_of_the_ranking() -> None:
    """A noisier challenger agrees less with the baseline than the baseline with itself, and still there is no gap."""
    gaps = []
    for seed in range(40):
        calm = simulate_trials(40, 2, ("sgd",), noise=0.005, seed=seed)
        noisy = calm.assign(algorithm="agd")
        rng = np.random.default_rng(1000 + seed)
        noisy["test_accuracy"] = (noisy["test_accuracy"] + rng.normal(0, 0.03, len(noisy))).clip(0, 1)
        gaps.append(pair(pd.concat([calm, noisy], ignore_index=True), resamples=0)["gap"])
    assert abs(np.mean(gaps)) < 0.03


def test_few_architectures_give_no_interval() -> None:
    """Seven architectures give a gap without an interval, eight one with."""
    assert np.isnan(pair(simulate_trials(7, 3))["gap_low"])
    assert np.isfinite(pair(simulate_trials(8, 3))["gap_low"])


def test_m_out_of_n_interval_has_the_width_of_the_full_one() -> None:
    """Intervals shrink with the root of the number of architectures beyond the size of a resample as well."""
    widths = []
    for count in (150, 600):
        rows = [pair(simulate_trials(count, 2, noise=0.02, seed=seed), resamples=200) for seed in range(6)]
        widths.append(np.mean([row["gap_high"] - row["gap_low"] for row in rows]))
    assert widths[1] / widths[0] == pytest.approx(0.5, rel=0.15)


def test_equal_calls_give_equal_intervals() -> None:
    """The resampling has a fixed seed; another seed gives another interval."""
    trials = simulate_trials(12, 3)
    assert pair(trials).equals(pair(trials))
    assert pair(trials)["gap_low"] != pair(trials, seed=1)["gap_low"]


@given(seed=st.integers(0, 200))
@settings(max_examples=15, deadline=None)
def test_monotone_transforms_change_nothing(seed: int) -> None:
    """Tau sees ranks only: with one seed per half a monotone transform of the accuracies leaves it."""
    trials = simulate_trials(9, 2, interaction=0.05, seed=seed)
    changed = trials.assign(test_accuracy=trials["test_accuracy"] ** 2)
    assert pair(trials, resamples=0)["kendall_tau"] == pytest.approx(pair(changed, resamples=0)["kendall_tau"])


def test_refused_architectures_leave_both_rankings() -> None:
    """Tau and both ceilings of a pair run over the architectures that both have; other pairs keep theirs."""
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


def test_pair_ceiling_lies_between_the_own_ones() -> None:
    """Unequal ceilings give one between them; a negative one counts as 0."""
    ceiling = pair_ceiling(np.array([[0.8, 0.0, 0.0], [0.0, 0.4, 0.0], [0.0, 0.0, -0.2]]))
    assert 0.4 < ceiling[0, 1] < 0.8
    assert ceiling[0, 2] == 0


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
    """k = 0 asks for nothing."""
    with pytest.raises(InputError, match="k = 0"):
        top_k_overlap(simulate_trials(3, 1), k=0)
