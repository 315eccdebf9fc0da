"""NATS-Bench's size space: names, published sizes, and the function its network computes."""

from __future__ import annotations

import itertools
from functools import partial

import pytest
import torch
from torch import nn

from search_spaces import nats_size as space
from tests.search_spaces.measuring import size_of

# Index, architecture, and parameters and FLOPs in millions by classes and image size (CIFAR-10, CIFAR-100, ImageNet16-120),
# from the three records of the size space that NATS-Bench ships in fake_torch_dir.
PUBLISHED = {
    0: ("8:8:8:8:8", {(10, 32): (0.011714, 4.481114), (100, 32): (0.012524, 4.481924), (120, 16): (0.012704, 1.121336)}),
    11: ("8:8:8:16:32", {(10, 32): (0.049202, 6.84065), (100, 32): (0.052172, 6.84362), (120, 16): (0.052832, 1.71404)}),
    284: ("8:8:40:32:40", {(10, 32): (0.144834, 21.827994), (100, 32): (0.148524, 21.831684), (120, 16): (0.149344, 5.461816)}),
}


@pytest.mark.parametrize("index", PUBLISHED)
def test_order_and_sizes_are_the_published_ones(index: int) -> None:
    """Index, parameters and FLOPs (multiply-adds plus one addition per class) match every available record."""
    architecture, sizes = PUBLISHED[index]
    assert next(itertools.islice(space.architectures(), index, None)) == architecture
    for (classes, image), published in sizes.items():
        parameters, multiply_adds = size_of(space.build, architecture, classes=classes, size=image)
        assert (parameters, multiply_adds + classes) == tuple(round(1e6 * value) for value in published)
        assert space.size(architecture, 3, classes, image) == (parameters, multiply_adds)


@pytest.mark.parametrize("cells", [1, 3])
def test_sizes_from_the_definition_are_those_of_built_networks(cells: int) -> None:
    """Computed sizes match built networks with and without channel-changing skips, for odd images and with more cells."""
    build = partial(space.build, cells=cells)
    for architecture in ("8:16:64:8:32", "24:24:24:8:8"):
        assert space.size(architecture, 1, 7, 9, cells=cells) == size_of(build, architecture, 1, 7, 9)


def test_every_architecture_is_listed_once() -> None:
    """There are 32,768 different architectures, all of which the space can parse."""
    listed = list(space.architectures())
    assert len(set(listed)) == len(listed) == 32_768
    assert listed[-1] == "64:64:64:64:64"
    assert space.channels_of(listed[11]) == (8, 8, 8, 16, 32)


@pytest.mark.parametrize("wrong", ["", "8:8:8:8", "8:8:8:8:8:8", "8:8:8:8:9", "8:8:8:8:72", "8:8:8:8: 8", "08:8:8:8:8"])
def test_malformed_architectures_are_refused(wrong: str) -> None:
    """Anything but a published string is rejected with a message that shows the format."""
    with pytest.raises(ValueError, match="joined by ':'"):
        space.build(wrong, 3, 10)


@pytest.mark.parametrize("cells", [0, 1.0, True])
def test_options_out_of_range_are_refused(cells: int) -> None:
    """The message names the option and the allowed values."""
    with pytest.raises(ValueError, match=r"cells .* whole number from 1"):
        space.build("8:8:8:8:8", 3, 10, cells=cells)


@pytest.mark.parametrize("size", [8, 9, 28])
def test_any_image_size_and_more_cells_work(size: int) -> None:
    """Odd sizes are rounded up in both branches of a reduction."""
    network = space.build("8:16:8:24:16", 1, 7, cells=2)
    assert sum(isinstance(module, space.Cell) for module in network.modules()) == 6
    assert network(torch.randn(2, 1, size, size)).shape == (2, 7)


def test_a_cell_is_the_published_one() -> None:
    """With identity convolutions, a cell with equal channels sums its five paths from input to output."""
    cell = space.Cell(4, 4)
    for name in ("first", "second", "third", "over_first", "over_third"):
        setattr(cell, name, nn.Identity())
    images = torch.randn(2, 4, 6, 6)
    # Node 1 = x, node 2 = x + node 1, node 3 = x + node 1 + node 2.
    torch.testing.assert_close(cell(images), 4 * images)


def test_features_are_the_channels() -> None:
    """The features are the channels of each layer, in order."""
    assert list(space.features("8:16:64:8:32").items()) == [
        ("layer_1", 8),
        ("layer_2", 16),
        ("layer_3", 64),
        ("layer_4", 8),
        ("layer_5", 32),
    ]
