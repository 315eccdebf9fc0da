"""The example search space."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from search_spaces import plain_chain


def test_a_chain_is_what_its_name_says() -> None:
    """Channels and strides are those given in the name, in that order."""
    network = plain_chain.build("16-32s-24", 3, 10)
    convolutions = [(m.in_channels, m.out_channels, m.stride[0]) for m in network.modules() if isinstance(m, nn.Conv2d)]
    assert convolutions == [(3, 16, 1), (16, 32, 2), (32, 24, 1)]
    assert network(torch.randn(2, 3, 9, 9)).shape == (2, 10)


@pytest.mark.parametrize("wrong", ["", "16-", "0-8", "16-x", "16 -32", "08", "16s2", "99999"])
def test_what_is_no_chain_is_refused(wrong: str) -> None:
    """The message shows the expected format."""
    with pytest.raises(ValueError, match="16-32s-32"):
        plain_chain.build(wrong, 3, 10)


def test_features_are_the_strings_numbers() -> None:
    """The features are layers, halvings and widths, with the same names for every architecture."""
    assert plain_chain.features("16-32s-24") == {"layers": 3, "halvings": 1, "narrowest": 16, "widest": 32}
    assert plain_chain.features("8").keys() == plain_chain.features("8s-8s").keys()
