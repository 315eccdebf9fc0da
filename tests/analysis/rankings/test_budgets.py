"""Rankings by budget: simulated trainings whose agreement, regret and cost are known."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

from agd_bench.analysis.rankings.budgets import budget_agreement, budget_proxies, cheapest_budgets
from tests.analysis.synthetic import simulate_trials, with_types

BUDGETS = {"digits@2": ("digits", 2), "digits@8": ("digits", 8)}


@pytest.fixture(scope="module")
def rows() -> tuple[pd.DataFrame, pd.DataFrame]:
    """Twenty architectures; sgd ranks alike at both budgets, agd after 2 epochs ranks at random, and truncated at 2 in reverse."""
    long = simulate_trials(20, 4, ("sgd", "agd"), noise=0.002, seed=1)
    short = long.copy()
    rng = np.random.default_rng(0)
    agd = (short["algorithm"] == "agd").to_numpy()
    for column in ("val_accuracy", "test_accuracy"):
        short[column] = short[column] - 0.2
        short.loc[agd, column] = rng.uniform(0.3, 0.5, agd.sum())
    parts = [
        rows.assign(dataset=label, epochs=epochs, flops=rows["flops"] * epochs, trial_id=rows["trial_id"] + label)
        for rows, (label, (_, epochs)) in zip((short, long), BUDGETS.items(), strict=True)
    ]
    trials = with_types("trials", pd.concat(parts).assign(position=range(2 * len(long))))
    last = trials[trials["epochs"] == 8]
    curves = pd.concat(
        [
            pd.DataFrame({"trial_id": last["trial_id"], "epoch": epoch, "val_accuracy": value})
            for epoch, value in ((2, 1 - last["val_accuracy"]), (6, last["val_accuracy"] - 0.05), (8, last["val_accuracy"]))
        ]
    )
    return trials, curves


def by_proxy(table: pd.DataFrame) -> dict[Any, dict[str, Any]]:
    """Return the rows by algorithm, epochs and schedule."""
    return {(row["algorithm"], row["epochs"], row["schedule"]): {str(key): row[key] for key in row} for row in table.to_dict("records")}


def test_budgets_and_algorithms_are_in_one_matrix(rows: tuple[pd.DataFrame, pd.DataFrame]) -> None:
    """Every pair of algorithm and budget has an agreement, with a noise ceiling, in the group of the longest budget."""
    table = budget_agreement(rows[0], BUDGETS, resamples=50)
    assert set(table["dataset"]) == {"digits@8"}
    labels = {"sgd@2", "sgd@8", "agd@2", "agd@8"}
    assert len(table) == 10
    assert set(table["algorithm"]) | set(table["other"]) == labels
    taus = {(row["algorithm"], row["other"]): float(row["kendall_tau"]) for row in table.to_dict("records")}
    assert taus["sgd@2", "sgd@8"] > 0.8
    assert abs(taus["agd@2", "agd@8"]) < 0.4


def test_proxies_are_compared_with_the_longest_training_of_the_baseline(rows: tuple[pd.DataFrame, pd.DataFrame]) -> None:
    """Agreement, decision, regret, cost and late gain of own and truncated schedules."""
    trials, curves = rows
    found = budget_proxies(trials, curves, BUDGETS, "sgd", resamples=50)
    table = by_proxy(found)
    assert set(table) == {(name, *kind) for name in ("sgd", "agd") for kind in ((2, "own"), (8, "own"), (2, "truncated"))}
    own = table["sgd", 8, "own"]
    assert (own["difference"], own["cost_ratio"]) == (0, 1)
    assert table["sgd", 2, "own"]["decision"] == "as well"
    assert table["sgd", 2, "own"]["cost_ratio"] == pytest.approx(2 / 8)
    assert abs(table["sgd", 2, "own"]["transfer_regret"]) < 0.01
    assert table["agd", 2, "own"]["decision"] == "less"
    assert table["sgd", 2, "truncated"]["kendall_tau"] < -0.8
    assert table["sgd", 2, "truncated"]["transfer_regret"] > 0.05
    assert table["sgd", 2, "truncated"]["cost_ratio"] == pytest.approx(2 / 8)
    assert table["agd", 8, "own"]["late_gain"] == pytest.approx(0.05)
    assert np.isnan(table["agd", 2, "own"]["late_gain"])
    cheapest = cheapest_budgets(found).set_index("algorithm")["epochs"]
    assert cheapest.to_dict() == {"sgd": 2, "agd": 8}


def test_diverged_and_missing_trainings_count_as_elsewhere(rows: tuple[pd.DataFrame, pd.DataFrame]) -> None:
    """A diverged architecture ranks last; one with a missing outcome is left out; one seed leaves every decision open."""
    trials, curves = rows
    first = trials["architecture"].iloc[0]
    agd = (trials["algorithm"] == "agd") & (trials["architecture"] == first) & (trials["epochs"] == 8)
    lost = trials.assign(status=trials["status"].mask(agd, "diverged"))
    table = by_proxy(budget_proxies(lost, curves[~curves["trial_id"].isin(trials.loc[agd, "trial_id"])], BUDGETS, "sgd", resamples=0))
    assert table["agd", 8, "own"]["architectures"] == 20
    assert table["agd", 2, "truncated"]["architectures"] == 20
    failed = by_proxy(budget_proxies(trials.assign(status=trials["status"].mask(agd, "failed")), curves, BUDGETS, "sgd", resamples=0))
    assert [failed["agd", epochs, "own"]["architectures"] for epochs in (8, 2)] == [19, 20]
    single = budget_proxies(trials[trials["seed"] == 0], curves, BUDGETS, "sgd", resamples=0)
    assert set(single["decision"]) == {"cannot tell"}


def test_a_sweep_of_one_budget_has_no_rows(rows: tuple[pd.DataFrame, pd.DataFrame]) -> None:
    """Neither without budgets of its own, nor with a single one."""
    trials, curves = rows
    assert budget_proxies(trials, curves, {}, "sgd").empty
    only = trials[trials["dataset"] == "digits@2"]
    assert budget_proxies(only, curves, {"digits@2": ("digits", 2)}, "sgd").empty
    assert budget_agreement(only, {"digits@2": ("digits", 2)}).empty
