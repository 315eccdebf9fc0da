"""The power planner: a sweep's own power, sufficient designs and their costs, and `plan --power`."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pandas as pd
import pytest
from typer.testing import CliRunner

from agd_bench.cli import app
from agd_bench.errors import InputError
from agd_bench.planning.power_planner import design
from agd_bench.records import Sweep
from tests.analysis.synthetic import simulate_trials

SWEEP = {
    "name": "small",
    "epochs": 1,
    "seeds": 2,
    "search_spaces": [{"name": "nas_bench_201", "architectures": 30, "options": {"channels": 4, "cells": 1}}],
    "datasets": [{"name": "digits", "share": 0.1}],
    "algorithms": [
        {"name": "sgd", "hyperparameters": {"learning_rate": 0.1}},
        {"name": "agd"},
        {"name": "sgd_tuned", "tuning_trials": 3},
        {"name": "sgd_tuned", "label": "once", "tuning_trials": 5, "tuning_scope": "search-space", "proxies": 2},
    ],
}


def sweep(**changes: object) -> Sweep:
    """Return a sweep of four algorithms, with changes."""
    return Sweep.model_validate({**SWEEP, **changes})


def timings(seconds: float = 2.0) -> pd.DataFrame:
    """Return what `estimate` would return if every trial took this long."""
    group = {"search_space": "nas_bench_201", "dataset": "digits", "profile": "matrix-only"}
    counts = {"sgd": (0, 60), "agd": (0, 60), "sgd_tuned": (90, 60), "once": (10, 60)}
    rows = [
        {**group, "algorithm": label, "tuning_trials": tuning, "final_trials": final, "device_seconds": seconds * (tuning + final)}
        for label, (tuning, final) in counts.items()
    ]
    return pd.DataFrame(rows)


def test_own_power_counts_what_can_be_trained() -> None:
    """Architectures with a defect are not counted, and without a pilot every challenger has the same power."""
    own = design(sweep(), -0.2, simulations=100).own
    assert own["challenger"].tolist() == ["agd", "sgd_tuned", "once"]
    assert own["architectures"].between(20, 29).all()  # of 30, some have no path from input to output
    assert own["power"].nunique() == 1
    assert own["expected_gap"].tolist() == pytest.approx([-0.2] * 3)
    assert (own["true_tau"] < 0.6).all()


def test_costs_are_those_of_all_algorithms_with_their_tuning() -> None:
    """Tuning per architecture costs more with more architectures, tuning per search space does not; without timings there is no cost."""
    made = design(sweep(), -0.25, timings=timings(), simulations=100)
    assert len(made.sufficient) > 0
    for row in made.sufficient.to_dict("records"):
        architectures, seeds = row["architectures"], row["seeds"]
        assert row["device_seconds"] == pytest.approx(2 * (architectures * (3 + 4 * seeds) + 5 * 2))
    assert made.sufficient["device_seconds"].is_monotonic_increasing
    assert design(sweep(), -0.25, timings=timings().iloc[1:], simulations=50).sufficient["device_seconds"].isna().all()
    assert design(sweep(), -0.25, simulations=50).sufficient["device_seconds"].isna().all()


def test_a_pilot_speaks_for_its_algorithms() -> None:
    """The pilot gives the reliability of each label, or their mean for other labels; the hardest challenger decides the designs."""
    pilot = pd.concat(
        [simulate_trials(100, 3, ("sgd",), noise=0.01), simulate_trials(300, 3, ("agd",), noise=0.03, seed=1)], ignore_index=True
    )
    made = design(sweep(), -0.15, pilot=pilot, simulations=200)
    rows = made.own.set_index("challenger")
    assert rows["baseline_reliability"].tolist() == pytest.approx([0.9] * 3, abs=0.05)
    assert rows["challenger_reliability"].to_dict()["agd"] == pytest.approx(0.5, abs=0.1)
    assert rows["challenger_reliability"].to_dict()["once"] == pytest.approx(0.7, abs=0.1)
    assert made.sufficient["challenger"].unique().tolist() == [rows["power"].idxmin()]
    assert made.source == "the pilot run"


def test_what_cannot_be_planned_is_refused() -> None:
    """A single algorithm, an impossible gap and a power that is not a probability are errors."""
    with pytest.raises(InputError, match="at least two algorithms"):
        design(sweep(algorithms=[{"name": "agd"}]), -0.2)
    with pytest.raises(InputError, match="gap of"):
        design(sweep(), -1.9)
    with pytest.raises(InputError, match="probability"):
        design(sweep(), -0.2, power=1.5, simulations=50)


def test_plan_says_power(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`plan --power` prints the power and designs with their cost, and `--json` all three tables; an invalid level is an error."""
    table = timings().assign(flops=1.0, wall_seconds=1.0, least_share=1.0, problem="")
    monkeypatch.setattr("agd_bench.api.estimate", lambda *_, **__: (table, 1))
    file = tmp_path / "small.json"
    file.write_text(json.dumps(SWEEP))
    said = CliRunner().invoke(app, ["plan", str(file), "--power", "0.25"])
    assert said.exit_code == 0, said.output
    assert "gap of -0.25" in said.output
    assert "device_time" in said.output
    answer = json.loads(CliRunner().invoke(app, ["plan", str(file), "--power", "-0.25", "--json"]).output)
    assert answer.keys() == {"power", "designs", "plan"}
    assert all(row["power"] >= 0.8 and math.isfinite(row["device_seconds"]) for row in answer["designs"])
    wrong = CliRunner().invoke(app, ["plan", str(file), "--power", "0.25", "--power-level", "2"])
    assert isinstance(wrong.exception, InputError)
