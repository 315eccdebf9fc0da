"""Comparing our rankings with a published one."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from agd_bench.analysis import (
    kendall_tau,
    published_agreement,
    published_ranks,
    published_regret,
    published_top,
    transfer_regret,
)
from agd_bench.analysis.scores import Floats
from agd_bench.report.sentences import published_sentence
from tests.analysis.tables import as_trials


def listed(values: Floats, epochs: int = 200, split: str = "validation", means: bool = False) -> pd.DataFrame:
    """Return the table `published` for accuracies of shape (A, k), NaN for missing trainings; with `means`, only their means."""
    rows = [
        (f"a{a}", epochs, split, None if means else number, len(row) if means else 1, value)
        for a, row in enumerate(values)
        for number, value in enumerate([np.nanmean(row)] if means else row)
        if np.isfinite(value)
    ]
    columns = ["architecture", "epochs", "split", "training", "trainings", "accuracy"]
    table = pd.DataFrame(rows, columns=columns).assign(search_space="s", dataset="d").astype({"training": "Int64"})
    return table


def noisy(truth: Floats, seeds: int, noise: float, seed: int) -> Floats:
    """Return noisy accuracies of shape (A, seeds)."""
    drawn = truth[:, None] + np.random.default_rng(seed).normal(0, noise, (len(truth), seeds))
    return np.asarray(drawn.clip(0, 1), dtype=np.float64)


TRUTH = np.linspace(0.5, 0.8, 40)


def trials(*values: Floats) -> pd.DataFrame:
    """Return our trials, with one algorithm per array of shape (A, S)."""
    return as_trials(np.array(values)).assign(epochs=12)


def test_single_trainings_are_seeds_of_one_more_algorithm() -> None:
    """With equal numbers of seeds, the row equals that of `kendall_tau` with the published trainings as another algorithm."""
    ours, theirs = noisy(TRUTH, 2, 0.03, 1), noisy(TRUTH[::-1], 2, 0.03, 2)
    (row,) = published_agreement(trials(ours), listed(theirs), resamples=100).to_dict("records")
    table = kendall_tau(trials(ours, theirs), resamples=100)
    pair = table[(table["algorithm"] == "g0") & (table["other"] == "g1")].iloc[0]
    for name in ("kendall_tau", "noise_ceiling", "gap", "gap_low", "gap_high", "shift_p", "corrected_tau"):
        assert row[name] == pytest.approx(pair[name]), name
    assert (row["seeds"], row["trainings"], row["seeds_compared"], row["trainings_compared"]) == (2, 2, 1, 1)
    assert (row["published_epochs"], row["split"], row["epochs"], row["architectures"]) == (200, "validation", 12, 40)
    assert row["own_ceiling"] == pytest.approx(table[(table["algorithm"] == "g0") & (table["other"] == "g0")].iloc[0]["kendall_tau"])


def test_equal_rankings_differ_by_noise_alone_and_reversed_ones_by_more() -> None:
    """Equal and reversed rankings are told apart with four of our seeds and two or three published trainings per architecture."""
    theirs = noisy(TRUTH, 3, 0.03, 3)
    theirs[::2, 2] = np.nan
    table = published_agreement(trials(noisy(TRUTH, 4, 0.03, 1), noisy(TRUTH[::-1], 4, 0.03, 2)), listed(theirs), resamples=200)
    same, other = table.to_dict("records")
    assert (same["seeds_compared"], same["trainings_compared"], same["trainings"]) == (2, 1, 2)
    assert same["gap_low"] < 0 < same["gap_high"]
    assert same["shift_p"] > 0.05
    assert other["shift_p"] < 0.01
    assert other["tau_high"] < 0 < same["tau_low"] < same["tau_of_means"] < same["tau_high"]
    for row, words in ((same, "no difference beyond noise"), (other, "differ by more than noise")):
        assert words in published_sentence({str(key): value for key, value in row.items()})


def test_means_have_no_ceiling_but_a_bound() -> None:
    """If the published noise is unknown, the bound on tau comes only from the reliability of our means."""
    published = listed(noisy(TRUTH, 2, 0.02, 5), 12, "test", means=True)
    (row,) = published_agreement(trials(noisy(TRUTH, 4, 0.08, 4)), published, resamples=200).to_dict("records")
    assert np.isnan([row["kendall_tau"], row["noise_ceiling"], row["gap"], row["shift_p"]]).all()
    assert row["trainings"] == 2
    truth_to_mean = np.mean([
        kendall_tau_of(TRUTH, noisy(TRUTH, 4, 0.08, seed).mean(axis=1)) for seed in range(100, 140)
    ])  # fmt: skip
    assert row["ceiling_at_most"] == pytest.approx(truth_to_mean, abs=0.08)
    assert row["tau_low"] < row["tau_of_means"] < row["tau_high"]
    assert f"at most {row['ceiling_at_most']:.2f}" in published_sentence({str(key): value for key, value in row.items()})


def kendall_tau_of(one: Floats, other: Floats) -> float:
    """Return Kendall's tau of two rankings without ties, computed from its definition."""
    signs = np.sign(np.subtract.outer(one, one)) * np.sign(np.subtract.outer(other, other))
    return float(signs.sum() / (len(one) * (len(one) - 1)))


def test_ranks_and_regret() -> None:
    """Ranks are computed among the shared architectures, and the regret equals that of `transfer_regret`."""
    ours = np.array([[0.5, 0.5], [0.7, 0.7], [0.6, 0.6], [0.9, np.nan]])
    published = listed(np.array([[0.9], [0.8], [0.7], [0.6]]))
    ranks = published_ranks(trials(ours), published)
    assert ranks[["architecture", "rank", "published_rank"]].values.tolist() == [["a0", 3, 1], ["a1", 1, 2], ["a2", 2, 3]]
    (row,) = published_regret(trials(ours), published, resamples=0).to_dict("records")
    series = pd.Series([0.9, 0.8, 0.7, 0.6], index=["a0", "a1", "a2", "a3"])
    (wanted,) = transfer_regret(trials(ours), published=series, resamples=0).to_dict("records")
    assert row["transfer_regret"] == pytest.approx(wanted["transfer_regret"]) == pytest.approx(0.2)
    assert (row["published_epochs"], row["split"], row["chosen_by"]) == (200, "validation", "published")


def test_among_the_best_every_ranking_agrees_less() -> None:
    """Rankings agree less among the best architectures, and so do the published trainings with each other."""
    theirs = noisy(TRUTH, 3, 0.03, 3)
    table = published_top(trials(noisy(TRUTH, 3, 0.03, 1)), listed(theirs), resamples=50).set_index("top_share")
    assert table["architectures"].to_dict() == {1.0: 40, 0.5: 20, 0.25: 10}
    own = table["published_tau"]
    assert own[1.0] > own[0.5] > own[0.25]
    best = np.argsort(-theirs.mean(axis=1))[:20]
    wanted = np.mean([kendall_tau_of(theirs[best, i], theirs[best, j]) for i, j in ((0, 1), (0, 2), (1, 2))])
    assert own[0.5] == pytest.approx(wanted)
    whole = published_agreement(trials(noisy(TRUTH, 3, 0.03, 1)), listed(theirs), resamples=50).iloc[0]
    assert table["tau_of_means"].to_dict()[1.0] == whole["tau_of_means"]
    assert np.isnan(published_top(trials(theirs), listed(theirs, means=True), resamples=0)["published_tau"]).all()


def test_nothing_shared_gives_no_rows() -> None:
    """A different data set, an empty table or a single architecture gives empty tables."""
    ours = trials(noisy(TRUTH, 2, 0.03, 1))
    elsewhere = listed(noisy(TRUTH, 2, 0.03, 2)).assign(dataset="e")
    for published in (elsewhere, elsewhere.iloc[:0], listed(noisy(TRUTH[:1], 2, 0.03, 2))):
        assert published_agreement(ours, published).empty
    assert published_ranks(ours, elsewhere).empty
    assert published_top(ours, elsewhere).empty
    assert published_regret(ours, elsewhere).empty
