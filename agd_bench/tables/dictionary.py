"""The meaning of every column of every computed table, from `dictionary.toml`."""

from __future__ import annotations

import functools
import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

PATH = Path(__file__).with_suffix(".toml")
_BY_SEED = re.compile(r"(searched_rate_of)_\d+")
"""Columns with one name for each seed of the run."""


@functools.cache
def _entries() -> dict[str, Any]:
    return tomllib.loads(PATH.read_text(encoding="utf-8"))


def summary_of(table: str) -> str:
    """A short description of a table of `aggregates`."""
    return str(_entries()["tables"][table]["summary"])


def meaning_of(table: str, column: str) -> str:
    """The meaning of a column: the table's own entry, or the entry for all tables.

    Raises:
        KeyError: there is no entry.

    >>> meaning_of("ranks", "search_space"), meaning_of("predicted_rates", "searched_rate_of_1000001")[:11]
    ('label of the search space in the sweep', 'what the se')
    """
    name = _BY_SEED.sub(r"\1_SEED", column)
    own: dict[str, str] = _entries()["tables"][table]
    return own[name] if name in own else str(_entries()["columns"][name])


def dictionary_of(tables: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    """The dictionary of some computed tables.

    Returns:
        One row per table and column: `table`, `summary` (of the table), `column`, `meaning`.
    """
    rows = [(name, summary_of(name), str(column), meaning_of(name, str(column))) for name, table in tables.items() for column in table]
    return pd.DataFrame(rows, columns=["table", "summary", "column", "meaning"])
