"""NAS-Bench-101: 423,624 cells of up to seven vertices and nine edges, with an operation at each vertex between input and output.

An architecture is `EDGES:OPERATIONS`. Edges list, for each vertex after the input, which earlier vertices it reads, as 1 or 0. Operations
are in the order of the vertices between input and output. For example,

    1_01_001:conv3x3,maxpool3x3

is a chain of two operations. Vertices on no path from input to output are pruned, as published; a valid architecture then has a path and
at most nine edges. Cells that differ in the numbering of vertices only are equal: `canonical` returns the smallest name, `architectures`
lists these, and `module_hash` is the published name, an MD5 sum. `sample` draws uniformly from the valid matrices of seven vertices with
their operations, as published, and returns the canonical name; cells with many numberings are more likely.

The network has a 3 x 3 convolution, three stacks of three cells with C, 2C and 4C channels, max pooling between stacks, and a linear
classifier after global average pooling. Vertices that lead to the output of a cell share its channels evenly; any other vertex has as many
as the widest one that it leads to. 1 x 1 convolutions project the cell's input. With C = 128, the number of parameters is the published
one. (Batch norm uses torch's momentum instead of the published 0.3 % per step.)

References:
    C. Ying, A. Klein, E. Christiansen, E. Real, K. Murphy and F. Hutter, "NAS-Bench-101: Towards Reproducible Neural
    Architecture Search", ICML 2019.
"""

from __future__ import annotations

import hashlib
import itertools
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from functools import cache

import numpy as np
import torch
from torch import Tensor, nn

VARIES = "edges and operations of a cell of up to seven vertices"
SIZE = 423_624
NETWORKS = 423_624
PAPER = "Ying et al. 2019, arXiv 1902.09635"
IDENTITY = "the published number of cells, hashes and parameters"
OPTIONS = {"channels": 128, "cells": 3}
SMALL = {"channels": 16, "cells": 1}
OPERATIONS = ("conv3x3", "conv1x1", "maxpool3x3")
"""Operations in the order of the published hash."""

PathEdge = tuple[int, int, int, int, str]
"""From node, to node, weighted layers, kernel size, dotted name of the module with the weight."""

MOST_VERTICES, MOST_EDGES = 7, 9
Cell = tuple[tuple[tuple[int, ...], ...], tuple[int, ...]]
"""Matrix of edges, from row to column, and the operations of the inner vertices, as numbers."""


def _edges(matrix: np.ndarray) -> str:
    return "_".join("".join(map(str, matrix[:end, end])) for end in range(1, len(matrix)))


def _words(operations: Iterable[int]) -> str:
    return ",".join(OPERATIONS[number] for number in operations)


def cell_of(architecture: str) -> Cell:
    """Return the pruned cell of an architecture.

    Raises:
        ValueError: the architecture is invalid, has no path, or has more than nine edges.
    """
    edges, colon, words = architecture.partition(":")
    groups, operations = edges.split("_"), words.split(",") if words else []
    triangular = all(len(group) == number for number, group in enumerate(groups, start=1)) and len(groups) < MOST_VERTICES
    fits = len(operations) == len(groups) - 1 and set(operations) <= set(OPERATIONS)
    if not (colon and triangular and fits and re.fullmatch("[01_]+", edges)):
        raise ValueError(
            f"{architecture!r} is no cell of NAS-Bench-101; write which earlier vertices each takes and the operations between input "
            f"and output, for example 1_01_001:conv3x3,maxpool3x3, with at most {MOST_VERTICES} vertices; operations are {OPERATIONS}"
        )
    columns = [[int(bit) for bit in group] + [0] * (len(groups) + 1 - len(group)) for group in ["", *groups]]
    pruned = _prune(np.array(columns).T, tuple(map(OPERATIONS.index, operations)))
    if pruned is None:
        raise ValueError(f"{architecture!r} has no path from input to output; such cells are not in NAS-Bench-101")
    if sum(map(sum, pruned[0])) > MOST_EDGES:
        raise ValueError(f"{architecture!r} has more than {MOST_EDGES} edges on paths from input to output; NAS-Bench-101 has no such cell")
    return pruned


def _prune(matrix: np.ndarray, operations: tuple[int, ...]) -> Cell | None:
    """Remove the vertices on no path from input to output. Return None if there is no path."""
    vertices = len(matrix)
    reached = np.linalg.matrix_power(matrix + np.eye(vertices, dtype=int), vertices) > 0
    keep = np.flatnonzero(reached[0] & reached[:, -1])
    if not reached[0, -1]:
        return None
    between = tuple(operations[vertex - 1] for vertex in keep[1:-1])
    return tuple(tuple(int(bit) for bit in row) for row in matrix[np.ix_(keep, keep)]), between


@cache
def _numberings(vertices: int) -> np.ndarray:
    """Return every order of the vertices that keeps the first and the last, (numberings, vertices)."""
    return np.array([(0, *middle, vertices - 1) for middle in itertools.permutations(range(1, vertices - 1))])


def _renumbered(matrix: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the topological orders of a matrix, and its code in each: the digits of its name as a number."""
    orders = _numberings(len(matrix))
    matrices = matrix[orders[:, :, None], orders[:, None, :]]
    forward = ~np.tril(matrices).any(axis=(1, 2))
    ends, starts = np.tril_indices(len(matrix), -1)  # ordered by end and then start, as in names
    weights = 2 ** np.arange(len(ends))[::-1]
    return orders[forward], matrices[forward][:, starts, ends] @ weights


def _operation_codes(operations: np.ndarray, orders: np.ndarray) -> np.ndarray:
    """Return operations (labellings, inner vertices) as base-3 numbers in each order, (labellings, orders)."""
    weights = len(OPERATIONS) ** np.arange(operations.shape[1])[::-1]
    codes: np.ndarray = operations[:, orders[:, 1:-1] - 1] @ weights
    return codes


def canonical(architecture: str) -> str:
    """Return the smallest name of the pruned cell over all numberings, compared by edges, then by operations."""
    matrix, operations = (np.array(part, dtype=int) for part in cell_of(architecture))
    orders, codes = _renumbered(matrix)
    orders = orders[codes == codes.min()]
    order = orders[_operation_codes(operations[None], orders)[0].argmin()]
    return f"{_edges(matrix[np.ix_(order, order)])}:{_words(operations[order[1:-1] - 1])}"


def _matrices(vertices: int) -> Iterator[np.ndarray]:
    """Yield the matrices of at most nine edges that cannot be pruned, and that no renumbering makes smaller."""
    ends, starts = np.tril_indices(vertices, -1)
    edges = len(ends)
    codes = np.arange(2**edges)
    bits = (codes[:, None] >> np.arange(edges)[::-1] & 1).astype(np.int8)
    valid = bits.sum(axis=1) <= MOST_EDGES
    for vertex in range(vertices):
        valid &= (vertex == 0) | bits[:, ends == vertex].any(axis=1)
        valid &= (vertex == vertices - 1) | bits[:, starts == vertex].any(axis=1)
    for code in codes[valid]:
        matrix = np.zeros((vertices, vertices), dtype=int)
        matrix[starts, ends] = bits[code]
        if _renumbered(matrix)[1].min() == code:
            yield matrix


def architectures() -> Iterator[str]:
    """Yield all 423,624 canonical names, from two vertices to seven."""
    for vertices in range(2, MOST_VERTICES + 1):
        operations = np.array(list(itertools.product(range(len(OPERATIONS)), repeat=vertices - 2)), dtype=int)
        words = list(map(_words, operations))
        for matrix in _matrices(vertices):
            orders, codes = _renumbered(matrix)
            alike = _operation_codes(operations, orders[codes == codes.min()])
            smallest = alike.min(axis=1) == np.arange(len(operations))  # product counts in base 3
            edges = _edges(matrix)
            yield from (f"{edges}:{words[number]}" for number in np.flatnonzero(smallest))


def sample(rng: np.random.Generator) -> str:
    """Return the canonical name of a uniformly random valid matrix of seven vertices with five operations."""
    while True:
        groups = ["".join(map(str, rng.integers(2, size=end))) for end in range(1, MOST_VERTICES)]
        operations = [OPERATIONS[number] for number in rng.integers(len(OPERATIONS), size=MOST_VERTICES - 2)]
        try:
            return canonical(f"{'_'.join(groups)}:{','.join(operations)}")
        except ValueError:
            continue  # invalid: no path, or too many edges


def module_hash(architecture: str) -> str:
    """Return the published name of a cell: MD5 sums of degrees and operations, mixed along edges once per vertex."""
    matrix, operations = cell_of(architecture)
    vertices = range(len(matrix))
    labels = (-1, *operations, -2)
    into = [[start for start in vertices if matrix[start][end]] for end in vertices]
    out = [[end for end in vertices if matrix[start][end]] for start in vertices]
    hashes = [_md5(str((len(out[vertex]), len(into[vertex]), labels[vertex]))) for vertex in vertices]

    def joined(others: list[int]) -> str:
        return "".join(sorted(hashes[other] for other in others))

    for _ in vertices:
        hashes = [_md5(f"{joined(into[vertex])}|{joined(out[vertex])}|{hashes[vertex]}") for vertex in vertices]
    return _md5(str(sorted(hashes)))


def _md5(text: str) -> str:
    return hashlib.md5(text.encode(), usedforsecurity=False).hexdigest()


def features(architecture: str) -> dict[str, float]:
    """Return possible drivers of rank shifts: most and fewest convolutions on a path, number of paths and of edges."""
    matrix, operations = cell_of(architecture)
    ways: list[Counter[int]] = [Counter() for _ in matrix]  # number of paths to each vertex, by convolutions
    ways[0][0] = 1
    for end in range(1, len(matrix)):
        step = 1 <= end <= len(operations) and OPERATIONS[operations[end - 1]].startswith("conv")
        for start in range(end):
            ways[end].update({layers + step: count for layers, count in ways[start].items() if matrix[start][end]})
    found = ways[-1]
    return {"depth": max(found), "shallowest": min(found), "paths": found.total(), "live_edges": sum(map(sum, matrix))}


def cell(architecture: str) -> tuple[PathEdge, ...]:
    """Return the edges of one cell, for counting paths. A vertex is two nodes: input and output of its operation."""
    return _cell_edges(cell_of(architecture), 0, "")


def graph(architecture: str, channels: int = 128, cells: int = 3) -> tuple[PathEdge, ...]:
    """Return the network's edges, for counting paths: node 0 is the image, the last edge leads to the logits."""
    found = cell_of(architecture)
    edges: list[PathEdge] = [(0, 1, 1, 3, "0.0")]
    child = 1
    for stack in range(3):
        child += stack > 0  # pooling
        for _ in range(cells):
            edges += _cell_edges(found, edges[-1][1], f"{child}.")
            child += 1
    node = edges[-1][1]
    return (*edges, (node, node + 1, 1, 1, str(child + 2)))


def _cell_edges(cell: Cell, node: int, prefix: str) -> tuple[PathEdge, ...]:
    matrix, operations = cell
    last = len(matrix) - 1
    edges: list[PathEdge] = []
    for vertex in range(1, last + 1):
        arriving = node + 2 * vertex - 1
        edges += [(node + 2 * start, arriving, 0, 1, "") for start in range(1, vertex) if matrix[start][vertex]]
        edges += [(node, arriving, 1, 1, f"{prefix}projections.{vertex}.0")] if matrix[0][vertex] else []
        if vertex < last:
            word = OPERATIONS[operations[vertex - 1]]
            weighted, size = word != "maxpool3x3", 3 if word == "conv3x3" else 1
            edges.append((arriving, arriving + 1, int(weighted), size, f"{prefix}operations.{vertex}.0" if weighted else ""))
    return tuple(edges)


def vertex_channels(cell: Cell, channels: int) -> list[int]:
    """Return the output channels of the inner vertices. Those that lead to the output share its channels; the first ones get the rest."""
    matrix, last = cell[0], len(cell[0]) - 1
    widths = [0] * last
    final = [vertex for vertex in range(1, last) if matrix[vertex][last]]
    for place, vertex in enumerate(final):
        widths[vertex] = channels // len(final) + (place < channels % len(final))
    for vertex in reversed(range(1, last)):
        if not matrix[vertex][last]:
            widths[vertex] = max(widths[end] for end in range(vertex + 1, last) if matrix[vertex][end])
    return widths[1:]


class _Convolution(nn.Sequential):
    def __init__(self, in_channels: int, channels: int, size: int) -> None:
        convolution = nn.Conv2d(in_channels, channels, size, padding=size // 2, bias=False)
        super().__init__(convolution, nn.BatchNorm2d(channels), nn.ReLU())


class Module(nn.Module):
    """One cell; `projections` and `operations` are indexed by vertex."""

    def __init__(self, cell: Cell, in_channels: int, channels: int) -> None:
        super().__init__()
        self.matrix, operations = cell
        self.widths = [in_channels, *vertex_channels(cell, channels), channels]
        starts = [vertex for vertex in range(1, len(self.matrix)) if self.matrix[0][vertex]]
        self.projections = nn.ModuleDict({str(vertex): _Convolution(in_channels, self.widths[vertex], 1) for vertex in starts})
        self.operations = nn.ModuleDict()
        for vertex, operation in enumerate(operations, start=1):
            width, size = self.widths[vertex], 1 if OPERATIONS[operation] == "conv1x1" else 3
            pools = OPERATIONS[operation] == "maxpool3x3"
            self.operations[str(vertex)] = nn.MaxPool2d(3, 1, padding=1) if pools else _Convolution(width, width, size)

    def forward(self, images: Tensor) -> Tensor:
        """Map (N, in_channels, H, W) to (N, channels, H, W)."""
        last = len(self.matrix) - 1
        maps: dict[int, Tensor] = {}
        for vertex in range(1, last):
            # widths never increase along an edge; they can differ by one channel of the rest
            arriving = [maps[start][:, : self.widths[vertex]] for start in range(1, vertex) if self.matrix[start][vertex]]
            arriving += [self.projections[str(vertex)](images)] if str(vertex) in self.projections else []
            maps[vertex] = self.operations[str(vertex)](torch.stack(arriving).sum(0) if len(arriving) > 1 else arriving[0])
        final = [maps[vertex] for vertex in range(1, last) if self.matrix[vertex][last]]
        parts = [torch.cat(final, dim=1)] if final else []
        parts += [self.projections[str(last)](images)] if str(last) in self.projections else []
        output: Tensor = parts[0] + parts[1] if len(parts) > 1 else parts[0]
        return output


def build(architecture: str, in_channels: int, num_classes: int, channels: int = 128, cells: int = 3) -> nn.Module:
    """Return the network of an architecture.

    Args:
        architecture: canonical or not.
        in_channels: of the images.
        num_classes: size of the logits.
        channels: of the first of three stacks, at least 5, one for each vertex; 128 as published.
        cells: number of cells per stack, at least 1; 3 as published.

    Returns:
        A network that maps images (N, in_channels, H, W) to logits (N, num_classes).
    """
    cell = cell_of(architecture)
    for option, value, least in (("channels", channels, MOST_VERTICES - 2), ("cells", cells, 1)):
        if not isinstance(value, int) or isinstance(value, bool) or value < least:
            raise ValueError(f"{option} {value!r} is out of range; give a whole number from {least}")
    layers: list[nn.Module] = [_Convolution(in_channels, channels, 3)]
    width = channels
    for stack in range(3):
        if stack:
            layers.append(nn.MaxPool2d(2, ceil_mode=True))
        for _ in range(cells):
            layers.append(Module(cell, width, channels << stack))
            width = channels << stack
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(width, num_classes))
