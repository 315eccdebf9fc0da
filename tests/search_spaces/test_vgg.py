"""VGG networks: published sizes and layouts, names, and images of any size."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from search_spaces import vgg as space
from tests.search_spaces.measuring import parameters_of, size_of

FULLY_CONNECTED = 7 * 7 * 512 * 4096 + 4096 + 4096 * 4096 + 4096 + 4096 * 1000 + 1000
"""Parameters of the three fully connected layers of the published networks for 224-pixel images, where ours have one."""

# Millions of parameters from table 2 of Simonyan and Zisserman, for configurations A, B, D and E of their table 1.
PUBLISHED = {"1-1-2-2-2-w64": 133, "2-2-2-2-2-w64": 133, "2-2-3-3-3-w64": 138, "2-2-4-4-4-w64": 144}


@pytest.mark.parametrize("architecture", PUBLISHED)
def test_sizes_are_the_published_ones(architecture: str) -> None:
    """Sizes match the published ones with biases in the convolutions and the published fully connected layers in place of ours."""
    assert architecture in set(space.architectures())
    with torch.device("meta"):
        network = space.build(architecture, 3, 1000, batch_norm=False)
    published = parameters_of(network) - (512 * 1000 + 1000) + FULLY_CONNECTED
    assert round(published / 1e6) == PUBLISHED[architecture]


def test_vgg_16_for_small_images() -> None:
    """VGG-16 has 13 convolutions and one linear layer, with parameters and multiply-adds as counted by hand."""
    pairs = [(3, 64), (64, 64), (64, 128), (128, 128), (128, 256), (256, 256), (256, 256), (256, 512), *[(512, 512)] * 5]
    sides = [32, 32, 16, 16, 8, 8, 8, 4, 4, 4, 2, 2, 2]
    parameters = sum(9 * a * b + 2 * b for a, b in pairs) + 512 * 10 + 10
    assert parameters == 14_724_042
    multiply_adds = sum(9 * a * b * side**2 for (a, b), side in zip(pairs, sides, strict=True)) + 5_120
    assert size_of(space.build, "2-2-3-3-3-w64") == (parameters, multiply_adds)


def test_every_architecture_is_listed_once() -> None:
    """There are 4,096 different names."""
    listed = list(space.architectures())
    assert len(set(listed)) == len(listed) == 4**5 * 4


@pytest.mark.parametrize("wrong", ["", "2-2-w", "w64", "2-2-3-3-3", "2-2-3-3-3-3-w64", "0-1-w8", "2-2-w64 ", "2--2-w8"])
def test_malformed_architectures_are_refused(wrong: str) -> None:
    """The message shows the expected format."""
    with pytest.raises(ValueError, match="2-2-3-3-3-w64"):
        space.build(wrong, 3, 10)


def test_options() -> None:
    """Batch norm can be turned off, and the option must be Boolean."""
    network = space.build("1-1-w8", 3, 10, batch_norm=False)
    assert not any(isinstance(module, nn.BatchNorm2d) for module in network.modules())
    with pytest.raises(ValueError, match="true or false"):
        space.build("1-1-w8", 3, 10, batch_norm="no")  # type: ignore[arg-type]


@pytest.mark.parametrize("size", [1, 8, 9, 28])
def test_any_image_size_works(size: int) -> None:
    """Five poolings work even for an image of one pixel."""
    assert space.build("1-1-1-1-1-w8", 1, 7)(torch.randn(2, 1, size, size)).shape == (2, 7)


def test_features() -> None:
    """The features of VGG-16 are its convolutions and width."""
    assert space.features("2-2-3-3-3-w64") == {"convolutions": 13, "width": 64}
