"""Cost views: which budget each view holds equal, and what it charges."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from agd_bench.analysis import charged_cost, cost_views
from agd_bench.analysis.costs.equal_budgets import VIEWS
from agd_bench.errors import InputError, UnknownNameError
from tests.analysis.studies import BASE, GAIN, end_otherwise, simulate_studies


def views(trials: pd.DataFrame, *labels: str, **more: object) -> pd.DataFrame:
    """Return the rows by view; without labels, the tuning-free algorithm is the challenger."""
    return cost_views(trials, *(labels or ("tuned", "free")), **more).set_index("view")  # type: ignore[arg-type]


def test_each_view_charges_what_it_says() -> None:
    """The baseline is charged one training, as many as the challenger, or all eight proposals and a final training."""
    table = views(simulate_studies(24, 8, 3), random_algorithms=["tuned"])
    assert list(table.index) == list(VIEWS)
    assert table["baseline_trainings"].tolist() == [1, 1, 9]
    assert table["challenger_trainings"].tolist() == [1, 1, 1]
    assert table["baseline_flops"].tolist() == [1e9, 1e9, 9e9]
    assert table["baseline_seconds"].tolist() == [36, 36, 324]
    assert (table["architectures"] == 24).all()


def test_the_accuracies_are_those_of_the_budget() -> None:
    """At equal compute the baseline reaches the expected accuracy of one random proposal, otherwise that of its studies' choice."""
    trials = simulate_studies(2000, 8, 2)
    table = views(trials, random_algorithms=["tuned"])
    chosen = BASE + GAIN * 8 / 9
    assert table["baseline_accuracy"].to_numpy() == pytest.approx(np.array([chosen, BASE + GAIN / 2, chosen]), abs=0.01)
    assert table["challenger_accuracy"].to_numpy() == pytest.approx(np.full(3, BASE + GAIN * 0.775), abs=0.01)
    assert table["difference"].to_numpy() == pytest.approx((table["challenger_accuracy"] - table["baseline_accuracy"]).to_numpy())
    assert (table["difference_low"] < table["difference"]).all()


def test_a_dearer_challenger_buys_more_proposals() -> None:
    """If the challenger costs as much as 3.5 trainings, the baseline can afford three proposals, in FLOPs or in seconds."""
    trials = simulate_studies(12, 8, 2)
    free = trials["algorithm"] == "free"
    trials.loc[free, "flops"] = 3_500_000_000
    trials.loc[free, "charged_seconds"] = 5.2 * 36
    assert views(trials)["baseline_trainings"].tolist() == [1, 3, 9]
    assert views(trials, budget="seconds")["baseline_trainings"].tolist() == [1, 5, 9]


def test_lost_attempts_count_against_their_algorithm() -> None:
    """Lost attempts are part of the cost per architecture, and the costs add up to those of `charged_cost`."""
    trials = simulate_studies(10, 3, 2)
    first = trials.index[trials["algorithm"] == "free"][0]
    trials.loc[first, "charged_seconds"] += 360.0
    table = views(trials)
    assert table["challenger_seconds"].to_dict()["tuned without limit"] == pytest.approx(36 + 360 / 20)
    whole = charged_cost(trials).set_index("algorithm")["charged_seconds"].to_dict()["free"]
    assert table["challenger_seconds"].to_dict()["tuned without limit"] == pytest.approx(whole / 20)


def test_an_untuned_baseline_trains_once() -> None:
    """A baseline without tuning cannot use a larger budget, and the note says so."""
    table = views(simulate_studies(10, 3, 2), "free", "tuned")
    assert table["baseline_trainings"].tolist() == [1, 1, 1]
    assert table["challenger_trainings"].tolist() == [1, 4, 4]
    assert table["note"].to_dict()["equal total compute"].startswith("free is not tuned")


def test_search_space_scope_compares_on_the_proxies() -> None:
    """A study of two proxies is compared on these, and its cost is shared by all architectures."""
    trials = simulate_studies(10, 5, 2)
    trials.loc[trials["study"].notna(), "study"] = "one"
    trials = trials[(trials["purpose"] == "final") | trials["architecture"].isin(["a0", "a1"])].reset_index(drop=True)
    table = views(trials)
    middle = table.loc["equal total compute"]
    assert middle["architectures"] == 2
    assert middle["baseline_trainings"] == pytest.approx(1.0)
    assert np.isnan(middle["difference_low"])
    assert table["baseline_trainings"].to_dict()["tuned without limit"] == pytest.approx(1 + 2 * 5 / 10)


def test_what_is_missing_is_noted() -> None:
    """Missing FLOPs and missing common architectures are noted; wrong names are errors."""
    trials = simulate_studies(4, 3, 1)
    unknown = trials.assign(flops=pd.array([pd.NA] * len(trials), dtype="Int64"))
    row = views(unknown).loc["equal total compute"]
    assert np.isnan(row["baseline_accuracy"])
    assert "flops" in row["note"]
    free = list(trials.index[trials["algorithm"] == "free"])
    none = views(end_otherwise(trials, free, "refused"))
    assert (none["architectures"] == 0).all()
    assert none["note"].str.contains("no architecture").all()
    with pytest.raises(InputError, match="'joules'"):
        views(trials, budget="joules")
    with pytest.raises(UnknownNameError):
        views(trials, "tuned", "agd")
