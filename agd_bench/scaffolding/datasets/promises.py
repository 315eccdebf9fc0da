"""TEMPLATE_NAME keeps the promises of a data set, and holds as many images as its docstring says."""

from __future__ import annotations

import runpy
from pathlib import Path

from agd_bench.datasets import data_root
from agd_bench.testing import check_file

PLUGIN = Path(__file__).parents[1] / "TEMPLATE_NAME.py"


def test_it_keeps_its_promises() -> None:
    """What `agd-bench check` finds wrong, and how to mend it; nothing is."""
    faults = [f"{check.name}: {check.message}" for check in check_file(PLUGIN) if not check.passed]
    assert not faults, "\n".join(faults)


def test_splits_are_as_large_as_stated() -> None:
    """An identity check: hold what is loaded against the numbers of the paper or page that it is from."""
    splits = runpy.run_path(str(PLUGIN))["load"](data_root())
    assert {name: len(labels) for name, (_, labels) in splits.items()} == {"train": 1000, "val": 300, "test": 300}
