"""The codes that `mlp_dag` and `cnn_dag` share: five-node graphs as text, which edges live, and which codes are one network.

A code lists, for each node after the first, the operation of its edge from each earlier node: 0 nothing, 1 the identity,
2 a weighted layer and a ReLU. `2_02_002` has four nodes in a row; in `2_12_112` every node also gets all earlier ones.
A node is the sum of what its edges bring. An edge lives if it lies on a path from the first node to the last one; dead edges
are left out of networks, since they change no output and get no gradient.

Two codes are one network if, dead edges aside and every sum multiplied out, the weighted layers can be paired off so that
each has the same inputs as often: they are equal as functions of image and weights, so also as training problems. Two
layers with the same input stay two layers; one layer whose output is used twice stays one. Layers have biases: one whose
input is doubled is no doubled one, though without biases it would be.
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
"""From node, to node, weighted layers, kernel size, dotted name of the module with the weight: what `graph` lists."""

Terms = Counter[int]
"""A sum multiplied out: how often the output of each weighted layer is in it, by the layer's number; -1 is the first node."""


def edges_of(architecture: str) -> tuple[Edge, ...]:
    """Every edge of a code, those that bring nothing too, by target and then source.

    Raises:
        ValueError: it is no code of two to five nodes.
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
    """The edges on a path from the first node to the last; none if there is no such path."""
    edges = [edge for edge in edges_of(architecture) if edge[2] != NOTHING]
    last = architecture.count("_") + 1
    reached, useful = {0}, {last}
    for start, end, _ in edges:  # by target: a node is complete before it is a source
        if start in reached:
            reached.add(end)
    for start, end, _ in reversed(edges):
        if end in useful:
            useful.add(start)
    return tuple(edge for edge in edges if edge[0] in reached and edge[1] in useful)


def codes(nodes: int = NODES) -> Iterator[str]:
    """All codes of that many nodes, the last digit changing fastest; 59,049 of five nodes."""
    groups = [["".join(digits) for digits in itertools.product("012", repeat=length)] for length in range(1, nodes)]
    return ("_".join(parts) for parts in itertools.product(*groups))


def draw(rng: np.random.Generator) -> str:
    """One code of five nodes, all equally likely."""
    digits = "".join(map(str, rng.integers(3, size=NODES * (NODES - 1) // 2)))
    return "_".join(digits[end * (end - 1) // 2 : end * (end + 1) // 2] for end in range(1, NODES))


def named_edges(architecture: str) -> tuple[tuple[int, int, str], ...]:
    """The live edges with their operations as words: `identity` or `weights`."""
    return tuple((start, end, "identity" if operation == IDENTITY else "weights") for start, end, operation in live_edges(architecture))


def cell_edges(architecture: str, kernel_size: int, layers: str) -> tuple[PathEdge, ...]:
    """The live edges, and an identity that leads from the last node out.

    Args:
        architecture: its code.
        kernel_size: of the weighted layers; 1 for linear ones.
        layers: dotted name of the module that holds the blocks `FROM_TO` of the network.
    """
    last = architecture.count("_") + 1
    edges = [
        (start, end, 0, 1, "") if operation == IDENTITY else (start, end, 1, kernel_size, f"{layers}.{start}_{end}.0")
        for start, end, operation in live_edges(architecture)
    ]
    return (*edges, (last, last + 1, 0, 1, ""))


def network_edges(architecture: str, kernel_size: int, first: str, layers: str, readout: str) -> tuple[PathEdge, ...]:
    """The edges of the whole network: the first layer, those of `cell_edges`, and the classifier.

    Args:
        architecture: its code.
        kernel_size: of the weighted layers but the classifier; 1 for linear ones.
        first: dotted name of the first layer's module.
        layers: as for `cell_edges`.
        readout: dotted name of the classifier.
    """
    inner = [(start + 1, end + 1, count, size, name) for start, end, count, size, name in cell_edges(architecture, kernel_size, layers)]
    end = inner[-1][1]
    return ((0, 1, 1, kernel_size, first), *inner, (end, end + 1, 1, 1, readout))


def path_features(architecture: str) -> dict[str, float]:
    """What may drive a rank shift, of the live edges.

    Returns:
        `depth` and `shallowest` (most and fewest weighted layers on a path from the first node to the last), `paths`, `skip_paths`
        (those of identities alone) and `live_edges`; all 0 where there is no path.
    """
    edges, last = live_edges(architecture), architecture.count("_") + 1
    ways: list[Counter[int]] = [Counter() for _ in range(last + 1)]  # by weighted layers, how many ways lead there
    ways[0][0] = 1
    for start, end, operation in edges:
        ways[end].update({layers + (operation == WEIGHTS): count for layers, count in ways[start].items()})
    found = ways[last]
    ends = (max(found), min(found)) if found else (0, 0)
    counts = {"paths": found.total(), "skip_paths": found[0], "live_edges": len(edges)}
    return {"depth": ends[0], "shallowest": ends[1], **counts}


def check_positive(**options: int) -> None:
    """Refuse an option that is no whole number from 1."""
    for name, value in options.items():
        if not isinstance(value, int) or isinstance(value, bool) or value < 1:
            raise ValueError(f"{name} {value!r} is out of range; give a whole number from 1")


def _multiplied_out(edges: tuple[Edge, ...], last: int) -> tuple[list[Terms], Terms]:
    """The input of each weighted layer, and of what follows the last node, as sums of layers' outputs."""
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
    """A number for each layer that renumbering layers does not change: refined until it tells no more of them apart."""
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
    """What two codes have in common exactly if they are one network: the smallest table of inputs over all numberings."""
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
    """The first code, in the order of `codes`, of as many nodes that is the same network."""
    last = architecture.count("_") + 1
    return _smallest(last + 1)[_network_key(live_edges(architecture), last)]


def describe_defect(architecture: str) -> str:
    """Why a code cannot be trained; empty if it can."""
    return "" if live_edges(architecture) else "no path from input to output"
