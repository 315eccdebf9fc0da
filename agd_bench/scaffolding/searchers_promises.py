"""TEMPLATE_NAME passes the checks of a search method, and climbs."""

from __future__ import annotations

import runpy
from pathlib import Path

import numpy as np

from agd_bench.tabular import Domain
from agd_bench.testing import check_file

PLUGIN = Path(__file__).parents[1] / "TEMPLATE_NAME.py"


def test_all_checks_pass() -> None:
    """The same as `agd-bench check`."""
    faults = [f"{check.name}: {check.message}" for check in check_file(PLUGIN) if not check.passed]
    assert not faults, "\n".join(faults)


def test_it_asks_for_neighbours_of_the_best() -> None:
    """After a good and a bad result, the neighbours of the good one come most often."""
    method = runpy.run_path(str(PLUGIN))
    space = Domain([f"{first}-{second}" for first in "abcd" for second in "abcd"], (1,))
    search = method["start"](space, 100.0, np.random.default_rng(0))
    method["tell"](search, "a-a", 1, 0.9, 1.0)
    method["tell"](search, "d-d", 1, 0.1, 1.0)
    asked = [method["ask"](search) for _ in range(100)]
    assert sum(architecture in space.neighbours("a-a") for architecture in asked) > 80
