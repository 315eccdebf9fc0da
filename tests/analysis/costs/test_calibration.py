"""What a study of the whole sweep tried and chose, against the tuner that really chooses."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest

from agd_bench.analysis import calibrations
from agd_bench.tuning import Observation, choose


def tuning_rows(accuracies: list[list[float]], status: list[list[str]]) -> pd.DataFrame:
    """One row per proposal and workload, as the table of trials holds them."""
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
    """The best mean over all workloads, among proposals of which every trial ended well; the earliest of equal ones."""
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
    """Other scopes have no row, and neither has a sweep without such studies."""
    trials = tuning_rows([[0.5, 0.7]], [["done", "done"]])
    assert calibrations(trials, []).empty
    assert calibrations(trials.assign(purpose="final"), ["tuned"]).empty
    table = calibrations(trials, ["tuned"])
    assert table["mean_val_accuracy"].tolist() == pytest.approx([0.6, 0.6])
