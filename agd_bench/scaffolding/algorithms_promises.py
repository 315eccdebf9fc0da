"""TEMPLATE_NAME passes the checks of a training algorithm, and its steps are those that its docstring describes."""

from __future__ import annotations

import runpy
from pathlib import Path

import torch
from torch import nn

from agd_bench.testing import check_file

PLUGIN = Path(__file__).parents[1] / "TEMPLATE_NAME.py"


def test_all_checks_pass() -> None:
    """The same as `agd-bench check`."""
    faults = [f"{check.name}: {check.message}" for check in check_file(PLUGIN) if not check.passed]
    assert not faults, "\n".join(faults)


def test_two_steps_are_those_computed_by_hand() -> None:
    """One weight w = 1 with loss 3 w: the first step is 3 times the rate, the second has momentum and a smaller rate."""
    algorithm = runpy.run_path(str(PLUGIN))
    network = nn.Linear(1, 1, bias=False)
    nn.init.ones_(network.weight)
    optimizer, schedule = algorithm["build"](algorithm["prepare"](network, torch.Generator()), steps=3, rate=0.1, momentum=0.5)
    for expected in (1 - 0.1 * 3, 1 - 0.1 * 3 - 0.075 * (0.5 * 3 + 3)):
        optimizer.zero_grad()
        torch.autograd.backward((3 * network.weight).sum())
        optimizer.step()
        schedule.step()
        torch.testing.assert_close(network.weight.item(), expected, rtol=1e-6, atol=0)
