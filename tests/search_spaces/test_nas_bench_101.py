"""NAS-Bench-101: counts, names, hashes and sizes of its cells are as published."""

from __future__ import annotations

import itertools
from collections import Counter

import numpy as np
import pytest
import torch
from torch import nn

from search_spaces import nas_bench_101 as space
from tests.search_spaces.measuring import logits_of, parameters_of

# The first record of the published table.
FIRST = "1_01_001_1000_10011_001001:conv3x3,maxpool3x3,conv3x3,conv3x3,conv1x1"
FIRST_HASH, FIRST_PARAMETERS = "00005c142e6f48ac74fdcf73e3439874", 8_555_530
# The cell in the published repository's README and notebook: an Inception module with two 3 x 3 convolutions in place of 5 x 5.
INCEPTION = "1_10_100_0001_10000_011011:conv1x1,conv3x3,conv3x3,conv3x3,maxpool3x3"
INCEPTION_PARAMETERS = 2_694_282
# The same cell as returned by the table.
INCEPTION_RETURNED = "1_10_100_1000_00001_011101:conv3x3,conv1x1,maxpool3x3,conv3x3,conv3x3"


def test_every_cell_is_counted() -> None:
    """There are 423,624 different names, the published number of unique cells, and each is canonical."""
    listed = list(space.architectures())
    assert len(set(listed)) == len(listed) == 423_624
    vertices = Counter(name.count("_") + 2 for name in listed)
    assert vertices == {2: 1, 3: 6, 4: 84, 5: 2_441, 6: 62_010, 7: 359_082}
    assert all(space.canonical(name) == name for name in listed[::4_999])
    rng = np.random.default_rng(0)
    assert set(listed) >= {space.sample(rng) for _ in range(200)}


def test_hashes_are_the_published_ones() -> None:
    """The hash of the published table's first record is reproduced under any numbering and with vertices to prune."""
    assert space.module_hash(FIRST) == FIRST_HASH
    assert space.module_hash(space.canonical(FIRST)) == FIRST_HASH
    assert space.module_hash(INCEPTION) == space.module_hash(INCEPTION_RETURNED)
    with_islands = "0_10_100_0010:conv1x1,conv3x3,maxpool3x3"
    assert space.module_hash(with_islands) == space.module_hash("1_01:conv3x3")


def test_hashes_tell_canonical_names_apart() -> None:
    """All 2,532 cells with up to five vertices have different hashes."""
    few = list(itertools.takewhile(lambda name: name.count("_") < 4, space.architectures()))
    assert len(few) == len({space.module_hash(name) for name in few}) == 2_532


def test_canonical_names_are_those_of_isomorphic_cells() -> None:
    """Canonical names match an exhaustive search of all numberings, for random cells and random renumberings of them."""
    rng = np.random.default_rng(2)
    for _ in range(100):
        name = space.sample(rng)
        matrix, operations = space.cell_of(name)
        inner = len(operations)
        names = []
        for order in itertools.permutations(range(1, inner + 1)):
            places = (0, *order, inner + 1)
            rows = tuple(tuple(matrix[start][end] for end in places) for start in places)
            if not any(rows[start][end] for start in range(inner + 2) for end in range(start + 1)):
                edges = "_".join("".join(str(rows[start][end]) for start in range(end)) for end in range(1, inner + 2))
                names.append(f"{edges}:{','.join(space.OPERATIONS[operations[vertex - 1]] for vertex in order)}")
        assert {space.canonical(other) for other in names} == {name}
        assert len({space.module_hash(other) for other in names}) == 1


@pytest.mark.parametrize(
    ("architecture", "parameters"),
    [(FIRST, FIRST_PARAMETERS), (INCEPTION, INCEPTION_PARAMETERS), (INCEPTION_RETURNED, INCEPTION_PARAMETERS)],
)
def test_parameters_are_the_published_ones(architecture: str, parameters: int) -> None:
    """Parameter counts match every available published record, under any numbering."""
    with torch.device("meta"):
        assert parameters_of(space.build(architecture, 3, 10)) == parameters
        assert parameters_of(space.build(space.canonical(architecture), 3, 10)) == parameters


@pytest.mark.parametrize(
    ("edges", "channels", "widths"),
    [
        ("1_01_001", 16, [16, 16]),
        ("1_10_011", 15, [8, 7]),
        ("1_10_100_0111", 8, [3, 3, 2]),
        ("1_01_010_0011", 9, [5, 5, 4]),
        ("1_01_101_0011", 15, [8, 8, 7]),
    ],
)
def test_channels_are_shared_as_published(edges: str, channels: int, widths: list[int]) -> None:
    """Vertices before the output share its channels evenly, with the remainder going to the first; others match their widest successor."""
    cell = space.cell_of(f"{edges}:{','.join(['conv1x1'] * edges.count('_'))}")
    assert space.vertex_channels(cell, channels) == widths


def test_a_module_is_its_vertices_written_out() -> None:
    """A module with sums, a truncated channel, a concatenation and the added input equals the computation written out by hand."""
    module = space.Module(space.cell_of("1_11_010_1011:conv3x3,maxpool3x3,conv1x1"), 6, 9)
    images = torch.randn(2, 6, 5, 5)

    def part(name: str, maps: torch.Tensor) -> torch.Tensor:
        return module.get_submodule(name)(maps)  # type: ignore[no-any-return]

    one = part("operations.1", part("projections.1", images))
    two = nn.functional.max_pool2d(one + part("projections.2", images), 3, 1, 1)
    three = part("operations.3", one[:, :4])
    assert (one.shape[1], two.shape[1], three.shape[1]) == (5, 5, 4)
    torch.testing.assert_close(module(images), torch.cat([two, three], dim=1) + part("projections.4", images))


def test_an_edge_alone_is_a_projection() -> None:
    """The smallest cell, a single edge, is a projection; its network has nine of them."""
    network = space.build("1:", 1, 7, channels=8)
    assert sum(isinstance(module, nn.Conv2d) for module in network.modules()) == 10
    assert logits_of(space.build("1:", 3, 7, channels=5, cells=1), size=9).shape == (4, 7)


@pytest.mark.parametrize(
    "wrong", ["", "1_01", "1_01:", "1_01:conv5x5", "1_01:conv3x3,conv3x3", "1_0:conv3x3", "2_01:conv3x3", ":", "1_01:conv3x3:"]
)
def test_malformed_architectures_are_refused(wrong: str) -> None:
    """The message shows the expected format."""
    with pytest.raises(ValueError, match="1_01_001:conv3x3,maxpool3x3"):
        space.build(wrong, 3, 10)


def test_cells_outside_the_space_are_refused() -> None:
    """Cells without a path or with ten edges are rejected; pruned edges do not count."""
    with pytest.raises(ValueError, match="no path"):
        space.build("1_00:conv3x3", 3, 10)
    with pytest.raises(ValueError, match="more than 9 edges"):
        space.build("1_11_111_1111:conv1x1,conv1x1,conv1x1", 3, 10)
    five = "conv3x3,conv3x3,conv3x3,conv3x3,conv1x1"
    assert space.canonical(f"1_11_111_1111_10000_000001:{five}") == "1_01:conv1x1"


@pytest.mark.parametrize("options", [{"channels": 4}, {"cells": 0}, {"cells": 1.5}])
def test_options_out_of_range_are_refused(options: dict[str, int]) -> None:
    """The message names the option and the allowed values."""
    with pytest.raises(ValueError, match="whole number from"):
        space.build(FIRST, 3, 10, **options)


def test_draws_are_uniform_over_matrices() -> None:
    """The edge from input to output is as frequent in draws as among valid matrices of seven vertices."""
    rng = np.random.default_rng(0)
    drawn = [space.sample(rng) for _ in range(2_000)]
    straight = sum(name.split(":")[0].split("_")[-1][0] == "1" for name in drawn) / len(drawn)
    codes = rng.integers(2, size=(6_000, 21))
    valid = having = 0
    for bits in codes:
        groups = ["".join(map(str, bits[end * (end - 1) // 2 : end * (end + 1) // 2])) for end in range(1, 7)]
        try:
            cell = space.cell_of("_".join(groups) + ":" + ",".join(["conv3x3"] * 5))
        except ValueError:
            continue
        valid += 1
        having += cell[0][0][-1]
    assert abs(straight - having / valid) < 4 * (0.25 / 2_000 + 0.25 / valid) ** 0.5


def test_features_of_known_cells() -> None:
    """Features match paths counted by hand: the Inception cell has four paths, and a single edge is one path."""
    assert space.features(INCEPTION) == {"depth": 2, "shallowest": 0, "paths": 4, "live_edges": 9}
    assert space.features(INCEPTION_RETURNED) == space.features(INCEPTION)
    assert space.features("1:") == {"depth": 0, "shallowest": 0, "paths": 1, "live_edges": 1}
    # Paths 0-4, 0-2-4, 0-1-2-4 and 0-1-3-4, with zero, zero, one and two convolutions.
    assert space.features("1_11_010_1011:conv3x3,maxpool3x3,conv1x1") == {"depth": 2, "shallowest": 0, "paths": 4, "live_edges": 7}
