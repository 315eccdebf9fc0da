"""Pre-activation ResNets: published sizes, names, and the function a block computes."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
import torch
from torch import nn

from search_spaces import preact_resnet as space
from tests.search_spaces.measuring import size_of

RESNET_18 = "basic-2-2-2-2-w64"


def test_resnet_18_has_the_published_parameters() -> None:
    """ResNet-18 has 11,171,146 parameters at ten classes, as in the code that the skip-connection study and the AGD paper started from."""
    parameters, multiply_adds = size_of(space.build, RESNET_18)
    assert parameters == 11_171_146
    # The stem, four stages of four equally costly convolutions (half for the first of stages 2 to 4), three shortcuts, the classifier.
    full = 32 * 32 * 9 * 64 * 64
    assert multiply_adds == 32 * 32 * 27 * 64 + 16 * full - 3 * full // 2 + 3 * full // 18 + 5_120


@pytest.mark.parametrize(
    ("architecture", "millions"),
    [("basic-18-18-18-w16", 1.7), ("bottleneck-18-18-18-w16", 1.7), ("bottleneck-111-111-111-w16", 10.2)],
)
def test_thin_networks_have_the_published_parameters(architecture: str, millions: float) -> None:
    """He et al. (2016, table 4) give the sizes of ResNet-110, ResNet-164 and ResNet-1001 for CIFAR-10 in millions, to one decimal.

    They count only kernels and the classifier: with the scales and shifts of batch norm, ResNet-1001 would have 10.3.
    """
    with torch.device("meta"):
        network = space.build(architecture, 3, 10, final_norm=True)
    assert round(sum(parameter.numel() for parameter in network.parameters() if parameter.ndim > 1) / 1e6, 1) == millions


def test_the_grid_is_listed_once_and_drawn_evenly() -> None:
    """The grid has 648 names that can all be parsed, and all draws lie in it."""
    listed = list(space.architectures())
    assert len(set(listed)) == len(listed) == 2 * 3**4 * 4
    assert RESNET_18 in listed
    rng = np.random.default_rng(0)
    drawn = Counter(space.sample(rng) for _ in range(20_000))
    assert set(drawn) == set(listed)
    assert max(drawn.values()) < 31 + 5 * 31**0.5


@pytest.mark.parametrize(
    "wrong", ["", "basic-2-2-2-2", "basic-0-2-w64", "wide-2-2-w64", "basic-w64", "basic-2-2-2-2-2-2-w8", "basic-2-w08"]
)
def test_malformed_architectures_are_refused(wrong: str) -> None:
    """The message shows the expected format."""
    with pytest.raises(ValueError, match="basic-2-2-2-2-w64"):
        space.build(wrong, 3, 10)


def test_options() -> None:
    """The last normalisation is a Boolean option."""
    kinds = [type(module) for module in space.build("basic-1-w8", 3, 10, final_norm=True).children()]
    assert kinds[2:4] == [nn.BatchNorm2d, nn.ReLU]
    with pytest.raises(ValueError, match="true or false"):
        space.build(RESNET_18, 3, 10, final_norm=1)  # type: ignore[arg-type]


@pytest.mark.parametrize("kind", ["basic", "bottleneck"])
@pytest.mark.parametrize("stride", [1, 2])
def test_a_block_is_shortcut_plus_residual(kind: str, stride: int) -> None:
    """With zero kernels in the residual branch, a block is just its shortcut: the input itself, or a convolution of its activation."""
    channels = space.EXPANSION[kind] * 4
    block = space.Block(kind, channels, 4, stride)
    nn.init.zeros_(next(m for m in reversed(list(block.residual)) if isinstance(m, nn.Conv2d)).weight)
    images = torch.randn(3, channels, 6, 6)
    expected = images
    if stride == 2:
        assert isinstance(block.shortcut, nn.Conv2d)
        normal = (images - images.mean((0, 2, 3), keepdim=True)) / (images.var((0, 2, 3), correction=0, keepdim=True) + 1e-5).sqrt()
        expected = nn.functional.conv2d(normal.relu(), block.shortcut.weight, stride=2)
    torch.testing.assert_close(block(images), expected)
    assert (block.shortcut is None) is (stride == 1)


@pytest.mark.parametrize("size", [8, 9])
def test_small_and_odd_images_work(size: int) -> None:
    """Images of eight or nine pixels can be halved three times."""
    assert space.build("bottleneck-1-1-1-1-w8", 1, 7)(torch.randn(2, 1, size, size)).shape == (2, 7)


def test_features() -> None:
    """The features of ResNet-18 are its blocks and width."""
    assert space.features(RESNET_18) == {"blocks": 8, "width": 64}
