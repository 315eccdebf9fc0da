"""Codes of `mlp_dag` and `cnn_dag`: graphs of five nodes as text, their live edges, and the codes that give equal networks.

A code lists, for each node after the first, the operation of its edge from each earlier node: 0 none, 1 identity, 2 a weighted layer with
ReLU. `2_02_002` is a chain of four nodes; in `2_12_112`, every node also gets all earlier ones. A node is the sum of its incoming edges. An
edge is live if it is on a path from the first node to the last. Dead edges are omitted, since they affect no output and get no gradient.

Two codes give equal networks if, without dead edges and with all sums expanded, the weighted layers can be paired such that paired layers
have the same inputs with the same multiplicities. Such networks are equal as functions of image and weights, and thus as training problems.
Two layers with the same input are different layers; one layer that is used twice is one layer. Since layers have biases, doubling the input
of a layer does not double its output.
"""

from __future__ import annotations

import itertools
import re
from collections import Counter
from collections.abc import Iterator
from functools import cache

import numpy as np

NODES = 5
NOTHING, IDENTITY, WEIGHTS = range(3)
Edge = tuple[int, int, int]
"""From node, to node, operation."""

PathEdge = tuple[int, int, int, int, str]
"""From node, to node, weighted layers, kernel size, dotted name of the module with the weight, as in `graph`."""

Terms = Counter[int]
"""An expanded sum: multiplicity of each weighted layer's output, by the layer's number; -1 is the first node."""


def edges_of(architecture: str) -> tuple[Edge, ...]:
    """Return all edges of a code, including those without operation, ordered by end and then start.

    Raises:
        ValueError: the text is not a code of two to five nodes.
    """
    groups = architecture.split("_")
    triangular = len(groups) < NODES and all(len(group) == number for number, group in enumerate(groups, start=1))
    if not triangular or not re.fullmatch("[012_]+", architecture):
        raise ValueError(
            f"{architecture!r} is no code of a graph; write for each node after the first the operations from all earlier ones, "
            f"0 (nothing), 1 (identity) or 2 (weights), with at most {NODES} nodes: 2_02_002_0002"
        )
    return tuple((start, end, int(digit)) for end, group in enumerate(groups, start=1) for start, digit in enumerate(group))


def live_edges(architecture: str) -> tuple[Edge, ...]:
    """Return the edges on a path from the first node to the last; empty if there is no such path."""
    edges = [edge for edge in edges_of(architecture) if edge[2] != NOTHING]
    last = architecture.count("_") + 1
    reached, useful = {0}, {last}
    for start, end, _ in edges:  # topological order: edges into a node precede those out of it
        if start in reached:
            reached.add(end)
    for start, end, _ in reversed(edges):
        if end in useful:
            useful.add(start)
    return tuple(edge for edge in edges if edge[0] in reached and edge[1] in useful)


def codes(nodes: int = NODES) -> Iterator[str]:
    """Yield all codes with a number of nodes; the last digit changes fastest. There are 59,049 with five nodes."""
    groups = [["".join(digits) for digits in itertools.product("012", repeat=length)] for length in range(1, nodes)]
    return ("_".join(parts) for parts in itertools.product(*groups))


def draw(rng: np.random.Generator) -> str:
    """Return a uniformly random code of five nodes."""
    digits = "".join(map(str, rng.integers(3, size=NODES * (NODES - 1) // 2)))
    return "_".join(digits[end * (end - 1) // 2 : end * (end + 1) // 2] for end in range(1, NODES))


def named_edges(architecture: str) -> tuple[tuple[int, int, str], ...]:
    """Return the live edges with their operations: `identity` or `weights`."""
    return tuple((start, end, "identity" if operation == IDENTITY else "weights") for start, end, operation in live_edges(architecture))


def cell_edges(architecture: str, kernel_size: int, layers: str) -> tuple[PathEdge, ...]:
    """Return the live edges, and an identity from the last node to the output.

    Args:
        architecture: its code.
        kernel_size: of the weighted layers; 1 for linear ones.
        layers: dotted name of the module with the blocks `FROM_TO` of the network.
    """
    last = architecture.count("_") + 1
    edges = [
        (start, end, 0, 1, "") if operation == IDENTITY else (start, end, 1, kernel_size, f"{layers}.{start}_{end}.0")
        for start, end, operation in live_edges(architecture)
    ]
    return (*edges, (last, last + 1, 0, 1, ""))


def network_edges(architecture: str, kernel_size: int, first: str, layers: str, readout: str) -> tuple[PathEdge, ...]:
    """Return the edges of the network: the first layer, those of `cell_edges`, and the classifier.

    Args:
        architecture: its code.
        kernel_size: of the weighted layers except the classifier; 1 for linear ones.
        first: dotted name of the first layer's module.
        layers: see `cell_edges`.
        readout: dotted name of the classifier.
    """
    inner = [(start + 1, end + 1, count, size, name) for start, end, count, size, name in cell_edges(architecture, kernel_size, layers)]
    end = inner[-1][1]
    return ((0, 1, 1, kernel_size, first), *inner, (end, end + 1, 1, 1, readout))


def path_features(architecture: str) -> dict[str, float]:
    """Return possible drivers of rank shifts, from the live edges.

    Returns:
        `depth` and `shallowest` (most and fewest weighted layers on a path from the first node to the last), `paths`, `skip_paths` (with
        identities only) and `live_edges`; all 0 if there is no path.
    """
    edges, last = live_edges(architecture), architecture.count("_") + 1
    ways: list[Counter[int]] = [Counter() for _ in range(last + 1)]  # number of paths to each node, by weighted layers
    ways[0][0] = 1
    for start, end, operation in edges:
        ways[end].update({layers + (operation == WEIGHTS): count for layers, count in ways[start].items()})
    found = ways[last]
    ends = (max(found), min(found)) if found else (0, 0)
    counts = {"paths": found.total(), "skip_paths": found[0], "live_edges": len(edges)}
    return {"depth": ends[0], "shallowest": ends[1], **counts}


def check_positive(**options: int) -> None:
    """Raise ValueError for an option that is not a positive integer."""
    for name, value in options.items():
        if not isinstance(value, int) or isinstance(value, bool) or value < 1:
            raise ValueError(f"{name} {value!r} is out of range; give a whole number from 1")


def _multiplied_out(edges: tuple[Edge, ...], last: int) -> tuple[list[Terms], Terms]:
    """Return the input of each weighted layer, and the output, as expanded sums."""
    nodes = [Terms() for _ in range(last + 1)]
    nodes[0][-1] = 1
    inputs: list[Terms] = []
    for start, end, operation in edges:
        if operation == IDENTITY:
            nodes[end].update(nodes[start])
        else:
            nodes[end][len(inputs)] += 1
            inputs.append(nodes[start])
    return inputs, nodes[last]


def _colours(inputs: list[Terms], output: Terms) -> list[int]:
    """Return a colour for each layer that is invariant under renumbering, by colour refinement until it is stable."""
    users: list[list[tuple[int, int]]] = [[] for _ in inputs]
    for user, terms in enumerate(inputs):
        for layer, times in terms.items():
            if layer >= 0:
                users[layer].append((user, times))
    colours = [0] * len(inputs)
    while True:
        signs = [
            (
                colours[layer],
                inputs[layer][-1],
                output[layer],
                tuple(sorted((colours[source], times) for source, times in inputs[layer].items() if source >= 0)),
                tuple(sorted((colours[user], times) for user, times in users[layer])),
            )
            for layer in range(len(inputs))
        ]
        order = {sign: number for number, sign in enumerate(sorted(set(signs)))}
        if len(order) == len(set(colours)):
            return colours
        colours = [order[sign] for sign in signs]


@cache
def _network_key(edges: tuple[Edge, ...], last: int) -> tuple[tuple[int, ...], ...]:
    """Return a key that is equal for equal networks only: the smallest table of inputs over all numberings."""
    inputs, output = _multiplied_out(edges, last)
    colours = _colours(inputs, output)
    alike = [[layer for layer, colour in enumerate(colours) if colour == wanted] for wanted in sorted(set(colours))]
    tables = []
    for parts in itertools.product(*(itertools.permutations(layers) for layers in alike)):
        order = [-1, *itertools.chain(*parts)]
        tables.append(tuple(tuple(terms[layer] for layer in order) for terms in (*(inputs[layer] for layer in order[1:]), output)))
    return min(tables)


@cache
def _smallest(nodes: int) -> dict[tuple[tuple[int, ...], ...], str]:
    found: dict[tuple[tuple[int, ...], ...], str] = {}
    for code in codes(nodes):
        found.setdefault(_network_key(live_edges(code), nodes - 1), code)
    return found


def smallest_code(architecture: str) -> str:
    """Return the first code, in the order of `codes`, with the same network and number of nodes."""
    last = architecture.count("_") + 1
    return _smallest(last + 1)[_network_key(live_edges(architecture), last)]


def describe_defect(architecture: str) -> str:
    """Return why a code cannot be trained, or an empty string."""
    return "" if live_edges(architecture) else "no path from input to output"
