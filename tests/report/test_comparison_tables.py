"""What a report says about promised and realised decreases of the loss."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pandas as pd
import pytest

from agd_bench.analysis import GROUP, decreases
from agd_bench.report import build_report, comparison_tables
from agd_bench.report.cells import Table
from agd_bench.report.comparison import Comparison
from agd_bench.store import Results
from agd_bench.tables import aggregates
from tests.analysis.synthetic import simulate_results, simulate_trials


def promising(shortfalls: int, guarantee: str = "yes") -> Results:
    """Return results where one of two algorithms promises a decrease in every step, with this many shortfalls in its first trial."""
    results = simulate_results(simulate_trials(3, 1, ("sgd", "dsgd")))
    own = results.trials.loc[results.trials["algorithm"] == "dsgd", "trial_id"]
    sums = {"compared_steps": 10.0, "compared_promise": 1.0, "compared_decrease": 1.5, "shortfalls": 0.0}
    said = pd.DataFrame(
        [(trial, 1, name, value) for trial in own for name, value in sums.items()], columns=["trial_id", "epoch", "name", "value"]
    )
    said.loc[(said["trial_id"] == own.iloc[0]) & (said["name"] == "shortfalls"), "value"] = shortfalls
    attempts = results.attempts.assign(provenance=json.dumps({"descent_guarantee": guarantee}))
    return dataclasses.replace(results, diagnostics=said, attempts=attempts)


def comparison(results: Results) -> Comparison:
    """Return the comparison of the only group, with only the table of decreases."""
    table = decreases(results.trials, results.diagnostics, results.attempts)
    (group,) = table[GROUP].drop_duplicates().itertuples(index=False, name=None)
    return Comparison(group, "g1", {"decreases": table}, "sgd", ("sgd", "dsgd"))


def test_kept_promises_are_a_row() -> None:
    """Without shortfalls, the algorithm has a row in the table and there is no warning."""
    (shown,) = comparison_tables.decreases(comparison(promising(0)))
    assert isinstance(shown, Table)
    assert [cell.text for cell in shown.rows[0]] == ["dsgd", "guarantee", "30", "0.1", "0.15", "1.50", "0", "0.0"]


def test_a_broken_guarantee_is_said_aloud() -> None:
    """A violated guarantee is reported in a sentence before the table."""
    sentence, _ = comparison_tables.decreases(comparison(promising(2)))
    assert isinstance(sentence, str)
    assert sentence.startswith("dsgd guarantees the decrease of every step, but 2 of 30 ")


def test_of_an_estimate_the_share_is_shown() -> None:
    """Shortfalls of an estimate do not break a guarantee, so only the table shows their share."""
    (shown,) = comparison_tables.decreases(comparison(promising(6, "no")))
    assert isinstance(shown, Table)
    assert [cell.text for cell in shown.rows[0]] == ["dsgd", "estimate", "30", "0.1", "0.15", "1.50", "6", "20.0"]


@pytest.mark.usefixtures("few_resamples")
def test_the_page_has_the_table_the_figure_and_their_file(tmp_path: Path) -> None:
    """The report has the table, the figure, the CSV file, and the sentence about the broken guarantee."""
    text = build_report(promising(2), tmp_path).read_text(encoding="utf-8")
    assert "data/decreases.csv" in text
    assert "2 of 30 steps" in text
    assert len(pd.read_csv(tmp_path / "data" / "decreases.csv")) == 1
    assert (tmp_path / "figures" / "g1-decreases.svg").is_file()


@pytest.mark.usefixtures("few_resamples")
def test_without_a_promise_there_is_no_table() -> None:
    """Sweeps without diagnostics of decreases have no such table."""
    results = simulate_results(simulate_trials(3, 1, ("sgd", "agd")))
    tables = aggregates(results)
    assert "decreases" not in tables
    assert list(comparison_tables.decreases(Comparison(("a", "b", "c"), "g1", tables, "sgd", ("sgd",)))) == []
