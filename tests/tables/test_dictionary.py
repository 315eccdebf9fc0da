"""Every computed column has a meaning, and no dictionary entry is unused."""

from __future__ import annotations

import tomllib

import pandas as pd
import pytest

from agd_bench.analysis.costs.crossover import COLUMNS as CROSSOVER
from agd_bench.claims import evaluate_claims, propose_claims
from agd_bench.tables import aggregates
from agd_bench.tables.dictionary import PATH, dictionary_of, meaning_of, summary_of
from tests.analysis.synthetic import simulate_results, simulate_trials, spoil


@pytest.fixture(scope="module")
def tables(few_resamples: None) -> dict[str, pd.DataFrame]:
    """Return all tables and claims computed for an unfinished run with a tuned algorithm."""
    results = simulate_results(spoil(simulate_trials(13, 3, ("sgd", "agd", "adamw"), tuned=("adamw",)), "sgd", "pending", [3]))
    found = aggregates(results)
    return found | {"claims": evaluate_claims(results, propose_claims(results.sweep), found)}


def test_every_column_has_a_meaning(tables: dict[str, pd.DataFrame]) -> None:
    """Every column has a meaning; a KeyError would name the one without."""
    found = dictionary_of(tables)
    assert len(found) == sum(len(table.columns) for table in tables.values())
    assert (found["meaning"].str.len() > 3).all()


def test_no_entry_is_left_over(tables: dict[str, pd.DataFrame]) -> None:
    """Every dictionary entry of these tables is one of their columns."""
    entries = tomllib.loads(PATH.read_text(encoding="utf-8"))
    for name, table in tables.items():
        assert set(entries["tables"][name]) - {"summary"} <= set(table.columns), name
    assert "progress" in tables
    for column in CROSSOVER:
        assert meaning_of("crossover", column)
    assert summary_of("ranks")
