"""The DARTS space: published sizes, names, numberings, and the function a cell computes."""

from __future__ import annotations

import itertools
from collections import Counter

import numpy as np
import pytest
import torch
from torch import nn

from search_spaces import darts as space
from tests.search_spaces.measuring import logits_of, parameters_of

# The cells found by DARTS's second-order search on CIFAR-10, from figures 4 and 5 of its paper.
NORMAL = "|sep_conv_3x3~0|sep_conv_3x3~1|+|sep_conv_3x3~0|sep_conv_3x3~1|+|skip_connect~0|sep_conv_3x3~1|+|skip_connect~0|dil_conv_3x3~2|"
REDUCTION = (
    "|max_pool_3x3~0|max_pool_3x3~1|+|max_pool_3x3~1|skip_connect~2|+|max_pool_3x3~0|skip_connect~2|+|max_pool_3x3~1|skip_connect~2|"
)
DARTS = f"{NORMAL}/{REDUCTION}"


def test_parameters_are_the_published_ones() -> None:
    """DARTS's own cells have 3.349 million parameters at 36 channels and 20 cells, as its repository states."""
    with torch.device("meta"):
        network = space.build(DARTS, 3, 10)
    assert round(parameters_of(network) / 1e6, 3) == 3.349


def classes(operations: int) -> int:
    """Return the number of cells up to renumbering, by counting the cells that each renumbering leaves fixed (Burnside's lemma)."""
    graphs = list(itertools.product(*(itertools.combinations(range(number), 2) for number in range(2, 6))))
    orders = [{0: 0, 1: 1} | dict(zip(range(2, 6), order, strict=True)) for order in itertools.permutations(range(2, 6))]
    seen: set[frozenset[tuple[int, int]]] = set()
    total = 0
    for graph in graphs:
        edges = frozenset((start, end) for end, starts in enumerate(graph, start=2) for start in starts)
        if edges in seen:
            continue
        images = [frozenset((order[start], order[end]) for start, end in edges) for order in orders]
        seen.update(images)
        kept = [order for order, image in zip(orders, images, strict=True) if image == edges]
        fixed = sum(operations ** cycles({edge: (order[edge[0]], order[edge[1]]) for edge in edges}) for order in kept)
        assert fixed % len(kept) == 0
        total += fixed // len(kept)
    return total


def cycles(mapping: dict[tuple[int, int], tuple[int, int]]) -> int:
    """Return the number of cycles of a permutation."""
    left, count = set(mapping), 0
    while left:
        edge = left.pop()
        count += 1
        while (edge := mapping[edge]) in left:
            left.remove(edge)
    return count


def canonical_cells(operations: tuple[str, ...]) -> set[str]:
    """Return the canonical names of all cells with the given operations."""
    nodes = [
        [
            tuple(zip(starts, words, strict=True))
            for starts in itertools.combinations(range(number), 2)
            for words in itertools.product(operations, repeat=2)
        ]
        for number in range(2, 6)
    ]
    return {min(map(space._name, space._renumbered(cell))) for cell in itertools.product(*nodes)}


def test_counts_of_cells() -> None:
    """The number of classes agrees with Burnside's lemma for one operation, and for seven the lemma gives the docstring's count.

    The performance script does the same for two operations, which takes a few seconds.
    """
    assert len(canonical_cells(space.OPERATIONS[:1])) == classes(1)
    assert classes(7) == 382_128_166
    assert "382,128,166" in str(space.__doc__)


def test_canonical_names_do_not_depend_on_the_numbering() -> None:
    """All renumberings of a random architecture's cells have the same canonical name and the same number of parameters."""
    rng = np.random.default_rng(0)
    for _ in range(30):
        architecture = space.sample(rng)
        cells = space.cells_of(architecture)
        others = ["/".join(map(space._name, pair)) for pair in itertools.product(*map(space._renumbered, cells))]
        assert architecture in others
        assert {space.canonical(other) for other in others} == {space.canonical(architecture)}
        sizes = {parameters_of(space.build(other, 3, 10, **space.SMALL)) for other in (others[0], others[-1])}
        assert len(sizes) == 1


def test_renumbered_cells_are_one_network() -> None:
    """With weights copied edge by edge, a renumbered cell computes the same nodes in a different order."""
    torch.manual_seed(0)
    cell = space.cells_of(DARTS)[0]
    other = (cell[1], cell[0], *cell[2:])  # nodes 2 and 3 use only the cell's inputs, so they can be swapped
    other = (*other[:3], ((0, "skip_connect"), (3, "dil_conv_3x3")))
    assert other in space._renumbered(cell)
    one, two = (space.CellNetwork(chosen, (6, 6), 4, False, False) for chosen in (cell, other))
    for part in ("first", "second"):
        two.get_submodule(part).load_state_dict(one.get_submodule(part).state_dict())
    for mine, its in enumerate((2, 3, 0, 1, 4, 5, 6, 7)):
        two.operations[mine].load_state_dict(one.operations[its].state_dict())
    images = torch.randn(3, 6, 8, 8)
    first, second = one(images, images).chunk(4, dim=1), two(images, images).chunk(4, dim=1)
    for mine, its in zip((1, 0, 2, 3), range(4), strict=True):
        torch.testing.assert_close(second[mine], first[its])


def test_a_cell_is_its_nodes_written_out() -> None:
    """A reduction cell of pools and skips equals its nodes written out by hand."""
    name = "|max_pool_3x3~0|avg_pool_3x3~1|+|skip_connect~1|skip_connect~2|+|avg_pool_3x3~2|max_pool_3x3~3|+|skip_connect~0|skip_connect~4|"
    cell = space.CellNetwork(space.cells_of(f"{name}/{name}")[1], (4, 4), 4, True, False)
    before, last = torch.randn(2, 2, 4, 9, 9)
    zero, one = cell.first(before), cell.second(last)
    mean = nn.AvgPool2d(3, 2, padding=1, count_include_pad=False)
    two = nn.functional.max_pool2d(zero, 3, 2, 1) + mean(one)
    three = cell.operations[2](one) + two
    four = nn.AvgPool2d(3, 1, padding=1, count_include_pad=False)(two) + nn.functional.max_pool2d(three, 3, 1, 1)
    five = cell.operations[6](zero) + four
    torch.testing.assert_close(cell(before, last), torch.cat([two, three, four, five], dim=1))


@pytest.mark.parametrize("size", [8, 9])
def test_halving_takes_both_diagonals(size: int) -> None:
    """With identity convolutions, halving returns the even and the odd diagonal pixels, padded with zeros."""
    halving = space.Halving(1, 2).eval()
    nn.init.ones_(halving.even.weight)
    nn.init.ones_(halving.odd.weight)
    images = torch.rand(1, 1, size, size)
    even, odd = (halving(images) * (1 + 1e-5) ** 0.5)[0]
    torch.testing.assert_close(even, images[0, 0, ::2, ::2])
    torch.testing.assert_close(odd[: size // 2, : size // 2], images[0, 0, 1::2, 1::2])
    assert size % 2 == 0 or not odd[-1].any()


def test_reduction_cells_stand_at_thirds() -> None:
    """Reduction cells are numbers 6 and 13 of 20 cells, and 2 and 5 of 8; each doubles the channels."""
    for cells, places in ((20, [6, 13]), (8, [2, 5])):
        with torch.device("meta"):
            network = space.build(DARTS, 3, 10, channels=2, cells=cells)
        assert isinstance(network, space.Network)
        convolutions = [cell.get_submodule("second.1") for cell in network.cells]
        widths = [convolution.out_channels for convolution in convolutions if isinstance(convolution, nn.Conv2d)]
        assert len(widths) == cells
        assert [number for number in range(1, cells) if widths[number] == 2 * widths[number - 1]] == places


@pytest.mark.parametrize("size", [8, 9, 13])
def test_any_image_size_works(size: int) -> None:
    """Odd image sizes are rounded up consistently."""
    assert logits_of(space.build(DARTS, 3, 7, channels=2, cells=3), size=size).shape == (4, 7)


def test_draws_are_uniform() -> None:
    """All sources and all operations of the last node are equally frequent."""
    rng = np.random.default_rng(0)
    drawn = [space.cells_of(space.sample(rng))[1][3] for _ in range(4_000)]
    sources = Counter((edges[0][0], edges[1][0]) for edges in drawn)
    operations = Counter(edges[1][1] for edges in drawn)
    assert len(sources) == 10
    assert len(operations) == 7
    assert all(abs(count - 400) < 5 * 360**0.5 for count in sources.values())
    assert all(abs(count - 4_000 / 7) < 5 * (4_000 * 6 / 49) ** 0.5 for count in operations.values())


@pytest.mark.parametrize(
    "wrong",
    [
        "",
        NORMAL,
        f"{DARTS}/",
        f"{DARTS} ",
        DARTS.replace("~2|/", "~5|/"),
        DARTS.replace("max", "min"),
        DARTS.replace("~0|sep_conv_3x3~1", "~1|sep_conv_3x3~0", 1),
    ],
)
def test_malformed_architectures_are_refused(wrong: str) -> None:
    """Invalid operations, sources and orders are rejected with a message that shows the format."""
    with pytest.raises(ValueError, match="no architecture of DARTS; write"):
        space.build(wrong, 3, 10)


@pytest.mark.parametrize("options", [{"channels": 3}, {"channels": 0}, {"cells": 2}, {"cells": 8.0}])
def test_options_out_of_range_are_refused(options: dict[str, int]) -> None:
    """The message names the option and the allowed values."""
    with pytest.raises(ValueError, match="out of range"):
        space.build(DARTS, 3, 10, **options)
