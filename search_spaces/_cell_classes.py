"""When two cells of NAS-Bench-201 are the same, by the paper's rule and by what they compute; plain text in, plain tuples out.

The paper's rule compares strings: a node is the sorted text of what its edges bring, a skip passes its source's text on, and what comes
from `none` is `#`. It finds 6,466 cells. It is neither finer nor coarser than equality of functions: it keeps `#` + X apart from X, and
it takes one convolution that is used twice for two convolutions.

`form` compares what cells compute. A node is a sum with multiplicities of terms, each term the cell's input, or the result of one
convolution block, averaged k times over its 3 × 3 neighbours:

- an edge that nothing but zeros enters, or that does not lead to the output, brings nothing. A block of zeros is zero, because
  convolutions have no bias and normalisation is without scale and shift (the profile `matrix-only`; with a learned shift it is not);
- a skip passes all terms on, and an average adds one to the k of each, because it is linear: the mean of a sum is the sum of the means;
- terms that are alike add up. x + x is not x, not even before a normalisation, whose ε makes it scale-invariant only nearly;
- a block of a convolution has weights of its own, so that two blocks of equal inputs are two functions, and one block whose result is
  used twice is one. Blocks have no names: cells are the same if some pairing of their blocks, of equal sizes, makes them so.

Such cells are equal as functions for all weights, to rounding, and train alike: the paired weights get the same gradients, and there are
no others. There are 5,044 classes, one of them the 341 cells without a path. Images are taken to be at least 3 pixels wide in the first
stage; on smaller ones averages coincide too.
"""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

from search_spaces._cell_graphs import CELL, NODES, WEIGHTED

Term = tuple[int, int]
"""A block's number, or 0 for the cell's input, and how many times it is averaged."""
Sum = tuple[tuple[Term, int], ...]
"""Terms with their multiplicities, sorted."""
_INPUT = -1


class Form(NamedTuple):
    """What a cell computes, its blocks numbered from 1, those of smaller kernels first.

    Attributes:
        kernels: kernel size of each block.
        inputs: what enters each block.
        output: what the cell hands on.
    """

    kernels: tuple[int, ...]
    inputs: tuple[Sum, ...]
    output: Sum


def live_edges(operations: Sequence[str]) -> frozenset[int]:
    """Numbers of the edges that the input reaches and that reach the output.

    Args:
        operations: of the six edges, by the node that they lead to.
    """
    present = [edge for edge, operation in enumerate(operations) if operation != "none"]
    reached, reaching = {0}, {NODES - 1}
    for edge in present:  # edges are listed such that all that enter a node come before those that leave it
        if CELL[edge][0] in reached:
            reached.add(CELL[edge][1])
    for edge in reversed(present):
        if CELL[edge][1] in reaching:
            reaching.add(CELL[edge][0])
    return frozenset(edge for edge in present if CELL[edge][0] in reached and CELL[edge][1] in reaching)


def published_text(operations: Sequence[str]) -> str:
    """The text that is equal for equal cells by the paper's rule.

    Args:
        operations: of the six edges, by the node that they lead to.
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
    """What a cell computes, equal for equal cells, and the edge of each of its blocks.

    Args:
        operations: of the six edges, by the node that they lead to.

    Returns:
        The form, and for block 1, 2, … the number of the edge that it is on.
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
    """The last node's terms, blocks named by their edges; and what enters each block that it depends on."""
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
