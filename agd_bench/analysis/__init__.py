"""Results in, answers out: accuracy, charged cost, ranks and their shifts against seed noise. DataFrames in, DataFrames out."""

from agd_bench.analysis.accuracy import accuracy_difference, accuracy_table
from agd_bench.analysis.agreement import kendall_tau, top_k_overlap
from agd_bench.analysis.charging import charged_cost
from agd_bench.analysis.pairing import GROUP, METRICS, comparison_groups
from agd_bench.analysis.ranking import rank_shift, ranks
from agd_bench.analysis.transfer import transfer_regret
from agd_bench.analysis.wording import Finding, finding

__all__ = [
    "GROUP",
    "METRICS",
    "Finding",
    "accuracy_difference",
    "accuracy_table",
    "charged_cost",
    "comparison_groups",
    "finding",
    "kendall_tau",
    "rank_shift",
    "ranks",
    "top_k_overlap",
    "transfer_regret",
]
