"""How fast this machine trains many small networks: the plain way, this package's, and each step between, side by side."""

from agd_bench.benchmarking.measuring import QUICK, Benchmark, Effort, measure
from agd_bench.benchmarking.presenting import as_json, as_markdown, heading, parts_figure, summary, tables
from agd_bench.benchmarking.rungs import Size

__all__ = ["QUICK", "Benchmark", "Effort", "Size", "as_json", "as_markdown", "heading", "measure", "parts_figure", "summary", "tables"]
