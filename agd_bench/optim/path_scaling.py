"""Learning rates and initial weights from the graph of an architecture: its paths from input to output, and the in-degrees of nodes.

The largest stable learning rate at the start of training decreases with the sum of L_p³ over all paths p from the image to the logits,
where L_p is the number of weighted layers on the path, and with the kernel size q. A rate for a shallow network transfers to another one by

    rate = base rate · sqrt(Σ_p L_p³ of the shallow network / Σ_p L_p³ of the other) · (q of the shallow network / q of the other)

The theory covers the first step of networks without normalisation, and makes no statement on width.

The mode determines which paths count:

- `network`: all paths of the network, including first layer and classifier, as in the paper;
- `cell`: the paths of one cell, with a constant number of layers (`offset`) added to each, relative to one path of that length, as in the
  released code. Stacking cells multiplies paths, so rates of deep stacks approach 0 with `network` but not with `cell`;
- `shortest_path`: L^(-3/2) for the shortest path of the network, from another paper;
- `none`: the base rate unchanged.

If kernel sizes differ within a network, q is the largest.

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
    """Edge of a graph with nodes numbered from 0 (the input); every edge leads to a larger number.

    Attributes:
        start: node that the edge reads.
        end: node that its output is added to.
        layers: number of weighted layers with ReLU: 0 for an identity or pooling, 1 for a convolution or linear layer (including the
            classifier), more if the edge represents several layers.
        kernel_size: side length in pixels; 1 without a kernel.
        module: dotted name of the module in the network that has the edge's weight; empty without weight.
    """

    start: int
    end: int
    layers: int
    kernel_size: int
    module: str


@dataclass(frozen=True)
class Graph:
    """Graph of an architecture and of the shallow network, for training algorithms with an argument `graph`.

    Attributes:
        network: edges of the whole network, from the image to the logits; the last one leads to the output.
        shallow: edges of the space's shallow network, on which the base rate is tuned.
        cell: edges of one cell; empty if networks are not stacks of cells.
        offset: number of layers that mode `cell` adds to each path.
    """

    network: tuple[Edge, ...]
    shallow: tuple[Edge, ...]
    cell: tuple[Edge, ...] = ()
    offset: int = 1


def read_edges(given: Iterable[Sequence[object]]) -> tuple[Edge, ...]:
    """Convert edges of a search space, (start, end, layers, kernel size, module).

    Raises:
        PluginError: an item does not have this form, or an edge does not lead to a larger node.
    """
    edges = []
    for item in given:
        match tuple(item):
            # start < end rules out cycles, so an order by `end` is topological
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
    """Return the graph of an architecture, from the search space's `graph`, `SHALLOW`, `SHALLOW_OPTIONS`, `cell` and `CELL_OFFSET`.

    Raises:
        Refused: the space does not define `graph` and `SHALLOW`.
        PluginError: an edge is malformed.
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
    """Count the paths from node 0 to the end of the last edge by their number of layers; empty if there is none.

    Counts are exact integers of any size. Edges that are on no such path have no effect.

    >>> chain = [Edge(0, 1, 1, 1, "a"), Edge(1, 2, 1, 1, "b")]
    >>> dict(path_counts([Edge(0, 1, 0, 1, ""), *chain]))
    {1: 1, 2: 1}
    """
    # per node, paths by length: edges times depth operations, however many paths there are
    ways: dict[int, Counter[int]] = {0: Counter({0: 1})}
    for edge in sorted(edges, key=lambda edge: edge.end):  # topological order: all paths into a node before those out of it
        here = ways.setdefault(edge.end, Counter())
        for layers, count in ways.get(edge.start, Counter()).items():
            here[layers + edge.layers] += count
    return ways[edges[-1].end]


def cubed_depths(counts: Counter[int], offset: int = 0) -> int:
    """Return the sum of (layers + offset)³ over all paths.

    Raises:
        Refused: there is no path.
    """
    if not counts:
        raise Refused("no path from input to output, so no learning rate")
    return sum(count * (layers + offset) ** 3 for layers, count in counts.items())


def rate_multiplier(graph: Graph, mode: Mode = "network") -> float:
    """Return the factor, above 0, from the learning rate of the shallow network to that of the network.

    Args:
        graph: of both networks.
        mode: which paths count.

    Raises:
        Refused: there is no path, or no cell in mode `cell`.
        InputError: the mode is unknown.
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
        cubed_depths(own)  # raises Refused for a network without a path
        # L^(-3/2), arXiv 2602.07494
        return kernels * math.pow(min(shallow) / min(own), 1.5)
    if not graph.cell:
        raise Refused("mode 'cell' counts the paths of one cell, and this search space gives none; use mode 'network'")
    # the released code counts all paths without weights as one; we count each
    return kernels * math.sqrt(graph.offset**3 / cubed_depths(path_counts(graph.cell), graph.offset))


def largest_kernel(edges: Iterable[Edge]) -> int:
    """Return the largest kernel size of the edges with weights; 1 if there are none."""
    # the paper has one size per network; for several sizes the released code omits q
    return max((edge.kernel_size for edge in edges if edge.layers), default=1)


def in_degrees(edges: Sequence[Edge], degree: Degree) -> list[int]:
    """Return d of each edge, the divisor of the variance of its initial weights; at least 1.

    Args:
        edges: of a network.
        degree: `target`: number of edges that carry the image's signal into the edge's end node. This keeps the mean square of every node
            constant if all edges have weights and ReLU follows the sum. (In the paper's experiments, `mlp_dag` and `cnn_dag`, ReLU
            precedes the sum, and mean squares grow slowly.) `source`: number of edges into the edge's start node, as in the released
            code.
    """
    if degree == "source":
        into = Counter(edge.end for edge in edges)
        return [max(1, into[edge.start]) for edge in edges]
    # edges from nodes that the image does not reach add no variance
    reached = {0}
    for edge in sorted(edges, key=lambda edge: edge.end):
        if edge.start in reached:
            reached.add(edge.end)
    into = Counter(edge.end for edge in edges if edge.start in reached)
    return [max(1, into[edge.end]) for edge in edges]


def initialise(network: nn.Module, edges: Sequence[Edge], generator: torch.Generator, degree: Degree = "target") -> None:
    """Initialise weights by in-degree in place: N(0, 2 / (d · fan-in)), biases 0, and normalisation layers as the identity.

    The last edge is the classifier, with mean-field scaling: N(0, 2 / (d · fan-in²)), or standard deviation 2 / fan-in with `source`, as in
    the released code.

    Args:
        network: to initialise.
        edges: of the whole network.
        generator: of all random numbers, on the CPU.
        degree: see `in_degrees`.

    Raises:
        Refused: a parameter belongs to no edge and to no normalisation layer.
        PluginError: the module of an edge does not exist or has no weight.
    """
    drawn: set[int] = set()
    for edge, count in zip(edges, in_degrees(edges, degree), strict=True):
        if edge.module:
            layer = _layer(network, edge.module)
            # as in the paper; for DAGs of layers the released code uses fan-out, which differs in the first and the last one
            fan_in = layer.weight[0].numel()
            # ReLU halves the mean square, and a node adds up d edges
            variance = 2 / (count * fan_in)
            if edge is edges[-1]:
                # mean-field scaling: logits vanish for large width, so all widths start alike
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
    """Return the mean square of the input of the classifier, which is the module of the last edge.

    Args:
        network: the network.
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
    """Type of the modules of edges."""

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
    values = torch.randn(layer.weight.shape, generator=generator)  # on the CPU, so that a seed gives the same values on every device
    layer.weight.copy_(values * deviation)
    if layer.bias is not None:
        layer.bias.zero_()
