"""The code behind published folders is current, known to give the same rows, or intentionally superseded."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from agd_bench import plugins
from agd_bench.identity import gives_equal_results
from agd_bench.store import load_results

BOARDS = Path(__file__).parents[2] / "leaderboards"
CONTINUED = ("cnn_dag-digits-rate_prediction", "competition")
"""Folders with rows that `agd-bench run --from` accepts without asking. If a code change makes this fail but leaves results exactly
the same, add the old digests to agd_bench/equal_code.toml; otherwise remove the folder here and say so in CHANGELOG.md."""


@pytest.mark.parametrize("board", CONTINUED)
def test_published_rows_can_be_continued(board: str) -> None:
    """Every plug-in's digest is either the current one or listed as equal."""
    then: dict[str, str] = json.loads(load_results(BOARDS / board).meta["plugin_digests"])
    assert then
    for name, digest in then.items():
        kind, _, plugin = name.partition("/")
        present = plugins.locate(kind, plugin).digest  # type: ignore[arg-type]
        assert digest == present or gives_equal_results(name, digest, present), name
