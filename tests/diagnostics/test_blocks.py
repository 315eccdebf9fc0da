"""Finding the blocks of a network, and their inputs."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from agd_bench.diagnostics import find_blocks
from agd_bench.diagnostics.blocks import head_function, inputs_of
from agd_bench.errors import InputError
from search_spaces import fcn, nas_bench_201, resnet_skips, vit


class Twofold(nn.Module):
    """A block with two submodules."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(width, width), nn.ReLU(inplace=True)

    def forward(self, features: Tensor) -> Tensor:
        result: Tensor = self.second(self.first(features))
        return result


class Wrapped(nn.Module):
    """A wrapper around blocks: `shared` is called twice, and `late` is defined before `early` but called after it."""

    def __init__(self) -> None:
        super().__init__()
        self.late, self.early, self.shared = Twofold(4), nn.ModuleList([Twofold(4), Twofold(4)]), Twofold(4)

    def forward(self, features: Tensor) -> Tensor:
        for block in self.early:
            features = block(features)
        result: Tensor = self.late(self.shared(self.shared(features)))
        return result


def test_blocks_come_in_the_order_of_their_calls() -> None:
    """Blocks are listed in call order; wrappers and containers are unwrapped, and modules that are called twice are left out."""
    network = nn.Sequential(nn.Flatten(), Wrapped())
    assert find_blocks(network, torch.randn(2, 1, 2, 2)) == ("1.early.0", "1.early.1", "1.late")


def test_a_plain_chain_has_its_layers_for_blocks() -> None:
    """The blocks of a plain chain are its linear layers and convolutions, without the modules between them."""
    network = nn.Sequential(nn.Conv2d(1, 2, 3), nn.ReLU(), nn.Flatten(), nn.Linear(8, 3))
    assert find_blocks(network, torch.randn(2, 1, 4, 4)) == ("0", "3")


def test_blocks_of_the_search_spaces() -> None:
    """Blocks are residual blocks, cells and reductions, transformer blocks, or the layers of a fully connected network."""
    images = torch.randn(2, 3, 8, 8)
    assert find_blocks(resnet_skips.build("fixed-1/plain/batch/pre/relu", 3, 10, width=4, blocks=1), images) == ("1", "2", "3", "4")
    cells = nas_bench_201.build(nas_bench_201.sample(np.random.default_rng(0)), 3, 10, channels=4, cells=1)
    assert find_blocks(cells, images) == ("2", "3", "4", "5", "6")
    assert len(find_blocks(vit.build("d2-w64-h4-p2-m1", 3, 10), images)) == 4
    assert len(find_blocks(fcn.build("4x64", 3, 10), images)) == 4


def test_a_network_without_blocks_says_so() -> None:
    """Without blocks, the message asks the user to name them."""
    with pytest.raises(InputError, match="name the blocks"):
        find_blocks(nn.Sequential(nn.Flatten(), nn.ReLU()), torch.randn(2, 1, 2, 2))


def test_inputs_are_those_before_a_change_in_place() -> None:
    """The recorded input of an in-place ReLU is its predecessor's output, and all hooks are removed afterwards."""
    network = nn.Sequential(nn.Flatten(), nn.Linear(4, 3), nn.ReLU(inplace=True))
    images = torch.randn(2, 1, 2, 2)
    given = inputs_of(network, images, ["2"])["2"]
    torch.testing.assert_close(given, network[1](images.flatten(1)).detach())
    assert (given < 0).any()
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in network.modules())


def test_an_unknown_module_is_refused() -> None:
    """The message lists some of the existing modules."""
    with pytest.raises(InputError, match="no module of the network; give one of 0, 1"):
        inputs_of(nn.Sequential(nn.Flatten(), nn.ReLU()), torch.randn(2, 1, 2, 2), ["blok"])


def test_the_head_starts_at_a_block() -> None:
    """The head function maps a block's input to the logits, also for other inputs than the recorded one."""
    network = resnet_skips.build("projection/plain/layer/pre/relu", 3, 10, width=4, blocks=1)
    images = torch.randn(2, 3, 8, 8)
    head = head_function(network, images, "2")
    given = inputs_of(network, images, ["2"])["2"]
    torch.testing.assert_close(head(given), network(images))
    assert isinstance(network, nn.Sequential)
    torch.testing.assert_close(head(given + 1), network[2:](given + 1))
