"""Tuners by cost: settings, what they reach, and how much was stopped early."""

from __future__ import annotations

from typing import Any

import pandas as pd

from agd_bench.analysis import standings
from agd_bench.analysis.costs.tuners import SETTINGS, compare_tuners
from agd_bench.report.cells import Table
from agd_bench.report.comparison import Comparison
from agd_bench.report.tuner_tables import tuners
from tests.analysis.synthetic import simulate_trials

CHOSEN: dict[str, dict[str, Any]] = {
    name: dict(zip(SETTINGS, ("sgd_tuned", name, "median", "architecture", 2), strict=True)) for name in ("tpe", "random")
}


def compared(baseline: str) -> pd.DataFrame:
    """Return the tuners of twelve architectures, of which half of the proposals were stopped; tpe costs more than random search."""
    trials = simulate_trials(12, 3, ("sgd", "tpe", "random"), tuned=("tpe", "random"), noise=0.001)
    found = standings(trials, baseline, resamples=20)
    found["cost_ratio"] = found["algorithm"].map({"sgd": 1.0, "tpe": 3.0, "random": 2.0})
    return compare_tuners(trials, found, CHOSEN, baseline)


def test_tuners_are_in_order_of_cost_with_what_they_reach() -> None:
    """Without a difference to the recipe, both reach it; the sentence names the cheaper one."""
    table = compared("sgd")
    assert list(table["algorithm"]) == ["random", "tpe"]
    assert list(table["sampler"]) == ["random", "tpe"]
    assert set(table["reach"]) == {"reaches"}
    assert set(table["stopped"]) == {0.5}
    crossing = pd.DataFrame({"tuned": ["tpe"], "self_tuning": "sgd", "state": "overtakes", "crossover_trainings": 1.5})
    sentence, shown = tuners(
        Comparison(("cells", "digits", "matrix-only"), "g1", {"tuners": table, "crossover": crossing}, "sgd", ("sgd",))
    )
    assert "sgd is random" in str(sentence)
    assert isinstance(shown, Table)
    assert [row[-1].text for row in shown.rows] == ["–", "sgd: after 1.5"]


def test_a_tuned_baseline_reaches_nothing_itself() -> None:
    """It has no difference to itself; with it alone, there is nothing to reach."""
    table = compared("tpe")
    assert table["reach"].fillna("").to_dict() == {0: "reaches", 1: ""}
    alone = table[table["algorithm"] == "tpe"].reset_index(drop=True)
    sentence, _ = tuners(Comparison(("cells", "digits", "matrix-only"), "g1", {"tuners": alone}, "tpe", ("sgd", "tpe")))
    assert "tpe is itself the only tuned algorithm" in str(sentence)
