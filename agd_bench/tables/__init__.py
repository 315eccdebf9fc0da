"""Everything that is computed from the raw rows: the tables that the report shows, publishes and is verified by."""

from agd_bench.tables.aggregation import aggregates

__all__ = ["aggregates"]
