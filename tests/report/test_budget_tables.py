"""Budgets in a report: figure, table and sentences."""

from __future__ import annotations

from typing import Any

import pandas as pd

from agd_bench.figures import Drawing
from agd_bench.report import budget_tables
from agd_bench.report.cells import Table
from agd_bench.report.comparison import Comparison

GROUP = ("s", "d@8", "matrix-only")
NUMBERS: dict[str, Any] = {
    "architectures": 9,
    "kendall_tau": 0.6,
    "self_tau": 0.7,
    "difference": -0.1,
    "difference_low": -0.2,
    "difference_high": 0.1,
}
REST = {"transfer_regret": 0.01, "regret_low": 0.0, "regret_high": 0.02, "cost_ratio": 0.25}


def comparison() -> Comparison:
    """Return two algorithms at two budgets; agd still improves at the longest one."""
    rows: list[dict[str, Any]] = [
        NUMBERS
        | {
            "search_space": GROUP[0],
            "dataset": GROUP[1],
            "profile": GROUP[2],
            "algorithm": name,
            "epochs": epochs,
            "schedule": "own",
            "accuracy": 0.5 + epochs / 20,
            "decision": "cannot tell",
        }
        | {"late_gain": 0.03, "late_gain_low": 0.01 if name == "agd" else -0.01, "late_gain_high": 0.05}
        | REST
        for name in ("sgd", "agd")
        for epochs in (2, 8)
    ]
    curves = [{"algorithm": name, "epoch": epoch, "mean": epoch / 10} for name in ("sgd", "agd") for epoch in range(1, 9)]
    pairs = [
        {"algorithm": one, "other": other, "kendall_tau": 0.5, "architectures": 9, "seeds": 2, "seeds_compared": 1}
        for one, other in (("sgd@2", "sgd@2"), ("sgd@2", "agd@2"), ("agd@2", "agd@2"))
    ]
    tables = {"budget_proxies": pd.DataFrame(rows), "learning_curves": pd.DataFrame(curves), "budget_agreement": pd.DataFrame(pairs)}
    return Comparison(GROUP, "g1", tables, "sgd", ("sgd", "agd"))


def test_budgets_are_drawn_tabulated_and_stated() -> None:
    """One figure of accuracies with a line and marks per algorithm, one matrix, one table, and a sentence for each algorithm."""
    shown = comparison()
    drawing, *sentences = budget_tables.accuracy(shown)
    assert isinstance(drawing, Drawing)
    assert len(drawing.picture.figure.axes[0].lines) == 4
    assert ["still improves" in str(sentence) for sentence in sentences] == [False, True]
    assert isinstance(next(budget_tables.agreement(shown)), Drawing)
    table = next(budget_tables.proxies(shown))
    assert isinstance(table, Table)
    assert len(table.rows) == 4
    assert [sentence.split(":")[0] for sentence in budget_tables.budget_sentences(shown)] == ["sgd", "agd"]


def test_a_sweep_of_one_budget_shows_nothing() -> None:
    """Without the table there is neither figure nor sentence."""
    none = Comparison(GROUP, "g1", {}, "sgd", ("sgd", "agd"))
    assert [*budget_tables.accuracy(none), *budget_tables.agreement(none), *budget_tables.proxies(none)] == []
    assert budget_tables.budget_sentences(none) == ()
