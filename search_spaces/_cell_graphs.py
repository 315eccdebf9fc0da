"""Graphs of networks of stacked cells as in NAS-Bench-201, for counting paths.

An edge is (from node, to node, weighted layers, kernel size, dotted name of the module with the weight). Nodes are numbered from the image,
0, and every edge leads to a larger number; the last edge leads to the output. Dead convolutions are edges too, since they are part of the
networks. Each cell has four nodes of its own, and an identity leads into its first node.
"""

from __future__ import annotations

from collections.abc import Sequence

PathEdge = tuple[int, int, int, int, str]

WEIGHTED = {"nor_conv_1x1": 1, "nor_conv_3x3": 3}
"""Kernel sizes of the operations with weights. The others, except `none`, count as identities."""
CELL = ((0, 1), (0, 2), (1, 2), (0, 3), (1, 3), (2, 3))
NODES = 4


def cell_edges(operations: Sequence[str]) -> tuple[PathEdge, ...]:
    """Return the edges of one cell, and an identity from its last node to the output.

    Args:
        operations: of the six edges, ordered by end node.
    """
    return (*_cell(operations, 0, ""), (NODES - 1, NODES, 0, 1, ""))


def network_edges(operations: Sequence[str], cells: int) -> tuple[PathEdge, ...]:
    """Return the edges of the network: first convolution, three stages of cells with residual blocks between them, classifier.

    Args:
        operations: of the six edges of a cell, ordered by end node.
        cells: number of cells per stage.
    """
    edges: list[PathEdge] = [(0, 1, 1, 3, "0")]
    node, child = 1, 2  # last node so far; next child of the network, after the first convolution (0) and its normalisation (1)
    for stage in range(3):
        if stage:
            edges += _reduction(node, child)
            node, child = node + 2, child + 1
        for _ in range(cells):
            edges += [(node, node + 1, 0, 1, ""), *_cell(operations, node + 1, f"{child}.")]
            node, child = node + NODES, child + 1
    return (*edges, (node, node + 1, 1, 1, str(child + 4)))  # the classifier follows normalisation, ReLU, pooling and flattening


def _cell(operations: Sequence[str], first: int, prefix: str) -> list[PathEdge]:
    made: list[PathEdge] = []
    for number, ((start, end), operation) in enumerate(zip(CELL, operations, strict=True)):
        size = WEIGHTED.get(operation)
        if operation != "none":
            made.append((first + start, first + end, int(size is not None), size or 1, f"{prefix}edges.{number}.1" if size else ""))
    return made


def _reduction(node: int, child: int) -> list[PathEdge]:
    """Return the edges of a residual block: two convolutions, and a shortcut convolution, which counts although it has no ReLU."""
    return [
        (node, node + 1, 1, 3, f"{child}.residual.0.1"),
        (node, node + 2, 1, 1, f"{child}.shortcut.1"),
        (node + 1, node + 2, 1, 3, f"{child}.residual.1.1"),
    ]
