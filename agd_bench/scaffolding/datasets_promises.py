"""TEMPLATE_NAME passes the checks of a data set, and its splits have the documented sizes."""

from __future__ import annotations

import runpy
from pathlib import Path

from agd_bench.datasets import data_root
from agd_bench.testing import check_file

PLUGIN = Path(__file__).parents[1] / "TEMPLATE_NAME.py"


def test_all_checks_pass() -> None:
    """The same as `agd-bench check`."""
    faults = [f"{check.name}: {check.message}" for check in check_file(PLUGIN) if not check.passed]
    assert not faults, "\n".join(faults)


def test_splits_are_as_large_as_stated() -> None:
    """Compare the sizes with those in the paper or on the page that the images come from."""
    splits = runpy.run_path(str(PLUGIN))["load"](data_root())
    assert {name: len(labels) for name, (_, labels) in splits.items()} == {"train": 1000, "val": 300, "test": 300}
