"""NAS-Bench-201, also the topology space of NATS-Bench: 15,625 cells of four nodes and six edges.

Each edge of a cell is one of five operations, and a node is the sum of its incoming edges. An architecture is its published string, node by
node, with `OPERATION~FROM` for each incoming edge:

    |nor_conv_3x3~0|+|nor_conv_3x3~0|avg_pool_3x3~1|+|skip_connect~0|nor_conv_3x3~1|skip_connect~2|

The network has three stages of equal cells with C, 2C and 4C channels, a residual block with stride 2 between stages, and a linear
classifier after global average pooling. With C = 16 and five cells per stage, the number of parameters is the published one, and the
published FLOPs are the multiply-adds of convolutions and classifier plus one addition per bias of the classifier. This holds for 15,421 of
the 15,625 published records; the other 204 differ by thirds or halves of convolutions, as averages over different isomorphic cells do.

Architectures are listed in the published order, so number 6111 is the benchmark's architecture 6111. The order is random: every prefix is
a fair sample.

An edge is dead if its input is always zero, or if it does not lead to the output. As published (`dead_edges = "kept"`), dead convolutions
are part of the network: they count and are computed, but their gradient is zero (`grad` is None if the result is unused).
`dead_edges = "dropped"` omits them, which saves 12.9 % of the multiply-adds of the whole space (15.1 % of those in cells' convolutions).
Logits and gradients in the profile `matrix-only` are equal, and the depth L of AGD counts trainable parameters only. In the profile
`as-published`, the network changes for 2,140 architectures, where a normalisation shifts the zeros of a dead convolution by a learned
constant. In 341 architectures, the output does not depend on the input; they can be built, and `defect` reports them.

Many strings give the same network. `canonical` returns the first one in the published order, by one of two rules (see `_cell_classes.py`):
`functions`, exact, 5,044 networks; or `strings`, the paper's, 6,466. With dead edges dropped, networks that are equal by the exact rule
also draw the same initial weights from a seed, so they train to equal results, up to rounding.

References:
    X. Dong and Y. Yang, "NAS-Bench-201: Extending the Scope of Reproducible Neural Architecture Search", ICLR 2020.
    X. Dong, L. Liu, K. Musial and B. Gabrys, "NATS-Bench: Benchmarking NAS Algorithms for Architecture Topology and
    Size", IEEE TPAMI 44 (7), 2021.
"""

from __future__ import annotations

import itertools
import random
from collections.abc import Callable
from functools import cache

import numpy as np
import torch
from torch import Tensor, nn

from search_spaces import _cell_classes as cell_classes
from search_spaces import _cell_graphs as cell_graphs
from search_spaces._nas_bench_201_published import published as published
from search_spaces._nas_bench_201_published import published_costs as published_costs
from search_spaces._nas_bench_201_published import published_scores as published_scores

VARIES = "operations on the six edges of a cell"
SIZE = 15_625
NETWORKS = 5_044
PAPER = "Dong & Yang 2020, arXiv 2001.00326"
IDENTITY = "order, parameters and FLOPs of the published records; 6,466 networks by the paper's rule; 341 without a path"
OPTIONS = {"channels": 16, "cells": 5, "dead_edges": "kept"}
SMALL = {"channels": 4, "cells": 1}
RULES = ("functions", "strings")
"""Rules for equal networks; see `canonical`."""
EQUAL_TRAINING = {"profile": "matrix-only", "options": {"dead_edges": "dropped"}}
"""Profile and options for which networks of one canonical name, by the first rule, train to equal results from equal seeds."""
SHALLOW = "|none~0|+|none~0|none~1|+|skip_connect~0|none~1|none~2|"
"""Network of direct skips, from which learning rates transfer to the others."""
OPERATIONS = ("none", "skip_connect", "nor_conv_1x1", "nor_conv_3x3", "avg_pool_3x3")
EDGES = ((0, 1), (0, 2), (1, 2), (0, 3), (1, 3), (2, 3))
"""Start and end node of each edge, in the order of the string."""


def _name(operations: tuple[str, ...]) -> str:
    into: dict[int, str] = {1: "|", 2: "|", 3: "|"}
    for (start, end), operation in zip(EDGES, operations, strict=True):
        into[end] += f"{operation}~{start}|"
    return "+".join(into.values())


def operations_of(architecture: str) -> tuple[str, ...]:
    """Return the six operations of an architecture, in the order of `EDGES`."""
    operations = tuple(part.split("~")[0] for part in architecture.split("|") if "~" in part)
    if len(operations) != len(EDGES) or not set(operations) <= set(OPERATIONS) or _name(operations) != architecture:
        raise ValueError(
            f"{architecture!r} is no architecture of NAS-Bench-201; write |OP~0|+|OP~0|OP~1|+|OP~0|OP~1|OP~2| with each OP one of "
            + ", ".join(OPERATIONS)
        )
    return operations


@cache
def architectures() -> tuple[str, ...]:
    """Return all 15,625 architectures in the published order: `architectures()[index]`."""
    listed = [_name(operations) for operations in itertools.product(OPERATIONS, repeat=len(EDGES))]
    random.Random(88).shuffle(listed)  # as the benchmark's authors did
    return tuple(listed)


def canonical(architecture: str, rule: str = "functions") -> str:
    """Return the first architecture, in the published order, that is the same network by a rule.

    Args:
        architecture: its string.
        rule: `functions`: equal as functions and in training, without learned scales and shifts; or `strings`: the paper's.
    """
    if rule not in RULES:
        raise ValueError(f"rule {rule!r} is none of {', '.join(RULES)}")
    operations_of(architecture)  # raises ValueError for an invalid string
    return _canonical_names(rule)[architecture]


_CLASSES: dict[str, Callable[[tuple[str, ...]], object]] = {
    "functions": lambda operations: cell_classes.form(operations)[0],
    "strings": cell_classes.published_text,
}


@cache
def _canonical_names(rule: str) -> dict[str, str]:
    """Return the canonical names of all architectures, in about half a second."""
    first: dict[object, str] = {}
    return {name: first.setdefault(_CLASSES[rule](operations_of(name)), name) for name in architectures()}


def sample(rng: np.random.Generator) -> str:
    """Return a uniformly random architecture."""
    return _name(tuple(OPERATIONS[number] for number in rng.integers(len(OPERATIONS), size=len(EDGES))))


def has_path(architecture: str) -> bool:
    """Return whether there is a path from input to output."""
    reached = {0}
    for (start, end), operation in zip(EDGES, operations_of(architecture), strict=True):
        if start in reached and operation != "none":
            reached.add(end)
    return 3 in reached


def defect(architecture: str) -> str:
    """Return why an architecture cannot be trained, or an empty string."""
    return "" if has_path(architecture) else "no path from input to output"


def graph(architecture: str, channels: int = 16, cells: int = 5, dead_edges: str = "kept") -> tuple[cell_graphs.PathEdge, ...]:
    """Return the network's edges, for counting paths. Options are those of `build`."""
    return cell_graphs.network_edges(_built_operations(architecture, dead_edges), cells)


def cell(architecture: str) -> tuple[cell_graphs.PathEdge, ...]:
    """Return the edges of one cell."""
    return cell_graphs.cell_edges(operations_of(architecture))


def _built_operations(architecture: str, dead_edges: str) -> tuple[str, ...]:
    """Return the operations to build, with `none` for dropped dead edges."""
    operations = operations_of(architecture)
    if dead_edges not in ("kept", "dropped"):
        raise ValueError(f"dead_edges {dead_edges!r} is none of kept, dropped")
    if dead_edges == "kept":
        return operations
    live = cell_classes.live_edges(operations)
    return tuple(operation if edge in live else "none" for edge, operation in enumerate(operations))


def size(
    architecture: str,
    in_channels: int,
    num_classes: int,
    image_size: int,
    channels: int = 16,
    cells: int = 5,
    dead_edges: str = "kept",
) -> tuple[int, int]:
    """Return the parameters and multiply-adds of a network as published (with biases, scales and shifts), without building it.

    Args:
        architecture: its string.
        in_channels: of the images.
        num_classes: size of the logits.
        image_size: side length in pixels.
        channels: see `build`.
        cells: see `build`.
        dead_edges: see `build`; `kept` gives the published figures.

    Returns:
        Number of trainable scalars, and multiply-adds of convolutions and classifier for one image.
    """
    taps = [cell_graphs.WEIGHTED[name] ** 2 for name in _built_operations(architecture, dead_edges) if name in cell_graphs.WEIGHTED]
    pixels = image_size**2
    multiply_adds = 9 * in_channels * channels * pixels
    parameters = 9 * in_channels * channels + 2 * channels
    for stage in range(3):
        if stage:
            image_size, channels = (image_size + 1) // 2, 2 * channels
            pixels = image_size**2
            reduction = (9 + 18 + 1) * channels**2 // 2  # two convolutions of the residual branch, one of the shortcut
            parameters, multiply_adds = parameters + reduction + 4 * channels, multiply_adds + reduction * pixels
        weights = cells * sum(taps) * channels**2
        parameters, multiply_adds = parameters + weights + 2 * channels * cells * len(taps), multiply_adds + weights * pixels
    return parameters + 2 * channels + (channels + 1) * num_classes, multiply_adds + channels * num_classes


class _ConvolutionBlock(nn.Sequential):
    def __init__(self, in_channels: int, channels: int, size: int, stride: int = 1) -> None:
        super().__init__(
            nn.ReLU(),
            nn.Conv2d(in_channels, channels, size, stride, padding=size // 2, bias=False),
            nn.BatchNorm2d(channels),
        )


def _operation(name: str, channels: int) -> nn.Module:
    if name == "skip_connect":
        return nn.Identity()
    if name == "avg_pool_3x3":
        return nn.AvgPool2d(3, stride=1, padding=1, count_include_pad=False)
    return _ConvolutionBlock(channels, channels, 1 if name == "nor_conv_1x1" else 3)


class Cell(nn.Module):
    """Four nodes; `edges` has the operation of each edge, except `none`, under its number in `EDGES`.

    Args:
        operations: of each edge.
        channels: of the feature maps.
        order: edges whose operations draw their initial weights first.
    """

    def __init__(self, operations: tuple[str, ...], channels: int, order: tuple[int, ...] = ()) -> None:
        super().__init__()
        edges = dict.fromkeys((*order, *range(len(operations))))
        self.edges = nn.ModuleDict({str(edge): _operation(operations[edge], channels) for edge in edges if operations[edge] != "none"})

    def forward(self, images: Tensor) -> Tensor:
        """Map (N, C, H, W) to (N, C, H, W)."""
        nodes: list[Tensor | None] = [images, None, None, None]
        for edge, operation in sorted(self.edges.items()):
            start, end = EDGES[int(edge)]
            source = nodes[start]
            result = operation(torch.zeros_like(images) if source is None else source)
            present = nodes[end]
            nodes[end] = result if present is None else present + result
        output = nodes[3]
        return torch.zeros_like(images) if output is None else output


class Reduction(nn.Module):
    """A residual block that halves the image and doubles the channels."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.residual = nn.Sequential(
            _ConvolutionBlock(channels, 2 * channels, 3, stride=2),
            _ConvolutionBlock(2 * channels, 2 * channels, 3),
        )
        self.shortcut = nn.Sequential(
            nn.AvgPool2d(2, ceil_mode=True),  # rounds up like the convolution, for odd sizes; even sizes are as published
            nn.Conv2d(channels, 2 * channels, 1, bias=False),
        )

    def forward(self, images: Tensor) -> Tensor:
        """Map (N, C, H, W) to (N, 2C, H/2, W/2)."""
        halved: Tensor = self.shortcut(images) + self.residual(images)
        return halved


def build(architecture: str, in_channels: int, num_classes: int, channels: int = 16, cells: int = 5, dead_edges: str = "kept") -> nn.Module:
    """Return the network of an architecture.

    Args:
        architecture: its string.
        in_channels: of the images.
        num_classes: size of the logits.
        channels: of the first stage, at least 1; 16 as published.
        cells: number of cells per stage, at least 1; 5 as published.
        dead_edges: `kept` as published, or `dropped`. If dropped, equal cells draw their weights in the same order.

    Returns:
        A network that maps images (N, in_channels, H, W) to logits (N, num_classes).
    """
    operations = _built_operations(architecture, dead_edges)
    order = cell_classes.form(operations)[1] if dead_edges == "dropped" else ()
    for option, value in (("channels", channels), ("cells", cells)):
        if not isinstance(value, int) or isinstance(value, bool) or value < 1:
            raise ValueError(f"{option} {value!r} is out of range; give a whole number from 1")
    layers: list[nn.Module] = [nn.Conv2d(in_channels, channels, 3, padding=1, bias=False), nn.BatchNorm2d(channels)]
    for stage in range(3):
        if stage:
            layers.append(Reduction(channels))
            channels *= 2
        layers += [Cell(operations, channels, order) for _ in range(cells)]
    head = [nn.BatchNorm2d(channels), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(channels, num_classes)]
    return nn.Sequential(*layers, *head)
