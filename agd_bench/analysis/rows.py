"""Rows of result tables: single rows as dictionaries, and the rows of one comparison group (search space, data set, profile)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from agd_bench.analysis.scores import GROUP

Row = Mapping[Any, Any]
Tables = Mapping[str, pd.DataFrame]
Group = tuple[str, str, str]
"""Search space, data set, profile."""


def rows_of(table: pd.DataFrame) -> list[dict[str, Any]]:
    """The rows of a table."""
    return [{str(key): value for key, value in record.items()} for record in table.to_dict("records")]


def records(tables: Tables, name: str) -> list[dict[str, Any]]:
    """The rows of one of several tables; empty if the table was left out."""
    return rows_of(tables[name]) if name in tables else []


def known(row: Row, *keys: str) -> bool:
    """Whether the row has finite numbers for all the keys.

    >>> known({"low": 0.1, "high": float("nan")}, "low"), known({}, "low")
    (True, False)
    """
    return all(row.get(key) is not None and bool(np.isfinite(row[key])) for key in keys)


def first_row(table: pd.DataFrame, **wanted: str) -> Row:
    """The first row with these labels; empty if there is none."""
    if table.empty:
        return {}
    chosen = np.logical_and.reduce([(table[column] == label).to_numpy(dtype=bool) for column, label in wanted.items()])
    return next(iter(rows_of(table[chosen][:1])), {})


def find_pair(table: pd.DataFrame, first: str, second: str) -> Row:
    """The row of an unordered pair of different algorithms; empty if there is none.

    Args:
        table: table of one comparison group with the columns `algorithm` and `other`.
        first: label of one of them.
        second: label of the other.
    """
    labels = [first, second]
    rows = table[table["algorithm"].isin(labels) & table["other"].isin(labels) & (table["algorithm"] != table["other"])]
    return next(iter(rows_of(rows[:1])), {})


def split_groups(tables: Mapping[str, pd.DataFrame]) -> dict[Group, dict[str, pd.DataFrame]]:
    """Each group's rows of every table, with groups in the order of the plan."""
    groups = list(tables["accuracy"][GROUP].drop_duplicates().itertuples(index=False, name=None))
    return {group: {name: group_rows(table, group) for name, table in tables.items()} for group in groups}


def group_rows(table: pd.DataFrame, group: Group) -> pd.DataFrame:
    """The rows of one group.

    Args:
        table: with the group's columns.
        group: search space, data set, profile.
    """
    chosen = pd.Series(True, index=table.index)
    for column, value in zip(GROUP, group, strict=True):
        chosen &= table[column] == value
    return table[chosen].reset_index(drop=True)


def group_title(group: Group) -> str:
    """Description of a comparison group."""
    search_space, dataset, profile = group
    return f"{search_space} on {dataset}, {profile} networks"
