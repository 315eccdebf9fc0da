"""What AGD refuses, and the messages it gives."""

from __future__ import annotations

import copy
import math

import pytest
import torch
from torch import nn

from agd_bench.errors import Refused
from agd_bench.optim.agd import AGD, initialise


def network_with(extra: nn.Module) -> nn.Module:
    """Return a small network that ends in `extra`."""
    return nn.Sequential(nn.Conv2d(3, 4, 3, bias=False), extra)


@pytest.mark.parametrize(
    ("extra", "said"),
    [
        (nn.BatchNorm2d(4), "parameter 1 (1.weight) has shape (4,)"),
        (nn.Conv2d(4, 4, 1), "parameter 2 (1.bias) has shape (4,)"),
        (nn.Conv3d(4, 4, 1, bias=False), "parameter 1 (1.weight) has shape (4, 4, 1, 1, 1)"),
    ],
    ids=["scale", "bias", "conv3d"],
)
def test_refuses_what_it_is_not_defined_for(extra: nn.Module, said: str) -> None:
    """The message names the parameter, its shape and the profile that removes it; the weights are unchanged."""
    network = network_with(extra)
    before = copy.deepcopy(network.state_dict())
    with pytest.raises(Refused) as refusal:
        AGD(network.named_parameters())
    assert said in str(refusal.value)
    assert "matrix-only" in str(refusal.value)
    with pytest.raises(Refused) as refusal:
        initialise(network, torch.Generator())
    assert said in str(refusal.value)
    assert all(torch.equal(value, network.state_dict()[name]) for name, value in before.items())


def test_refuses_complex_and_empty_weights() -> None:
    """Complex and empty weights have no meaningful scale or norm and are refused; unnamed ones are given by number."""
    for weight in (torch.zeros(2, 2, dtype=torch.complex64), torch.zeros(0, 2)):
        with pytest.raises(Refused, match=r"parameter 1 has shape"):
            AGD([torch.zeros(2, 2), weight])


def test_a_refused_group_is_left_out() -> None:
    """The number in the message counts across groups, and the optimizer keeps working without the refused group."""
    optimizer = AGD([torch.zeros(3, 2)])
    with pytest.raises(Refused, match=r"parameter 1 has shape \(3,\)"):
        optimizer.add_param_group({"params": [torch.zeros(3)]})
    assert len(optimizer.param_groups) == 1
    optimizer.step()


@pytest.mark.parametrize("gain", [0.0, -1.0, math.inf, math.nan])
def test_refuses_a_gain_out_of_range(gain: float) -> None:
    """Invalid gains are refused with a message that states the allowed range."""
    with pytest.raises(Refused, match="finite gain above 0"):
        AGD([torch.zeros(2, 2)], gain=gain)
