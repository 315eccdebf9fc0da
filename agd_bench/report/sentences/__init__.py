"""What results say, in words. Every sentence is written from rows of published tables, and says no more than they do."""

from agd_bench.report.sentences.finding import Finding, finding

__all__ = ["Finding", "finding"]
