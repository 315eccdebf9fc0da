"""The bias of tuning scopes, and the settings that a study of the whole sweep chooses."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest

from agd_bench.analysis import accuracy_difference, calibrations, charged_cost, kendall_tau
from agd_bench.analysis.costs.tuning_scopes import scope_bias
from agd_bench.errors import InputError, UnknownNameError
from agd_bench.records import Sweep
from agd_bench.tuning import Observation, choose
from tests.analysis.synthetic import simulate_trials

SCOPES = {"sgd@architecture": "architecture", "sgd@search-space": "search-space", "sgd@none": "none"}


def simulate(interaction: float = 0.0) -> pd.DataFrame:
    """Return trials of SGD at three scopes and of AGD; cheaper scopes lose two points and, with `interaction`, rank differently."""
    labels = [*SCOPES, "agd"]
    trials = simulate_trials(40, 4, labels, interaction, tuned=["sgd@architecture", "sgd@search-space"], gain=-0.02)
    cheap = (trials["algorithm"] == "sgd@search-space") & (trials["purpose"] == "tuning") & (trials["architecture"] != "|conv~0|+|skip~0|")
    return trials[~cheap]


def sweep(**changes: object) -> Sweep:
    """Return a sweep that would produce these trials."""
    tuned = {"name": "sgd", "tuning_scope": list(SCOPES.values()), "tuning_trials": 2, "untuned": {"learning_rate": 0.1}}
    asked = {"name": "scopes", "epochs": 3, "search_spaces": [{"name": "cells"}], "datasets": [{"name": "digits"}]}
    return Sweep.model_validate({**asked, "algorithms": [tuned, {"name": "agd"}], **changes})


def test_a_row_per_cheaper_scope_with_the_numbers_of_the_analyses() -> None:
    """The table repeats the numbers of the single analyses; a sweep and a mapping give the same table."""
    trials = simulate()
    table = scope_bias(trials, sweep())
    pd.testing.assert_frame_equal(table, scope_bias(trials, SCOPES))
    assert table[["algorithm", "scope", "reference"]].to_numpy().tolist() == [
        ["sgd@search-space", "search-space", "sgd@architecture"],
        ["sgd@none", "none", "sgd@architecture"],
    ]
    row = table.set_index("scope").loc["none"]
    difference = accuracy_difference(trials, "sgd@architecture", "sgd@none").iloc[0]
    assert row["accuracy_difference"] == difference["difference"] == pytest.approx(-0.02, abs=0.005)
    assert (row["difference_low"], row["difference_high"]) == (difference["low"], difference["high"])
    cost = charged_cost(trials, "sgd@architecture").set_index("algorithm")
    assert row["seconds_ratio"] == cost.loc["sgd@none", "seconds_ratio"] == pytest.approx(4 / 6)
    tau = kendall_tau(trials[trials["algorithm"].isin(SCOPES)])
    assert row["kendall_tau"] == tau[(tau["algorithm"] == "sgd@architecture") & (tau["other"] == "sgd@none")]["kendall_tau"].item()


def test_a_bias_is_found_where_there_is_one() -> None:
    """The gap's interval covers 0 without a bias and lies below 0 with one, and the regret increases."""
    without, with_bias = scope_bias(simulate(), SCOPES), scope_bias(simulate(0.05), SCOPES)
    assert ((without["gap_low"] <= 0) & (without["gap_high"] >= 0)).all()
    assert (with_bias["gap_high"] < 0).all()
    assert (with_bias["transfer_regret"] > without["transfer_regret"]).all()


def test_without_several_scopes_there_is_nothing_to_compare() -> None:
    """A sweep without several scopes gives an empty table; a mapping without them is an error."""
    trials = simulate()
    plain = sweep(algorithms=[{"name": "agd"}, {"name": "sgd", "tuning_trials": 2}])
    assert scope_bias(trials, plain).empty
    assert list(scope_bias(trials, plain).columns) == list(scope_bias(trials, SCOPES).columns)
    for scopes in ({"agd": "none"}, dict.fromkeys(SCOPES, "architecture")):
        with pytest.raises(InputError, match="exactly one"):
            scope_bias(trials, scopes)
    with pytest.raises(UnknownNameError, match="sgd@nowhere"):
        scope_bias(trials, {"sgd@architecture": "architecture", "sgd@nowhere": "none"})


def test_entries_that_differ_in_more_than_scope_are_no_family() -> None:
    """Entries with another loss count as another algorithm and are not compared."""
    entries = [
        {"name": "sgd", "label": label, "tuning_trials": 2, "tuning_scope": scope} for label, scope in SCOPES.items() if scope != "none"
    ]
    assert np.array_equal(scope_bias(simulate(), sweep(algorithms=entries))["scope"], ["search-space"])
    assert scope_bias(simulate(), sweep(algorithms=[entries[0], {**entries[1], "loss": "square"}])).empty


def tuning_rows(accuracies: list[list[float]], status: list[list[str]]) -> pd.DataFrame:
    """Return one row per proposal and workload, as in the table of trials."""
    rows = [
        {
            "algorithm": "tuned",
            "study": "key",
            "purpose": "tuning",
            "search_space": "s",
            "dataset": f"d{workload}",
            "profile": "p",
            "number": number,
            "hyperparameters": json.dumps({"rate": number / 8}),
            "status": status[number][workload],
            "val_accuracy": accuracy if status[number][workload] == "done" else np.nan,
        }
        for number, own in enumerate(accuracies)
        for workload, accuracy in enumerate(own)
    ]
    return pd.DataFrame(rows)


def test_the_first_place_is_what_the_tuner_chooses() -> None:
    """Rank 1 has the best mean over all workloads among proposals whose trials all succeeded; ties go to the earliest."""
    rng = np.random.default_rng(0)
    for _ in range(50):
        accuracies = rng.integers(0, 4, size=(5, 3)) / 4
        status = np.where(rng.random((5, 3)) < 0.15, "diverged", "done")
        table = calibrations(tuning_rows(accuracies.tolist(), status.tolist()), ["tuned"])
        whole = (status == "done").all(axis=1)
        told = [Observation(k, {"rate": k / 8}, float(accuracies[k].mean()) if whole[k] else None) for k in range(5)]
        chosen = choose(told)
        first = table[table["rank"] == 1]
        assert set(first["setting"]) == (set() if chosen is None else {json.dumps(chosen)})
        assert (table["not_done"] == [3 - (status[k] == "done").sum() for k in table["number"]]).all()


def test_only_the_asked_algorithms_and_their_tuning_trials_are_shown() -> None:
    """Algorithms that were not requested and final trials have no rows."""
    trials = tuning_rows([[0.5, 0.7]], [["done", "done"]])
    assert calibrations(trials, []).empty
    assert calibrations(trials.assign(purpose="final"), ["tuned"]).empty
    table = calibrations(trials, ["tuned"])
    assert table["mean_val_accuracy"].tolist() == pytest.approx([0.6, 0.6])
