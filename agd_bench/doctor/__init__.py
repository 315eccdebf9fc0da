"""Check that this machine can run agd-bench, and measure what its GPU does best."""

from agd_bench.doctor.machine import Finding, examine

__all__ = ["Finding", "examine"]
