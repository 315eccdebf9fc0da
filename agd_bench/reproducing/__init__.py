"""Experiments of papers run again: the paper's number, ours, n and the interval side by side."""

from agd_bench.reproducing.defining import Reproduction, builtin_reproductions, open_reproduction
from agd_bench.reproducing.measuring import measured
from agd_bench.reproducing.publishing import publish_reproduction
from agd_bench.reproducing.running import reproduce

__all__ = ["Reproduction", "builtin_reproductions", "measured", "open_reproduction", "publish_reproduction", "reproduce"]
