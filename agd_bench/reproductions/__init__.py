"""Reproductions of experiments from papers: the paper's number next to ours, with n and the interval."""

from agd_bench.reproductions.experiment_runs import edited_plugins, reproduce, rows_at_hand
from agd_bench.reproductions.experiments import Reproduction, builtin_reproductions, open_reproduction
from agd_bench.reproductions.page_content import shown
from agd_bench.reproductions.paper_numbers import measured
from agd_bench.reproductions.publication import build_pages, publish_reproduction

__all__ = [
    "Reproduction",
    "build_pages",
    "builtin_reproductions",
    "edited_plugins",
    "measured",
    "open_reproduction",
    "publish_reproduction",
    "reproduce",
    "rows_at_hand",
    "shown",
]
