"""Convolutional networks on graphs: their sizes and the functions they compute."""

from __future__ import annotations

import pytest
import torch

from search_spaces import cnn_dag as space
from tests.search_spaces.measuring import size_of


@pytest.mark.parametrize("kernel_size", [1, 3, 5])
def test_sizes_follow_from_live_layers(kernel_size: int) -> None:
    """Parameters and multiply-adds match counts by hand; dead layers are not built."""
    convolutions = kernel_size**2 * (3 * 16 + 3 * 16 * 16)
    code = "2_12_002_2000"  # only the edge 0 → 4 is live
    assert size_of(space.build, code, width=16, kernel_size=kernel_size) == size_of(space.build, "2", width=16, kernel_size=kernel_size)
    parameters, multiply_adds = size_of(space.build, "2_12_002", width=16, kernel_size=kernel_size)
    assert multiply_adds == 32 * 32 * convolutions + 16 * 10
    assert parameters == convolutions + 4 * 16 + 16 * 10 + 10


def test_a_graph_is_its_nodes_written_out() -> None:
    """A network's output equals the sums of identities and layers written out by hand."""
    graph = space.build("2_12_021", 1, 3, width=4).get_submodule("1")
    values = torch.rand(2, 4, 5, 5)

    def layer(name: str, node: torch.Tensor) -> torch.Tensor:
        return graph.get_submodule(f"layers.{name}")(node)  # type: ignore[no-any-return]

    one = layer("0_1", values)
    two = values + layer("1_2", one)
    torch.testing.assert_close(graph(values), layer("1_3", one) + two)


def test_the_graph_says_what_is_built() -> None:
    """The weighted edges are the network's layers, including the first layer and the classifier, but no dead ones."""
    weighted = {edge: (*edge, 1, 3, f"1.layers.{edge[0]}_{edge[1]}.0") for edge in ((0, 1), (1, 2), (1, 3))}
    inner = (weighted[0, 1], (0, 2, 0, 1, ""), weighted[1, 2], weighted[1, 3], (2, 3, 0, 1, ""))
    assert space.cell("2_12_021") == (*inner, (3, 4, 0, 1, ""))
    shifted = tuple((start + 1, end + 1, *rest) for start, end, *rest in space.cell("2_12_021"))
    assert space.graph("2_12_021") == ((0, 1, 1, 3, "0.0"), *shifted, (5, 6, 1, 1, "4"))
    assert {edge[3] for edge in space.graph("2_12_021", kernel_size=5) if edge[2]} == {5, 1}
    assert space.graph("2_20_200_0000") == ((0, 1, 1, 3, "0.0"), (5, 6, 0, 1, ""), (6, 7, 1, 1, "4"))
    assert space.defect("2_20_200_0000") == "no path from input to output"


@pytest.mark.parametrize(("options", "message"), [({"width": 0}, "whole number from 1"), ({"kernel_size": 4}, "odd")])
def test_options_out_of_range_are_refused(options: dict[str, int], message: str) -> None:
    """The message names the option and the allowed values."""
    with pytest.raises(ValueError, match=message):
        space.build("2", 3, 10, **options)


@pytest.mark.parametrize("size", [1, 8, 9])
def test_any_image_size_works(size: int) -> None:
    """Convolutions keep the image size, even for one pixel."""
    assert space.build("2_02_102_0112", 1, 7, width=4)(torch.randn(2, 1, size, size)).shape == (2, 7)
