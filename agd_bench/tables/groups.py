"""The tables of one comparison group: one search space, data set and profile."""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd

from agd_bench.analysis import GROUP

Group = tuple[str, str, str]
"""Search space, data set, profile."""


def split_groups(tables: Mapping[str, pd.DataFrame]) -> dict[Group, dict[str, pd.DataFrame]]:
    """Every group's rows of every table, groups in the order of the plan.

    Args:
        tables: `aggregates`.
    """
    groups = list(tables["accuracy"][GROUP].drop_duplicates().itertuples(index=False, name=None))
    return {group: {name: rows_of(table, group) for name, table in tables.items()} for group in groups}


def rows_of(table: pd.DataFrame, group: Group) -> pd.DataFrame:
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
    """A comparison group in words."""
    search_space, dataset, profile = group
    return f"{search_space} on {dataset}, {profile} networks"
