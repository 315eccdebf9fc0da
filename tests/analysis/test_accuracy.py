"""Accuracy tables and paired differences."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from agd_bench.analysis import accuracy_difference, accuracy_table
from agd_bench.errors import InputError, UnknownNameError
from tests.analysis.synthetic import simulate_trials, spoil


def test_means_and_deviations_follow_their_definitions() -> None:
    """Mean of means, SD over architectures and pooled seed SD equal a direct computation."""
    trials = simulate_trials(6, 4, ("sgd",))
    values = trials.pivot(index="architecture", columns="seed", values="test_accuracy").to_numpy()
    row = accuracy_table(trials).iloc[0]
    assert row["mean_accuracy"] == pytest.approx(values.mean(axis=1).mean())
    assert row["architecture_sd"] == pytest.approx(values.mean(axis=1).std(ddof=1))
    assert row["seed_sd"] == pytest.approx(np.sqrt(values.var(axis=1, ddof=1).mean()))
    assert row["mean_low"] < row["mean_accuracy"] < row["mean_high"]


def test_outcomes_are_counted_apart_and_not_averaged() -> None:
    """Diverged, failed, refused and unfinished trials are counted in their own columns and do not affect the mean."""
    trials = simulate_trials(5, 2, ("sgd", "agd"))
    for status, rows in (("diverged", [0]), ("failed", [2]), ("refused", [4, 5]), ("pending", [6]), ("running", [7])):
        trials = spoil(trials, "agd", status, rows)
    row = accuracy_table(trials).set_index("algorithm").loc["agd"]
    assert [row[name] for name in ("done", "diverged", "failed", "refused", "unfinished")] == [4, 1, 1, 2, 2]
    done = trials[(trials["algorithm"] == "agd") & (trials["status"] == "done")]
    assert row["mean_accuracy"] == pytest.approx(done.groupby("architecture")["test_accuracy"].mean().mean())


def test_nothing_done_is_missing_not_zero() -> None:
    """An algorithm whose trials all diverged has no accuracy."""
    trials = spoil(simulate_trials(3, 2), "agd", "diverged", range(6))
    row = accuracy_table(trials).set_index("algorithm").loc["agd"]
    assert np.isnan(row["mean_accuracy"])
    assert row["architectures"] == 0
    assert row["diverged"] == 6


def test_tuning_trials_do_not_count() -> None:
    """Tuning trials enter neither the means nor the counts."""
    trials = simulate_trials(4, 2, ("sgd",))
    tuned = simulate_trials(4, 2, ("sgd",), tuned=("sgd",))
    assert len(tuned) > len(trials)
    assert accuracy_table(tuned)["done"].tolist() == accuracy_table(trials)["done"].tolist()


def test_differences_are_paired_by_seed() -> None:
    """A seed missing for one algorithm is left out for the other as well."""
    trials = spoil(simulate_trials(4, 3, noise=0.1), "agd", "diverged", [0])
    row = accuracy_difference(trials, "sgd", "agd").iloc[0]
    both = trials.pivot(index=["architecture", "seed"], columns="algorithm", values="test_accuracy").dropna()
    expected = (both["agd"] - both["sgd"]).groupby("architecture").mean()
    assert row["pairs"] == 11
    assert row["difference"] == pytest.approx(expected.mean())
    assert row["low"] < row["difference"] < row["high"]


def test_one_architecture_gives_no_interval() -> None:
    """A single architecture says nothing about the others, so there is no interval."""
    row = accuracy_difference(simulate_trials(1, 3), "sgd", "agd").iloc[0]
    assert np.isfinite(row["difference"])
    assert np.isnan(row["low"])


def test_per_cent_is_refused() -> None:
    """An accuracy of 93 is a mistake in units, and the message says so."""
    trials = simulate_trials(2, 1)
    trials.loc[0, "test_accuracy"] = 93.0
    with pytest.raises(InputError, match="per cent"):
        accuracy_table(trials)


def test_unknown_metric_is_refused_with_the_nearest() -> None:
    """A misspelt metric raises an error that suggests the right one."""
    with pytest.raises(UnknownNameError, match="Did you mean 'test_accuracy'"):
        accuracy_table(simulate_trials(2, 1), "test_acuracy")


def test_rows_of_two_sweeps_are_refused() -> None:
    """Duplicate final trials of one cell are an error; otherwise they would silently count twice."""
    trials = simulate_trials(2, 1)
    with pytest.raises(InputError, match="duplicate"):
        accuracy_table(pd.concat([trials, trials]))


def test_no_trials_give_an_empty_table() -> None:
    """An empty input gives an empty table with the same columns."""
    trials = simulate_trials(2, 1)
    empty = accuracy_table(trials.iloc[:0])
    assert empty.empty
    assert list(empty.columns) == list(accuracy_table(trials).columns)
