"""Experiments of papers run again: the paper's number, ours, n and the interval side by side."""

from agd_bench.reproducing.defining import Reproduction, builtin_reproductions, open_reproduction
from agd_bench.reproducing.measuring import measured
from agd_bench.reproducing.presenting import shown
from agd_bench.reproducing.publishing import publish_reproduction
from agd_bench.reproducing.running import reproduce
from agd_bench.reproducing.taking import edited_plugins, rows_at_hand

__all__ = [
    "Reproduction",
    "builtin_reproductions",
    "edited_plugins",
    "measured",
    "open_reproduction",
    "publish_reproduction",
    "reproduce",
    "rows_at_hand",
    "shown",
]
