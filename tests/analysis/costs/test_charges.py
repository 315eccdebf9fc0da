"""Charged cost: every attempt is charged, and shared costs are split evenly."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agd_bench.analysis import charged_cost
from agd_bench.analysis.costs.charges import KINDS
from agd_bench.errors import UnknownNameError
from tests.analysis.synthetic import simulate_results, simulate_trials, spoil


def test_every_attempt_is_charged() -> None:
    """The sum includes pruned, failed and diverged trials and lost attempts."""
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
    """Each ratio is the algorithm's cost divided by the baseline's, so the baseline's is 1."""
    cost = charged_cost(simulate_trials(4, 2, tuned=("agd",)), baseline="sgd").set_index("algorithm")
    assert cost["flops_ratio"].to_dict() == pytest.approx({"sgd": 1.0, "agd": 2.0})
    assert cost.loc["sgd", "seconds_ratio"] == 1.0
    assert cost.loc["agd", "seconds_ratio"] == pytest.approx(2.0)
    with pytest.raises(UnknownNameError, match="algorithm 'sgdd'"):
        charged_cost(simulate_trials(2, 1), baseline="sgdd")


def test_missing_flops_make_the_sum_missing() -> None:
    """A trained trial without a FLOP count must not make its algorithm look cheaper; a refused trial needs no count."""
    trials = simulate_trials(3, 2)
    diverged = spoil(trials, "agd", "diverged", [0])
    diverged.loc[diverged["status"] == "diverged", "flops"] = pd.NA
    assert charged_cost(diverged).set_index("algorithm")["flops"].notna().to_dict() == {"sgd": True, "agd": False}
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
    """The costs per architecture add up to the total, whether tuning is shared or not."""
    trials = simulate_trials(architectures, seeds, ("sgd", "agd"), tuned=("agd",), seed=seed)
    if scope:
        trials.loc[trials["algorithm"] == "agd", "study"] = "one"
    whole = charged_cost(trials).set_index("algorithm")
    parts = charged_cost(trials, by_architecture=True).groupby("algorithm")
    for column in ("charged_seconds", "tuning_seconds", "train_seconds", "flops"):
        assert parts[column].sum().to_dict() == pytest.approx(whole[column].to_dict())


STATUSES = ("done", "diverged", "failed", "refused", "pruned", "pending", "running", "unneeded")


@given(seed=st.integers(0, 10**6))
@settings(max_examples=30, deadline=None)
def test_the_ledger_adds_up(seed: int) -> None:
    """Whatever the statuses and numbers of attempts, the kinds of seconds add up to the charged seconds."""
    trials = simulate_trials(3, 2, ("sgd", "agd"), tuned=("agd",))
    rng, count = np.random.default_rng(seed), len(trials)
    trials["status"] = rng.choice(STATUSES, count)
    trials["attempts"] = rng.integers(0, 4, count)
    trials["total_seconds"] = np.where(rng.uniform(size=count) < 0.3, np.nan, rng.uniform(0, 50, count))
    trials.loc[trials["status"].isin(["pending", "running", "unneeded", "refused"]), "flops"] = pd.NA
    trials["charged_seconds"] = trials["total_seconds"].fillna(0.0) + rng.integers(0, 2, count) * rng.uniform(0, 50, count)
    cost = charged_cost(trials)
    kinds = cost[[f"seconds_{kind}" for kind in KINDS]]
    assert (kinds >= 0).all(axis=None)
    assert kinds.sum(axis=1).to_numpy() == pytest.approx(cost["charged_seconds"].to_numpy())
    known = cost[[f"flops_{kind}" for kind in KINDS]].sum(axis=1, skipna=False).dropna()
    assert known.to_numpy() == pytest.approx(cost.loc[known.index, "flops"].to_numpy())


def test_every_kind_has_its_column() -> None:
    """Lost seconds and pruned, diverged, failed and refused trials are each charged to their own column."""
    trials = simulate_trials(6, 1, ("agd",), tuned=("agd",))
    for row, status in enumerate(("diverged", "failed", "refused")):
        trials = spoil(trials, "agd", status, [row])
    last = trials.index[-1]
    trials.loc[last, ["charged_seconds", "attempts"]] = [trials.loc[last, "total_seconds"] + 100.0, 3]
    cost = charged_cost(trials).iloc[0]
    assert (cost["seconds_lost"], cost["lost_attempts"]) == (pytest.approx(100.0), 2)
    assert np.isnan(cost["flops_lost"])
    final = trials[trials["purpose"] == "final"]
    assert cost["seconds_diverged"] == pytest.approx(final["charged_seconds"].iloc[0])
    assert cost["flops_failed"] == final["flops"].iloc[1]
    assert (cost["seconds_refused"], cost["flops_refused"]) == (0, 0)
    pruned = trials[trials["status"] == "pruned"]
    assert cost["seconds_pruned"] == pytest.approx(pruned["charged_seconds"].sum())


def test_a_trial_that_was_given_up_is_all_lost() -> None:
    """None of its attempts ended, so all of its seconds count as lost and its FLOPs are unknown."""
    trials = spoil(simulate_trials(2, 1, ("agd",)), "agd", "failed", [0], "lost three times")
    trials.loc[0, ["total_seconds", "charged_seconds", "attempts"]] = [np.nan, 90.0, 3]
    cost = charged_cost(trials).iloc[0]
    assert (cost["seconds_lost"], cost["seconds_failed"], cost["lost_attempts"]) == (90.0, 0.0, 3)
    assert np.isnan(cost["flops_lost"])


def test_whose_device_it_was_is_told() -> None:
    """The share of seconds spent on an exclusive device is reported; without a record it is missing, not 0."""
    trials = simulate_trials(4, 1)
    results = simulate_results(trials)
    assert charged_cost(trials, attempts=results.attempts)["exclusive_share"].isna().all()
    own = results.attempts.merge(trials[["trial_id", "algorithm"]], on="trial_id")["algorithm"] == "agd"
    stated = results.attempts.assign(provenance=np.where(own, '{"exclusive": "yes"}', '{"exclusive": "no"}'))
    shares = charged_cost(trials, attempts=stated).set_index("algorithm")["exclusive_share"]
    assert shares.to_dict() == {"sgd": 0.0, "agd": 1.0}
    assert "exclusive_share" not in charged_cost(trials)
