"""Fully connected networks on graphs: their sizes and the functions they compute."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from search_spaces import mlp_dag as space
from tests.search_spaces.measuring import parameters_of, size_of


def test_sizes_follow_from_live_layers() -> None:
    """Parameters and multiply-adds match counts by hand; the dead layer 2 → 3 is not built."""
    parameters, multiply_adds = size_of(space.build, "2_12_002_0002")
    assert multiply_adds == 3_072 * 256 + 4 * 256**2 + 256 * 10
    assert parameters == multiply_adds + 5 * 256 + 10
    assert size_of(space.build, "2_02_002_0200") == size_of(space.build, "2_02")


def test_a_graph_is_its_nodes_written_out() -> None:
    """A network's output equals the sums of identities and layers written out by hand."""
    network = space.build("2_12_021", 1, 3, width=5, size=2)
    *_, first, graph, _ = network.children()
    values = first(torch.rand(7, 4))

    def layer(name: str, node: torch.Tensor) -> torch.Tensor:
        linear = graph.get_submodule(f"layers.{name}.0")
        assert isinstance(linear, nn.Linear)
        return torch.relu(node @ linear.weight.T + linear.bias)

    one = layer("0_1", values)
    two = values + layer("1_2", one)
    torch.testing.assert_close(graph(values), layer("1_3", one) + two)


def test_one_network_for_one_class() -> None:
    """A code and its canonical code build networks of the same size, also with options."""
    code = "1_20_022_0201"
    assert space.canonical(code) != code
    sizes = {parameters_of(space.build(name, 3, 10, width=8, size=4)) for name in (code, space.canonical(code))}
    assert len(sizes) == 1


def test_without_a_path_logits_ignore_the_image() -> None:
    """A network without a path can be built, and `defect` gives the reason."""
    code = "2_20_200_0000"
    assert space.defect(code) == "no path from input to output"
    logits = space.build(code, 3, 10, width=8)(torch.randn(4, 3, 8, 8))
    assert torch.equal(logits, logits[:1].expand(4, -1))
    assert space.defect("1_00_000_0100") == ""


def test_weights_keep_the_size_of_what_passes() -> None:
    """With He's rule, mean squares of pre-activations stay constant along a chain, and biases start at zero."""
    torch.manual_seed(0)
    network = space.build("2_02_002_0002", 1, 10, width=1024, size=16)
    images = torch.randn(16, 1, 16, 16)
    seen: list[float] = []
    for module in network.modules():
        if isinstance(module, nn.Linear):
            assert not module.bias.any()
            module.register_forward_hook(lambda _module, _inputs, output: seen.append(float(output.detach().square().mean())))
    network(images)
    # The first layer has no ReLU before it, so its outputs have twice the image's mean square; the last has gain 1, which halves it.
    assert seen[:-1] == pytest.approx([2.0] * 5, rel=0.25)
    assert seen[-1] == pytest.approx(1.0, rel=0.5)


@pytest.mark.parametrize("options", [{"width": 0}, {"size": 1.5}, {"width": True}])
def test_options_out_of_range_are_refused(options: dict[str, int]) -> None:
    """The message names the option and the allowed values."""
    with pytest.raises(ValueError, match="whole number from 1"):
        space.build("2", 3, 10, **options)
