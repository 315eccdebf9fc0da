"""Measure how fast this machine trains many small networks: the plain way, this package's way, and each step in between."""

from tests.performance.engine.benchmark import QUICK, Benchmark, Effort, measure
from tests.performance.engine.presentation import as_json, as_markdown, heading, parts_figure, summary, tables
from tests.performance.engine.rungs import Size

__all__ = ["QUICK", "Benchmark", "Effort", "Size", "as_json", "as_markdown", "heading", "measure", "parts_figure", "summary", "tables"]
