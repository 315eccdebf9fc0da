"""TEMPLATE_NAME passes the checks of a search space, and builds the networks that its docstring describes."""

from __future__ import annotations

import runpy
from pathlib import Path

from agd_bench.testing import check_file

PLUGIN = Path(__file__).parents[1] / "TEMPLATE_NAME.py"


def test_all_checks_pass() -> None:
    """The same as `agd-bench check`."""
    faults = [f"{check.name}: {check.message}" for check in check_file(PLUGIN) if not check.passed]
    assert not faults, "\n".join(faults)


def test_parameters_are_those_counted_by_hand() -> None:
    """Compare one network with a count from its definition, or from a table in the paper."""
    space = runpy.run_path(str(PLUGIN))
    network = space["build"]("conv3-skip-conv1", 3, 10, channels=16)
    first, large, small, classifier = 3 * 16 * 9, 16 * 16 * 9, 16 * 16, 16 * 10 + 10
    normalisations = 3 * (16 + 16)
    assert sum(parameter.numel() for parameter in network.parameters()) == first + large + small + classifier + normalisations
