"""The cell space of DARTS and NAS-Bench-301: 1.08e18 pairs of a normal and a reduction cell.

Nodes 0 and 1 of a cell are the outputs of the two previous cells. Each of its four own nodes is the sum of two operations on different
earlier nodes, and their concatenation is the output. There are seven operations; DARTS' relaxation has `none` as the eighth. An
architecture lists both cells, the normal one first, node by node as `OPERATION~FROM` in the order of FROM:

    |sep_conv_3x3~0|sep_conv_3x3~1|+|…|+|…|+|…|/|max_pool_3x3~0|max_pool_3x3~1|+|…|+|…|+|…|

A cell has (1 · 3 · 6 · 10) · 49^4 names. Renumbering its own nodes only permutes channels, so `canonical` returns the smallest name over
all numberings. There are 382,128,166 distinct cells, and 1.46e17 networks.

With 36 channels and 20 cells, as in DARTS on CIFAR-10, the number of parameters is the published one, without auxiliary head and
drop-path. NAS-Bench-301 uses 32 channels and 8 cells. Cells at one and two thirds of the depth are reduction cells, which halve the image
and double the channels.

References:
    H. Liu, K. Simonyan and Y. Yang, "DARTS: Differentiable Architecture Search", ICLR 2019.
    A. Zela, J. Siems, L. Zimmer, J. Lukasik, M. Keuper and F. Hutter, "Surrogate NAS Benchmarks: Going Beyond the Limited
    Search Spaces of Tabular NAS Benchmarks", ICLR 2022.
"""

from __future__ import annotations

import itertools
import re

import numpy as np
import torch
from torch import Tensor, nn

VARIES = "edges and operations of a normal and a reduction cell"
SIZE = 1_076_746_950_455_072_400
NETWORKS = 146_021_935_250_523_556
PAPER = "Liu et al. 2019, arXiv 1806.09055"
IDENTITY = "the published parameters of DARTS' own cells; classes of cells by Burnside's lemma"
OPTIONS = {"channels": 36, "cells": 20}
SMALL = {"channels": 8, "cells": 3}
OPERATIONS = ("max_pool_3x3", "avg_pool_3x3", "skip_connect", "sep_conv_3x3", "sep_conv_5x5", "dil_conv_3x3", "dil_conv_5x5")
INPUTS, NODES = 2, 4
Edge = tuple[int, str]
"""Start node and operation."""

Cell = tuple[tuple[Edge, ...], ...]
"""The two edges into each of the four nodes, ordered by start node."""


def _name(cell: Cell) -> str:
    return "+".join("|" + "".join(f"{operation}~{start}|" for start, operation in edges) for edges in cell)


def cells_of(architecture: str) -> tuple[Cell, Cell]:
    """Return the normal and the reduction cell.

    Raises:
        ValueError: the architecture is invalid.
    """
    cells = [tuple(_edges(node) for node in cell.split("+")) for cell in architecture.split("/")]
    # the cells must be valid, and must give the same text again
    sound = len(cells) == 2 and all(_is_cell(cell) for cell in cells)
    if not sound or "/".join(map(_name, cells)) != architecture:
        raise ValueError(
            f"{architecture!r} is no architecture of DARTS; write |OP~FROM|OP~FROM|+… for four nodes of the normal cell, /, and four of "
            f"the reduction cell, each with two different earlier nodes in their order; OP is one of {', '.join(OPERATIONS)}"
        )
    return cells[0], cells[1]


def _edges(node: str) -> tuple[Edge, ...]:
    return tuple((int(start), operation) for operation, start in re.findall(r"\|([a-z0-9_]+)~(\d)(?=\|)", node))


def _is_cell(cell: Cell) -> bool:
    return len(cell) == NODES and all(
        len(edges) == 2 and edges[0][0] < edges[1][0] < number and {operation for _, operation in edges} <= set(OPERATIONS)
        for number, edges in enumerate(cell, start=INPUTS)
    )


def _draw(rng: np.random.Generator) -> str:
    nodes = []
    for number in range(INPUTS, INPUTS + NODES):
        pairs = list(itertools.combinations(range(number), 2))
        sources, operations = pairs[rng.integers(len(pairs))], rng.integers(len(OPERATIONS), size=2)
        nodes.append(((sources[0], OPERATIONS[operations[0]]), (sources[1], OPERATIONS[operations[1]])))
    return _name(tuple(nodes))


def sample(rng: np.random.Generator) -> str:
    """Return a random architecture; all names are equally likely."""
    return f"{_draw(rng)}/{_draw(rng)}"


def canonical(architecture: str) -> str:
    """Return the smallest name, in lexicographic order, over all numberings of each cell's own nodes."""
    return "/".join(min(map(_name, _renumbered(cell))) for cell in cells_of(architecture))


def _renumbered(cell: Cell) -> list[Cell]:
    """Return the cell with its nodes in every topological order."""
    found = []
    for order in itertools.permutations(range(NODES)):  # order[new] = old
        new = {start: start for start in range(INPUTS)} | {INPUTS + old: INPUTS + place for place, old in enumerate(order)}
        nodes = [sorted((new[start], operation) for start, operation in cell[old]) for old in order]
        if all(edges[1][0] < number for number, edges in enumerate(nodes, start=INPUTS)):
            found.append(tuple(map(tuple, nodes)))
    return found


def _convolution(in_channels: int, channels: int) -> nn.Sequential:
    return nn.Sequential(nn.ReLU(), nn.Conv2d(in_channels, channels, 1, bias=False), nn.BatchNorm2d(channels))


class Halving(nn.Module):
    """Two 1 x 1 convolutions of stride 2, one pixel apart along the diagonal, each for half of the channels."""

    def __init__(self, in_channels: int, channels: int) -> None:
        super().__init__()
        self.even = nn.Conv2d(in_channels, channels // 2, 1, stride=2, bias=False)
        self.odd = nn.Conv2d(in_channels, channels // 2, 1, stride=2, bias=False)
        self.norm = nn.BatchNorm2d(channels)

    def forward(self, images: Tensor) -> Tensor:
        """Map (N, in_channels, H, W) to (N, channels, H/2, W/2), rounded up."""
        active = images.relu()
        # the padding matters for odd sizes only, where the last pixel has no neighbour
        shifted = nn.functional.pad(active, (0, 1, 0, 1))[:, :, 1:, 1:]
        halved: Tensor = self.norm(torch.cat([self.even(active), self.odd(shifted)], dim=1))
        return halved


def _depthwise(channels: int, size: int, stride: int, dilation: int = 1) -> list[nn.Module]:
    padding = dilation * (size // 2)
    spatial = nn.Conv2d(channels, channels, size, stride, padding, dilation, groups=channels, bias=False)
    return [nn.ReLU(), spatial, nn.Conv2d(channels, channels, 1, bias=False), nn.BatchNorm2d(channels)]


def _operation(name: str, channels: int, stride: int) -> nn.Module:
    if name == "skip_connect":
        return nn.Identity() if stride == 1 else Halving(channels, channels)
    if name == "max_pool_3x3":
        return nn.MaxPool2d(3, stride, padding=1)
    if name == "avg_pool_3x3":
        return nn.AvgPool2d(3, stride, padding=1, count_include_pad=False)
    size = int(name[-1])
    if name.startswith("dil"):
        return nn.Sequential(*_depthwise(channels, size, stride, dilation=2))
    return nn.Sequential(*_depthwise(channels, size, stride), *_depthwise(channels, size, 1))


class CellNetwork(nn.Module):
    """One cell; `operations` has the operations of all edges, in the order of its name."""

    def __init__(self, cell: Cell, widths: tuple[int, int], channels: int, reduces: bool, halve_first: bool) -> None:
        super().__init__()
        self.first: nn.Module = Halving(widths[0], channels) if halve_first else _convolution(widths[0], channels)
        self.second = _convolution(widths[1], channels)
        self.sources = [start for edges in cell for start, _ in edges]
        self.operations = nn.ModuleList(
            _operation(operation, channels, 2 if reduces and start < INPUTS else 1) for edges in cell for start, operation in edges
        )

    def forward(self, before: Tensor, last: Tensor) -> Tensor:
        """Map the outputs of the last two cells to the concatenation of four nodes."""
        nodes = [self.first(before), self.second(last)]
        brought = ((operation, source) for operation, source in zip(self.operations, self.sources, strict=True))
        for (one, start), (other, second_start) in zip(brought, brought, strict=True):
            nodes.append(one(nodes[start]) + other(nodes[second_start]))
        return torch.cat(nodes[INPUTS:], dim=1)


class Network(nn.Module):
    """A stem, cells that each get the outputs of the previous two, and a classifier."""

    def __init__(self, stem: nn.Module, cells: list[CellNetwork], head: nn.Module) -> None:
        super().__init__()
        self.stem, self.cells, self.head = stem, nn.ModuleList(cells), head

    def forward(self, images: Tensor) -> Tensor:
        """Map images (N, C, H, W) to logits (N, num_classes)."""
        before = last = self.stem(images)
        for cell in self.cells:
            before, last = last, cell(before, last)
        logits: Tensor = self.head(last)
        return logits


def build(architecture: str, in_channels: int, num_classes: int, channels: int = 36, cells: int = 20) -> nn.Module:
    """Return the network of an architecture.

    Args:
        architecture: its string.
        in_channels: of the images.
        num_classes: size of the logits.
        channels: of each node of the first cells, even, at least 2; 36 in DARTS, 32 in NAS-Bench-301.
        cells: number of cells, at least 3; 20 in DARTS, 8 in NAS-Bench-301.

    Returns:
        A network that maps images (N, in_channels, H, W) to logits (N, num_classes).
    """
    normal, reduction = cells_of(architecture)
    if not isinstance(channels, int) or channels < 2 or channels % 2:
        raise ValueError(f"channels {channels!r} is out of range; give an even number from 2")
    if not isinstance(cells, int) or isinstance(cells, bool) or cells < 3:
        raise ValueError(f"cells {cells!r} is out of range; give a whole number from 3")
    widths = (3 * channels, 3 * channels)
    stem = nn.Sequential(nn.Conv2d(in_channels, widths[0], 3, padding=1, bias=False), nn.BatchNorm2d(widths[0]))
    layers: list[CellNetwork] = []
    for number in range(cells):
        reduces = number in (cells // 3, 2 * cells // 3)
        channels *= 2 if reduces else 1
        halve_first = number - 1 in (cells // 3, 2 * cells // 3)
        layers.append(CellNetwork(reduction if reduces else normal, widths, channels, reduces, halve_first))
        widths = (widths[1], NODES * channels)
    return Network(stem, layers, nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(widths[1], num_classes)))
