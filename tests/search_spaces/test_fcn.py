"""Fully connected networks with a given depth and width."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import nn

from agd_bench.optim.path_scaling import graph_of, path_counts, rate_multiplier, read_edges
from agd_bench.training.profiles import apply_profile
from search_spaces import fcn


def linears(network: nn.Module) -> list[nn.Linear]:
    """Return the network's linear layers."""
    return [module for module in network.modules() if isinstance(module, nn.Linear)]


def test_a_network_is_what_its_name_says() -> None:
    """Depth is the number of matrices; any image is resized to `size` × `size` pixels and flattened."""
    network = fcn.build("3x7", 2, 5, size=6)
    assert [(layer.in_features, layer.out_features) for layer in linears(network)] == [(72, 7), (7, 7), (7, 5)]
    assert [type(module) for module in network.children()][2:] == [nn.Linear, nn.Tanh, nn.Linear, nn.Tanh, nn.Linear]
    for pixels in (6, 9, 3):
        assert network(torch.randn(4, 2, pixels, pixels)).shape == (4, 5)
    assert [(layer.in_features, layer.out_features) for layer in linears(fcn.build("1x7", 1, 3))] == [(784, 3)]


def test_an_image_of_that_size_enters_as_it_is() -> None:
    """An image of the right size is not averaged."""
    image = torch.randn(1, 1, 28, 28)
    flat = nn.Sequential(*list(fcn.build("2x4", 1, 3).children())[:2])(image)
    assert torch.equal(flat, image.flatten(1))


@pytest.mark.parametrize(
    ("activation", "gain"), [("tanh", 5 / 3), ("sigmoid", 1), ("softsign", 1), ("relu", math.sqrt(2)), ("scaled-relu", 1)]
)
def test_weights_begin_with_the_variance_that_is_said(activation: str, gain: float) -> None:
    """The initial standard deviation is gain / √inputs, with gain 1 for the classifier, within four standard errors; biases are zero."""
    torch.manual_seed(0)
    layers = linears(fcn.build("3x200", 1, 100, activation=activation))
    for layer, wanted in zip(layers, (gain, gain, 1.0), strict=True):
        tolerance = 4 / math.sqrt(2 * layer.weight.numel())
        assert float(layer.weight.detach().std()) * math.sqrt(layer.in_features) == pytest.approx(wanted, rel=tolerance)
        assert not layer.bias.any()


def test_the_scaled_relu_keeps_the_size() -> None:
    """The scaled ReLU preserves the mean square of a normal vector."""
    values = torch.randn(100_000, generator=torch.Generator().manual_seed(0))
    assert float(fcn.ScaledReLU()(values).square().mean()) == pytest.approx(1, abs=0.03)
    assert fcn.ScaledReLU()(torch.tensor([-1.0, 2.0])).tolist() == pytest.approx([0, 2 * math.sqrt(2)])


def test_the_space_is_its_list() -> None:
    """The space lists 20 architectures, and sampling reaches all of them."""
    listed = list(fcn.architectures())
    rng = np.random.default_rng(0)
    assert len(listed) == 20
    assert {fcn.sample(rng) for _ in range(400)} == set(listed)


def test_the_matrix_only_profile_leaves_matrices() -> None:
    """The matrix-only profile removes the biases and nothing else."""
    network = apply_profile(fcn.build("4x8", 1, 3), "matrix-only")
    assert {parameter.dim() for parameter in network.parameters()} == {2}
    assert len(list(network.parameters())) == 4


@pytest.mark.parametrize("wrong", ["", "4", "0x8", "4x0", "4x08", "4 x 8", "x8", "-1x8", "4x8x8", "1000x8"])
def test_what_is_none_is_refused(wrong: str) -> None:
    """The message shows the expected format."""
    with pytest.raises(ValueError, match="4x256"):
        fcn.build(wrong, 3, 10)


def test_unknown_activations_are_refused() -> None:
    """The message lists the known activations."""
    with pytest.raises(ValueError, match="tanh, sigmoid, softsign, relu, scaled-relu"):
        fcn.build("2x8", 3, 10, activation="gelu")


def test_the_graph_is_one_chain_and_sets_the_rate_by_depth() -> None:
    """Each layer is an edge; with L layers, the learning rate is the shallow network's times (2 / L)^(3/2), for any options."""
    for depth in (1, 2, 8):
        edges = read_edges(fcn.graph(f"{depth}x9", activation="relu", size=4))
        assert path_counts(edges) == {depth: 1}
        weights = dict(fcn.build(f"{depth}x9", 1, 3).named_modules())
        assert all(isinstance(weights[edge.module], nn.Linear) for edge in edges)
        assert rate_multiplier(graph_of(fcn, f"{depth}x9", {"size": 4}), "network") == pytest.approx((2 / depth) ** 1.5)
