"""Store, read, merge and export the results of a run. One driver writes, many processes read. Imports no torch, Ray or Optuna."""

from agd_bench.store.equal_networks import condense
from agd_bench.store.failures import failed_algorithms, failed_trials
from agd_bench.store.files import export, write_rows, written_beside
from agd_bench.store.merge import Joined, join, merge_into
from agd_bench.store.reader import ended_trials, load_results, status, stored_sweep
from agd_bench.store.results import Results, begun_results, planned_counts, typed
from agd_bench.store.reuse import Reusable, as_planned, reusable_rows
from agd_bench.store.row_code import declared_meta, executed_code, mixed_code, undeclared_code
from agd_bench.store.schema import (
    COLUMNS,
    EVIDENCE,
    LOST,
    OPTIONAL,
    OUT_OF_MEMORY,
    TABLES,
    Column,
    columns_of,
    dictionary,
    dictionary_markdown,
)
from agd_bench.store.writer import Standing, Store

__all__ = [
    "COLUMNS",
    "EVIDENCE",
    "LOST",
    "OPTIONAL",
    "OUT_OF_MEMORY",
    "TABLES",
    "Column",
    "Joined",
    "Results",
    "Reusable",
    "Standing",
    "Store",
    "as_planned",
    "begun_results",
    "columns_of",
    "condense",
    "declared_meta",
    "dictionary",
    "dictionary_markdown",
    "ended_trials",
    "executed_code",
    "export",
    "failed_algorithms",
    "failed_trials",
    "join",
    "load_results",
    "merge_into",
    "mixed_code",
    "planned_counts",
    "reusable_rows",
    "status",
    "stored_sweep",
    "typed",
    "undeclared_code",
    "write_rows",
    "written_beside",
]
