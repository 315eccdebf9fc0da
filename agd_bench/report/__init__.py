"""The report of a run: one self-contained HTML page, its figures and its data. Neither torch nor Ray nor Optuna is imported."""

from agd_bench.report.aggregating import aggregates
from agd_bench.report.building import build_report, finding_sentences
from agd_bench.report.presenting import count_states, describe_claims

__all__ = ["aggregates", "build_report", "count_states", "describe_claims", "finding_sentences"]
