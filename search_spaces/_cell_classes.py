"""Decide which cells of NAS-Bench-201 are equal, by the paper's rule and by the functions that they compute.

The paper's rule compares strings: a node is the sorted text of its incoming edges, a skip keeps the text of its source, and `none` gives
`#`. There are 6,466 classes. This rule is neither finer nor coarser than equality of functions: it distinguishes `#` + X from X, and it
treats one convolution that is used twice as two convolutions.

`form` compares functions. A node is a sum of terms with multiplicities. A term is the cell's input, or the output of a convolution block,
averaged k times over 3 × 3 neighbours:

- an edge with zero input, or without a path to the output, contributes nothing. A block maps zeros to zeros, because convolutions have no
  bias and normalisation has no learned shift (profile `matrix-only`);
- a skip keeps all terms, and average pooling, which is linear, adds 1 to the k of each;
- equal terms add up. x + x differs from x even before a normalisation, which is scale-invariant only up to its ε;
- each convolution block has its own weights, so two blocks with equal inputs are different functions, and one block that is used twice is
  one function. Blocks are unnamed: cells are equal if some pairing of blocks with equal kernel sizes makes them equal.

Equal cells compute the same function for all weights, up to rounding, and train equally, since paired weights get the same gradients. There
are 5,044 classes, including one of the 341 cells without a path. Images must be at least 3 pixels wide in the first stage; on smaller ones,
different averages coincide.
"""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

from search_spaces._cell_graphs import CELL, NODES, WEIGHTED

Term = tuple[int, int]
"""Number of a block, or 0 for the cell's input, and how many times it is averaged."""
Sum = tuple[tuple[Term, int], ...]
"""Terms with their multiplicities, sorted."""
_INPUT = -1


class Form(NamedTuple):
    """Function of a cell, with blocks numbered from 1, smaller kernels first.

    Attributes:
        kernels: kernel size of each block.
        inputs: terms that enter each block.
        output: terms of the cell's output.
    """

    kernels: tuple[int, ...]
    inputs: tuple[Sum, ...]
    output: Sum


def live_edges(operations: Sequence[str]) -> frozenset[int]:
    """Return the numbers of the edges on a path from input to output.

    Args:
        operations: of the six edges, ordered by end node.
    """
    present = [edge for edge, operation in enumerate(operations) if operation != "none"]
    reached, reaching = {0}, {NODES - 1}
    for edge in present:  # topological order: edges into a node precede those out of it
        if CELL[edge][0] in reached:
            reached.add(CELL[edge][1])
    for edge in reversed(present):
        if CELL[edge][1] in reaching:
            reaching.add(CELL[edge][0])
    return frozenset(edge for edge in present if CELL[edge][0] in reached and CELL[edge][1] in reaching)


def published_text(operations: Sequence[str]) -> str:
    """Return a text that is equal for cells that are equal by the paper's rule.

    Args:
        operations: of the six edges, ordered by end node.
    """
    texts = ["input", "", "", ""]
    for node in range(1, NODES):
        brought = []
        for (start, end), operation in zip(CELL, operations, strict=True):
            if end == node:
                zero = operation == "none" or texts[start] == "#"
                brought.append("#" if zero else texts[start] if operation == "skip_connect" else f"({texts[start]})@{operation}")
        texts[node] = "+".join(sorted(brought))
    return texts[-1]


def form(operations: Sequence[str]) -> tuple[Form, tuple[int, ...]]:
    """Return a cell's function in a normal form, and the edge of each of its blocks.

    Args:
        operations: of the six edges, ordered by end node.

    Returns:
        The form, which is equal for equal cells, and for block 1, 2, … the number of its edge.
    """
    output, inputs = _sums(operations)
    by_size: dict[int, list[int]] = {}
    for edge in inputs:
        by_size.setdefault(WEIGHTED[operations[edge]], []).append(edge)
    sizes = sorted(by_size)
    kernels = tuple(size for size in sizes for _ in by_size[size])
    found = []
    for parts in itertools.product(*(itertools.permutations(by_size[size]) for size in sizes)):
        order = tuple(itertools.chain(*parts))
        numbers = {_INPUT: 0} | {edge: number for number, edge in enumerate(order, start=1)}
        found.append((tuple(_numbered(inputs[edge], numbers) for edge in order), _numbered(output, numbers), order))
    into, out, order = min(found)
    return Form(kernels, into, out), order


def _sums(operations: Sequence[str]) -> tuple[Counter[Term], dict[int, Counter[Term]]]:
    """Return the terms of the last node, with blocks named by their edges, and the inputs of each block that it depends on."""
    live = live_edges(operations)
    nodes: list[Counter[Term]] = [Counter({(_INPUT, 0): 1}), Counter(), Counter(), Counter()]
    inputs: dict[int, Counter[Term]] = {}
    for edge, ((start, end), operation) in enumerate(zip(CELL, operations, strict=True)):
        if edge not in live:
            continue
        if operation in WEIGHTED:
            inputs[edge] = nodes[start]
            nodes[end][edge, 0] += 1
        else:
            averages = int(operation != "skip_connect")
            for (block, times), count in nodes[start].items():
                nodes[end][block, times + averages] += count
    return nodes[-1], inputs


def _numbered(terms: Counter[Term], numbers: dict[int, int]) -> Sum:
    return tuple(sorted(((numbers[block], times), count) for (block, times), count in terms.items()))
