"""The baselines of the AGD paper: constant rates, torch's default weights, the square loss."""

from __future__ import annotations

import importlib
import math

import pytest
import torch
from torch import nn

from agd_bench.algorithms._default_weights import draw_default_weights


def test_default_weights_are_drawn_as_torch_draws_them() -> None:
    """Weights and biases are drawn from the generator within the bounds of torch's own layers; other layers are unchanged."""
    network = nn.Sequential(nn.Conv2d(4, 64, 3), nn.BatchNorm2d(64), nn.Linear(400, 300))
    for parameter in network.parameters():
        nn.init.constant_(parameter, 7.0)
    draw_default_weights(network, torch.Generator().manual_seed(0))
    for layer, inputs in ((network[0], 36), (network[2], 400)):
        ours, theirs = [parameter.detach() for parameter in layer.parameters()], layer
        fresh = nn.Linear(400, 300) if inputs == 400 else nn.Conv2d(4, 64, 3)
        assert type(fresh) is type(theirs)
        for tensor, drawn in zip(ours, fresh.parameters(), strict=True):
            assert float(tensor.abs().max()) <= 1 / math.sqrt(inputs)
            assert float(tensor.std()) == pytest.approx(float(drawn.detach().std()), rel=0.25)
    assert bool((next(network[1].parameters()) == 7.0).all())


@pytest.mark.parametrize(("name", "kind"), [("adam_constant", torch.optim.Adam), ("sgd_constant", torch.optim.SGD)])
def test_a_rate_and_nothing_else(name: str, kind: type[torch.optim.Optimizer]) -> None:
    """There is no schedule, weight decay or momentum, and the grid of rates is the paper's."""
    module = importlib.import_module(f"agd_bench.algorithms.{name}")
    optimizer = module.build(nn.Linear(2, 2), 10, learning_rate=0.01)
    assert type(optimizer) is kind
    group = optimizer.param_groups[0]
    assert (group["lr"], group["weight_decay"], group.get("momentum", 0)) == (0.01, 0, 0)
    assert module.RANGES["learning_rate"]["choices"] == [1e-5, 1e-4, 1e-3, 1e-2, 1e-1]
