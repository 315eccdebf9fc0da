"""Learning rates and initial weights from the graph of an architecture: paths from input to output, and in-degrees of nodes.

The largest learning rate at which training starts well falls with the sum, over all paths p from the image to the logits, of the cubed
numbers L_p of weighted layers on them, and with the kernel size q. So a rate found on a shallow network is carried over to another:

    rate = base rate · sqrt(Σ_p L_p³ of the shallow network / Σ_p L_p³ of the other) · (q of the shallow network / q of the other)

The theory is of the first step, for networks without normalisation; it says nothing of their width. Paths are not listed: how many
there are of each length is carried from node to node, so that a graph costs its edges times its depth, however many paths it has.

Four modes say which paths count:

- `network`: of the whole network, first layer and classifier included, as the paper states the rule;
- `cell`: of one cell, with a fixed number of layers (`offset`) added to each path, against one path of that number: what the released
  code computes. It takes all paths without weights for one; we count them. Stacked cells multiply paths, so `network` gives a deep stack of
  cells rates near 0, and `cell` does not;
- `shortest_path`: L^(-3/2) of the shortest path of the network alone, of another paper;
- `none`: the base rate as it is.

Where kernels differ in size within a network, which the paper does not treat, q is the largest. (The released code leaves q out there.)

References:
    W. Chen, J. Wu, Z. Wang and B. Hanin, "Principled Architecture-aware Scaling of Hyperparameters", ICLR 2024, equations 4, 8, 9, 12.
    For `shortest_path`: arXiv 2602.07494, 2026 (its abstract; effective depth).
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any, Literal, NamedTuple, get_args

import torch
from torch import Tensor, nn

from agd_bench.errors import InputError, PluginError, Refused

Mode = Literal["network", "cell", "shortest_path", "none"]
Degree = Literal["target", "source"]


class Edge(NamedTuple):
    """One edge of a graph whose nodes are numbered from 0, the input, such that every edge leads to a larger number.

    Attributes:
        start: node that it reads.
        end: node that it is added to.
        layers: weighted layers with their ReLU on it: 0 for an identity or a pooling, 1 for a convolution or a linear layer (the classifier
            counts too), more where one edge stands for several.
        kernel_size: pixels a side; 1 without a kernel.
        module: dotted name of the module in the network that owns the edge's weight; empty for an edge without one.
    """

    start: int
    end: int
    layers: int
    kernel_size: int
    module: str


@dataclass(frozen=True)
class Graph:
    """What a training algorithm that asks for `graph` is given: an architecture's paths, and those of the shallow network.

    Attributes:
        network: edges of the whole network, from the image to the logits; the last one leads to the output.
        shallow: those of the space's shallow network, on which a base rate is found.
        cell: edges of one cell, as `network`; empty where a network is no stack of cells.
        offset: layers that mode `cell` adds to each path.
    """

    network: tuple[Edge, ...]
    shallow: tuple[Edge, ...]
    cell: tuple[Edge, ...] = ()
    offset: int = 1


def read_edges(given: Iterable[Sequence[object]]) -> tuple[Edge, ...]:
    """Edges as a search space lists them: (start, end, layers, kernel size, module).

    Raises:
        PluginError: something else, or an edge that does not lead to a node of a larger number.
    """
    edges = []
    for item in given:
        match tuple(item):
            case (int(start), int(end), int(layers), int(kernel), str(module)) if 0 <= start < end and layers >= 0 and kernel >= 1:
                edges.append(Edge(start, end, layers, kernel, module))
            case _:
                raise PluginError(
                    f"graph lists {item!r}; an edge is (start, end, layers, kernel size, module) with 0 ≤ start < end, layers at least 0, "
                    "a kernel size of at least 1 and a module's name or an empty string"
                )
    if not edges:
        raise PluginError("graph lists no edges; the last one leads to the output")
    return tuple(edges)


def graph_of(space: ModuleType, architecture: str, options: Mapping[str, Any]) -> Graph:
    """The paths that a search space tells: its `graph`, `SHALLOW` and `SHALLOW_OPTIONS`, and where it has them `cell` and `CELL_OFFSET`.

    Args:
        space: the search space's module.
        architecture: one of its architectures.
        options: those that the network is built with.

    Raises:
        Refused: the space tells no paths.
        PluginError: edges that are none.
    """
    missing = [name for name in ("graph", "SHALLOW") if not hasattr(space, name)]
    if missing:
        name = Path(getattr(space, "__file__", None) or space.__name__).stem
        raise Refused(f"this algorithm needs the paths of an architecture, and search space {name} does not define {' and '.join(missing)}")
    return Graph(
        network=read_edges(space.graph(architecture, **options)),
        shallow=read_edges(space.graph(space.SHALLOW, **{**options, **getattr(space, "SHALLOW_OPTIONS", {})})),
        cell=read_edges(space.cell(architecture)) if hasattr(space, "cell") else (),
        offset=getattr(space, "CELL_OFFSET", 1),
    )


def path_counts(edges: Sequence[Edge]) -> Counter[int]:
    """How many paths lead from node 0 to the end of the last edge, by the number of layers on them; none: empty.

    Counts are exact at any size. Edges on no such path change nothing.

    >>> chain = [Edge(0, 1, 1, 1, "a"), Edge(1, 2, 1, 1, "b")]
    >>> dict(path_counts([Edge(0, 1, 0, 1, ""), *chain]))
    {1: 1, 2: 1}
    """
    ways: dict[int, Counter[int]] = {0: Counter({0: 1})}
    for edge in sorted(edges, key=lambda edge: edge.end):  # all ways into a node are known before one leads out of it
        here = ways.setdefault(edge.end, Counter())
        for layers, count in ways.get(edge.start, Counter()).items():
            here[layers + edge.layers] += count
    return ways[edges[-1].end]


def cubed_depths(counts: Counter[int], offset: int = 0) -> int:
    """The sum over all paths of their cubed numbers of layers, `offset` added to each.

    Raises:
        Refused: there is no path.
    """
    if not counts:
        raise Refused("no path from input to output, so no learning rate")
    return sum(count * (layers + offset) ** 3 for layers, count in counts.items())


def rate_multiplier(graph: Graph, mode: Mode = "network") -> float:
    """By what the learning rate of the shallow network is to be multiplied for this network; above 0.

    Args:
        graph: both networks' paths.
        mode: which paths count.

    Raises:
        Refused: no path, or no cell in mode `cell`.
        InputError: no such mode.
    """
    if mode not in get_args(Mode):
        raise InputError(f"mode {mode!r} is none; give one of {', '.join(get_args(Mode))}")
    if mode == "none":
        return 1.0
    kernels = largest_kernel(graph.shallow) / largest_kernel(graph.network)
    own, shallow = path_counts(graph.network), path_counts(graph.shallow)
    if mode == "network":
        return kernels * math.sqrt(cubed_depths(shallow) / cubed_depths(own))
    if mode == "shortest_path":
        cubed_depths(own)  # refuses a network without a path
        return kernels * math.pow(min(shallow) / min(own), 1.5)
    if not graph.cell:
        raise Refused("mode 'cell' counts the paths of one cell, and this search space gives none; use mode 'network'")
    return kernels * math.sqrt(graph.offset**3 / cubed_depths(path_counts(graph.cell), graph.offset))


def largest_kernel(edges: Iterable[Edge]) -> int:
    """The largest kernel size of the edges that have weights; 1 without any."""
    return max((edge.kernel_size for edge in edges if edge.layers), default=1)


def in_degrees(edges: Sequence[Edge], degree: Degree) -> list[int]:
    """The d of each edge, by which the variance of its initial weights is divided; at least 1.

    Args:
        edges: a network's.
        degree: `target`: edges that bring the image's signal into the node that the edge leads to, which keeps the mean square of every
            node where all edges have weights and the ReLU follows the sum. (In the graphs of the paper's experiments, `mlp_dag` and
            `cnn_dag`, it comes before the sum, and mean squares grow slowly.) `source`: edges into the node that it reads, as the
            released code counts them.
    """
    if degree == "source":
        into = Counter(edge.end for edge in edges)
        return [max(1, into[edge.start]) for edge in edges]
    reached = {0}
    for edge in sorted(edges, key=lambda edge: edge.end):
        if edge.start in reached:
            reached.add(edge.end)
    into = Counter(edge.end for edge in edges if edge.start in reached)
    return [max(1, into[edge.end]) for edge in edges]


def initialise(network: nn.Module, edges: Sequence[Edge], generator: torch.Generator, degree: Degree = "target") -> None:
    """Draw new weights by in-degree, in place: N(0, 2 / (d · fan-in)), and biases 0; learned normalisation starts as the identity.

    The last edge is the classifier: N(0, 2 / (d · fan-in²)), smaller than usual (mean field). With `source` its standard deviation is
    2 / fan-in, as released. Fans are fan-ins throughout, as in the paper; the released code of the fully connected and the convolutional
    graphs takes fan-outs, which differ for the first and the last layer.

    Args:
        network: the network itself.
        edges: of the whole network, each with the module that owns its weight.
        generator: on the CPU; all that is drawn comes from it.
        degree: see `in_degrees`.

    Raises:
        Refused: a parameter that belongs to no edge and to no normalisation.
        PluginError: a module that the network does not have, or that has no weight.
    """
    drawn: set[int] = set()
    for edge, count in zip(edges, in_degrees(edges, degree), strict=True):
        if edge.module:
            layer = _layer(network, edge.module)
            fan_in = layer.weight[0].numel()
            variance = 2 / (count * fan_in)
            if edge is edges[-1]:
                variance = 2 / (count * fan_in**2) if degree == "target" else 4 / fan_in**2
            _draw(layer, math.sqrt(variance), generator)
            drawn |= {id(parameter) for parameter in layer.parameters()}
    for module in network.modules():
        if isinstance(module, nn.modules.batchnorm._NormBase | nn.GroupNorm | nn.LayerNorm):
            module.reset_parameters()
            drawn |= {id(parameter) for parameter in module.parameters()}
    left = [name for name, parameter in network.named_parameters() if id(parameter) not in drawn]
    if left:
        raise Refused(f"initialisation by in-degree: the architecture's graph has no edge for {', '.join(left[:3])}")


@torch.no_grad()
def readout_signal(network: nn.Module, edges: Sequence[Edge], images: Tensor) -> float:
    """Mean square of what the classifier, the module of the last edge, is given.

    Args:
        network: the network itself.
        edges: of the whole network.
        images: (N, C, H, W).
    """
    found: list[Tensor] = []
    handle = _layer(network, edges[-1].module).register_forward_pre_hook(lambda module, given: found.append(given[0]))
    try:
        network(images)
    finally:
        handle.remove()
    return float(found[-1].square().mean())


class _Layer(nn.Module):
    """What a module of an edge has."""

    weight: Tensor
    bias: Tensor | None


def _layer(network: nn.Module, name: str) -> _Layer:
    try:
        layer = network.get_submodule(name)
    except AttributeError:
        layer = nn.Module()
    weight = getattr(layer, "weight", None)
    if not isinstance(weight, Tensor) or weight.ndim < 2:
        raise PluginError(f"graph names the module {name!r}, which has no weight in this network; name the linear layer or convolution")
    return layer  # type: ignore[return-value]


@torch.no_grad()
def _draw(layer: _Layer, deviation: float, generator: torch.Generator) -> None:
    values = torch.randn(layer.weight.shape, generator=generator)  # on the CPU, so that a seed means the same on every device
    layer.weight.copy_(values * deviation)
    if layer.bias is not None:
        layer.bias.zero_()
