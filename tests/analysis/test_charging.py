"""Charged cost: everything is charged, and shared fairly."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agd_bench.analysis import charged_cost
from agd_bench.errors import UnknownNameError
from tests.analysis.synthetic import simulate_trials, spoil


def test_every_attempt_is_charged() -> None:
    """Pruned tuning trials, failed and diverged ones and lost attempts are in the sum."""
    trials = spoil(simulate_trials(4, 2, tuned=("agd",)), "agd", "failed", [0])
    trials = spoil(trials, "agd", "diverged", [1])
    trials.loc[trials.index[-1], "charged_seconds"] += 1000.0
    cost = charged_cost(trials).set_index("algorithm")
    mine = trials[trials["algorithm"] == "agd"]
    assert cost.loc["agd", "charged_seconds"] == pytest.approx(mine["charged_seconds"].sum())
    assert cost.loc["agd", "tuning_seconds"] == pytest.approx(mine.loc[mine["purpose"] == "tuning", "charged_seconds"].sum())
    assert cost.loc["sgd", "tuning_seconds"] == 0
    assert cost.loc["agd", "tuning_trials"] == 8


def test_ratios_refer_to_the_baseline() -> None:
    """The baseline's ratio is 1, and another's is its cost over the baseline's."""
    cost = charged_cost(simulate_trials(4, 2, tuned=("agd",)), baseline="sgd").set_index("algorithm")
    assert cost["flops_ratio"].to_dict() == pytest.approx({"sgd": 1.0, "agd": 2.0})
    assert cost.loc["sgd", "seconds_ratio"] == 1.0
    assert cost.loc["agd", "seconds_ratio"] == pytest.approx(2.0)
    with pytest.raises(UnknownNameError, match="algorithm 'sgdd'"):
        charged_cost(simulate_trials(2, 1), baseline="sgdd")


def test_missing_flops_make_the_sum_missing() -> None:
    """One trial that was done without a count must not make its algorithm look cheaper; a refused one may lack it."""
    trials = simulate_trials(3, 2)
    refused = charged_cost(spoil(trials, "agd", "refused", [0])).set_index("algorithm")
    assert refused["flops"].notna().tolist() == [True, True]
    trials.loc[trials.index[-1], "flops"] = pd.NA
    cost = charged_cost(trials).set_index("algorithm")
    assert cost["flops"].notna().to_dict() == {"sgd": True, "agd": False}
    assert cost["energy_joules"].isna().all()


def test_search_space_tuning_is_spread_over_all_architectures() -> None:
    """The proxies' tuning is shared by every architecture whose final trials use the study's choice."""
    trials = simulate_trials(4, 1, ("agd",), tuned=("agd",))
    trials["study"] = "one"
    proxies = trials["architecture"].unique()[:2]
    trials = trials[(trials["purpose"] == "final") | trials["architecture"].isin(proxies)].reset_index(drop=True)
    cost = charged_cost(trials, by_architecture=True).set_index("architecture")
    total = trials.loc[trials["purpose"] == "tuning", "charged_seconds"].sum()
    assert cost["tuning_seconds"].to_numpy() == pytest.approx(np.full(4, total / 4))


@given(architectures=st.integers(1, 6), seeds=st.integers(1, 3), scope=st.booleans(), seed=st.integers(0, 99))
@settings(max_examples=20, deadline=None)
def test_costs_by_architecture_add_up(architectures: int, seeds: int, scope: bool, seed: int) -> None:
    """However tuning is shared, nothing is lost and nothing is charged twice."""
    trials = simulate_trials(architectures, seeds, ("sgd", "agd"), tuned=("agd",), seed=seed)
    if scope:
        trials.loc[trials["algorithm"] == "agd", "study"] = "one"
    whole = charged_cost(trials).set_index("algorithm")
    parts = charged_cost(trials, by_architecture=True).groupby("algorithm")
    for column in ("charged_seconds", "tuning_seconds", "train_seconds", "flops"):
        assert parts[column].sum().to_dict() == pytest.approx(whole[column].to_dict())
