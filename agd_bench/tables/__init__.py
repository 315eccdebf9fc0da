"""All tables computed from the raw rows, for reports, publication and verification."""

from agd_bench.tables.aggregation import aggregates

__all__ = ["aggregates"]
