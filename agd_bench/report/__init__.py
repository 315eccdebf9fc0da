"""The report of a run: a self-contained HTML page, its figures and its data. Does not import torch, Ray or Optuna."""

from agd_bench.report.builder import build_report, first_screen
from agd_bench.report.claim_rows import count_states, describe_claims
from agd_bench.report.findings import Finding, finding

__all__ = ["Finding", "build_report", "count_states", "describe_claims", "finding", "first_screen"]
