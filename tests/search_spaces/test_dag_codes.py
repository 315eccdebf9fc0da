"""Codes of graphs: live edges, numbers of paths, and codes of the same network."""

from __future__ import annotations

import itertools
from collections import Counter

import numpy as np
import pytest

from search_spaces import _dag_codes as dag_codes


def depths(architecture: str) -> list[int]:
    """Return the number of weighted layers on every path from the first node to the last, found by walking."""
    edges = dag_codes.live_edges(architecture)

    def walk(node: int) -> list[int]:
        if node == architecture.count("_") + 1:
            return [0]
        return [(operation == dag_codes.WEIGHTS) + rest for start, end, operation in edges if start == node for rest in walk(end)]

    return sorted(walk(0))


@pytest.mark.parametrize(
    ("architecture", "multiplier"),
    [
        ("2", 0.649519),
        ("2_02", 0.464758),
        ("2_02_002", 0.353553),
        ("2_02_002_0002", 0.280566),
        ("2_22_222_2222", 0.137409),
        ("2_12_112_1112", 0.173205),
    ],
)
def test_path_depths_give_the_published_multipliers(architecture: str, multiplier: float) -> None:
    """Path depths give the learning-rate factors of the paper's code, with base depth 3 and each path 3 deeper than its layers."""
    assert (27 / sum((3 + depth) ** 3 for depth in depths(architecture))) ** 0.5 == pytest.approx(multiplier, abs=5e-7)


def test_live_edges_are_those_on_a_route() -> None:
    """Live edges match an exhaustive search of all routes, for every code of four nodes."""
    routes = [(0, *middle, 3) for count in range(3) for middle in itertools.combinations((1, 2), count)]
    for code in dag_codes.codes(4):
        operations = {(start, end): operation for start, end, operation in dag_codes.edges_of(code)}
        open_routes = [list(itertools.pairwise(route)) for route in routes if all(operations[step] for step in itertools.pairwise(route))]
        on_a_route = {step for route in open_routes for step in route}
        assert {(start, end) for start, end, _ in dag_codes.live_edges(code)} == on_a_route


Layer = tuple[np.ndarray, np.ndarray]
"""A weight matrix and a bias."""


def outputs(architecture: str, layers: list[Layer], start: np.ndarray) -> tuple[float, ...]:
    """Return the smallest output over all assignments of layers to the weighted edges."""
    edges = dag_codes.live_edges(architecture)
    weighted = [edge for edge in edges if edge[2] == dag_codes.WEIGHTS]
    found = []
    for chosen in itertools.permutations(layers[: len(weighted)]):
        given = dict(zip(weighted, chosen, strict=True))
        nodes = [start, *[np.zeros_like(start)] * (architecture.count("_") + 1)]
        for edge in edges:
            source = nodes[edge[0]]
            brought = np.maximum(given[edge][0] @ source + given[edge][1], 0) if edge in given else source
            nodes[edge[1]] = nodes[edge[1]] + brought
        found.append(tuple(np.round(nodes[-1], 9).tolist()))
    return min(found)


def some_layers(count: int) -> tuple[list[Layer], np.ndarray]:
    """Return `count` layers, mostly positive to keep ReLUs open and biased to prevent homogeneity, and an input."""
    rng = np.random.default_rng(0)
    return [(rng.normal(0.2, 0.5, (4, 4)), rng.normal(0.2, 0.5, 4)) for _ in range(count)], rng.uniform(0.5, 1.5, 4)


def test_classes_are_those_of_equal_outputs() -> None:
    """The 729 codes of four nodes form 99 classes: canonical codes agree if and only if some pairing of layers gives equal outputs."""
    layers, start = some_layers(6)
    computed: dict[tuple[dag_codes.Edge, ...], tuple[float, ...]] = {}
    pairs = set()
    for code in dag_codes.codes(4):
        edges = dag_codes.live_edges(code)
        if edges not in computed:
            computed[edges] = outputs(code, layers, start)
        pairs.add((dag_codes.smallest_code(code), len([e for e in edges if e[2] == dag_codes.WEIGHTS]), computed[edges]))
    assert len(pairs) == len({pair[0] for pair in pairs}) == len({pair[1:] for pair in pairs}) == 99


def test_classes_of_five_nodes_agree_with_outputs() -> None:
    """Random codes with at most four layers have equal outputs if and only if their canonical codes are equal."""
    layers, start = some_layers(4)
    rng = np.random.default_rng(1)
    by_name: dict[str, tuple[int, tuple[float, ...]]] = {}
    by_outputs: dict[tuple[int, tuple[float, ...]], str] = {}
    while len(by_name) < 80:
        code = dag_codes.draw(rng)
        count = sum(edge[2] == dag_codes.WEIGHTS for edge in dag_codes.live_edges(code))
        if count > 4:
            continue
        name, got = dag_codes.smallest_code(code), (count, outputs(code, layers, start))
        assert by_name.setdefault(name, got) == got
        assert by_outputs.setdefault(got, name) == name


def test_counts_of_five_nodes() -> None:
    """The 59,049 codes form 4,079 classes, one of which has the 2,471 codes without a path; canonical codes map to themselves."""
    listed = list(dag_codes.codes())
    names = Counter(map(dag_codes.smallest_code, listed))
    assert len(set(listed)) == len(listed) == 59_049
    assert len(names) == 4_079
    assert names["0_00_000_0000"] == sum(bool(dag_codes.describe_defect(code)) for code in listed) == 2_471
    assert all(dag_codes.smallest_code(name) == name for name in names)


def test_examples_of_one_network() -> None:
    """Pass-through nodes and dead edges do not change the network, but how often a layer is used does."""
    same = dag_codes.smallest_code
    assert same("1_02_002") == same("2_02_001") == same("0_20_002") == same("2_20_002")
    assert same("1_10_110") != same("0_00_100")  # twice the input or once
    assert same("2_20_011") != same("2_01_011")  # the sum of two layers or twice one layer


@pytest.mark.parametrize("wrong", ["", "3", "2_2", "2_02_02", "2_02_002_0002_00002", "2-02", "2_0\n", "2__02", "22"])
def test_malformed_codes_are_refused(wrong: str) -> None:
    """The message shows the expected format."""
    with pytest.raises(ValueError, match="2_02_002_0002"):
        dag_codes.edges_of(wrong)


def test_draws_are_uniform() -> None:
    """All digits are equally frequent in every position."""
    rng = np.random.default_rng(0)
    drawn = [dag_codes.draw(rng) for _ in range(3_000)]
    assert {len(code) for code in drawn} == {13}
    for place in (0, 2, 3, 5, 6, 7, 9, 10, 11, 12):
        counts = Counter(code[place] for code in drawn)
        assert all(abs(counts[digit] - 1_000) < 5 * (3_000 * 2 / 9) ** 0.5 for digit in "012")


def test_features_are_those_of_all_paths() -> None:
    """Features match a walk along all paths, for every code of four nodes."""
    for code in dag_codes.codes(4):
        found = depths(code)
        expected = {"depth": max(found, default=0), "shallowest": min(found, default=0), "paths": len(found), "skip_paths": found.count(0)}
        assert dag_codes.path_features(code) == {**expected, "live_edges": len(dag_codes.live_edges(code))}
