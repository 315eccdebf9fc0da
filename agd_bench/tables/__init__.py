"""Everything that is computed from the raw rows: the tables that the report shows, publishes and is verified by."""

from agd_bench.tables.aggregation import aggregates
from agd_bench.tables.groups import Group, group_title, split_groups

__all__ = ["Group", "aggregates", "group_title", "split_groups"]
