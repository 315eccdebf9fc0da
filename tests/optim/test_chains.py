"""Which networks have a guarantee, and the error messages for the others."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from agd_bench.errors import Refused
from agd_bench.optim.chains import read_chain
from agd_bench.optim.smoothness import BOUNDED, LINEAR


class Changed(nn.Sequential):
    """A subclass of nn.Sequential, which might compute anything."""


class LowRank(nn.Linear):
    """A subclass of nn.Linear, which might compute anything."""


def test_a_chain_is_read_from_input_to_output() -> None:
    """Nested sequences, parameter-free layers before the first linear one, identities and an optional last activation are read."""
    inner = nn.Sequential(nn.Linear(9, 5), nn.Sigmoid())
    network = nn.Sequential(nn.AdaptiveAvgPool2d(3), nn.Flatten(), nn.Dropout(0.1), inner, nn.Identity(), nn.Linear(5, 2, bias=False))
    layers = read_chain(network)
    assert [(layer.name, layer.linear, layer.activation) for layer in layers] == [
        ("3.0", inner[0], BOUNDED[nn.Sigmoid]),
        ("5", network[5], LINEAR),
    ]
    (single,) = read_chain(nn.Linear(2, 2))
    assert (single.name, single.activation) == ("", LINEAR)
    assert read_chain(nn.Sequential(nn.Linear(2, 2), nn.Tanh()))[0].activation == BOUNDED[nn.Tanh]


@pytest.mark.parametrize(
    ("parts", "said"),
    [
        ([nn.Linear(4, 4), nn.ReLU(), nn.Linear(4, 2)], "layer '1' is ReLU"),
        ([nn.Linear(4, 4), nn.GELU(), nn.Linear(4, 2)], "layer '1' is GELU"),
        ([nn.Linear(4, 4), nn.Linear(4, 2)], "no activation stands between 0 and 1"),
        ([nn.Linear(4, 4), nn.Tanh(), nn.Tanh(), nn.Linear(4, 2)], "layer '2' is Tanh"),
        ([nn.Linear(4, 4), nn.Tanh(), nn.Dropout(0.5), nn.Linear(4, 2)], "layer '2' is Dropout"),
        ([nn.Linear(4, 4), nn.BatchNorm1d(4, affine=False), nn.Tanh()], "layer '1' is BatchNorm1d"),
        ([nn.Conv2d(1, 2, 3), nn.Flatten(), nn.Linear(8, 2)], "layer '0' is Conv2d"),
        ([nn.Sequential(nn.Linear(4, 4), nn.Softmax(1))], "layer '0.1' is Softmax"),
        ([Changed(nn.Linear(4, 4))], "layer '0' is Changed"),
        ([LowRank(4, 4)], "layer '0' is LowRank, a changed nn.Linear"),
        ([nn.Flatten(), nn.Tanh()], "no nn.Linear"),
    ],
)
def test_what_has_no_guarantee_is_named(parts: list[nn.Module], said: str) -> None:
    """The message names the layer, the allowed activations and the algorithm that accepts any network."""
    with pytest.raises(Refused) as refusal:
        read_chain(nn.Sequential(*parts))
    for words in (said, "Tanh, Sigmoid, Softsign", "dsgd_heuristic"):
        assert words in str(refusal.value)
    assert "\n" not in str(refusal.value)


def test_shared_and_odd_weights_are_refused() -> None:
    """A weight shared by two layers would move twice, and complex weights have no bounds, so both are refused."""
    first, second = nn.Linear(4, 4), nn.Linear(4, 4)
    second.weight = first.weight
    with pytest.raises(Refused, match="layer '2' shares its weight"):
        read_chain(nn.Sequential(first, nn.Tanh(), second))
    with pytest.raises(Refused, match="complex64"):
        read_chain(nn.Linear(4, 4, dtype=torch.complex64))
