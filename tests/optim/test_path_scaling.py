"""Path counts, the learning rates derived from them, and in-degree initialisation, against published values and enumeration."""

from __future__ import annotations

import collections
from types import ModuleType
from typing import Literal, get_args

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from agd_bench.errors import InputError, PluginError, Refused
from agd_bench.optim.path_scaling import (
    Edge,
    Graph,
    Mode,
    cubed_depths,
    graph_of,
    in_degrees,
    initialise,
    path_counts,
    rate_multiplier,
    read_edges,
    readout_signal,
)
from search_spaces import _cell_graphs as cell_graphs
from search_spaces import _dag_codes as dag_codes
from search_spaces import cnn_dag, mlp_dag, nas_bench_201, vit

OPERATIONS = ("none", "skip_connect", "nor_conv_1x1", "nor_conv_3x3", "avg_pool_3x3")
"""NAS-Bench-201 operations, indexed by their digit in the released code."""


def cell_of(code: str) -> tuple[Edge, ...]:
    """Return the edges of a NAS-Bench-201 cell given its code in the released code, such as 3_13_313."""
    return read_edges(cell_graphs.cell_edges([OPERATIONS[int(digit)] for digit in code.replace("_", "")]))


@pytest.mark.parametrize(
    ("code", "cell", "network"),
    [
        ("2", 0.649519, 1.0),
        ("2_02", 0.464758, 0.649519),
        ("2_02_002", 0.353553, 0.464758),
        ("2_02_002_0002", 0.280566, 0.353553),
        ("2_22_222_2222", 0.137409, 0.182574),
        ("2_12_112_1112", 0.173205, 0.237666),
    ],
)
def test_multipliers_of_graphs(code: str, cell: float, network: float) -> None:
    """Mode `cell` matches the released code; mode `network` counts one layer fewer per path, as (3 + layers − 1) cubed."""
    graph = graph_of(mlp_dag, code, {})
    assert rate_multiplier(graph, "cell") == pytest.approx(cell, abs=5e-7)
    assert rate_multiplier(graph, "network") == pytest.approx(network, abs=5e-7)
    assert rate_multiplier(graph, "none") == 1


@pytest.mark.parametrize(
    ("code", "multiplier"),
    [
        ("1_01_001", 1.0),
        ("3_03_003", 0.125),
        ("3_33_333", 0.089087),
        ("2_22_222", 0.089087),
        ("3_13_313", 0.106600),
        ("3_33_331", 0.119523),
        ("1_31_331", 0.2),
        ("1_11_111", 0.5),
        ("4_44_444", 0.5),
    ],
)
def test_multipliers_of_cells(code: str, multiplier: float) -> None:
    """Multipliers match the released code, which counts one extra layer for each path besides its convolutions."""
    cell = cell_of(code)
    assert rate_multiplier(Graph(network=cell, shallow=cell, cell=cell), "cell") == pytest.approx(multiplier, abs=5e-7)


def test_multipliers_of_all_cells() -> None:
    """Of 15,625 cells, 341 have no path; the others have 46 distinct multipliers with the published quantiles."""
    found = [
        path_counts(read_edges(cell_graphs.cell_edges(nas_bench_201.operations_of(architecture))))
        for architecture in nas_bench_201.architectures()
    ]
    multipliers = np.array([cubed_depths(counts, 1) ** -0.5 for counts in found if counts])
    assert len(multipliers) == 15_625 - 341
    assert len(np.unique(multipliers.round(9))) == 46
    expected = [0.08909, 0.10660, 0.15250, 0.23570, 0.33333, 1, 1]
    np.testing.assert_allclose(np.quantile(multipliers, [0, 0.05, 0.25, 0.5, 0.75, 0.95, 1]), expected, atol=5e-6)
    assert np.median(0.46 * multipliers) == pytest.approx(0.1084, abs=5e-5)
    assert np.mean(0.46 * multipliers > 0.1) == pytest.approx(0.5, abs=5e-4)


def random_edges(rng: np.random.Generator, nodes: int) -> list[Edge]:
    """Return a random graph, often with edges on no path and with duplicate edges."""
    pairs = [(start, end) for end in range(1, nodes) for start in range(end) for _ in range(2) if rng.random() < 0.4]
    return [Edge(start, end, int(rng.integers(3)), 1, "") for start, end in pairs] + [Edge(nodes - 1, nodes, 1, 1, "")]


def test_paths_are_those_of_an_enumeration() -> None:
    """On small graphs, path counts equal an exhaustive enumeration, whatever the order of the edges."""
    rng = np.random.default_rng(0)

    def walk(edges: list[Edge], node: int, last: int) -> list[int]:
        if node == last:
            return [0]
        return [edge.layers + rest for edge in edges if edge.start == node for rest in walk(edges, edge.end, last)]

    for _ in range(60):
        edges = random_edges(rng, int(rng.integers(2, 7)))
        shuffled = [edges[place] for place in rng.permutation(len(edges) - 1)] + edges[-1:]
        assert path_counts(shuffled) == collections.Counter(walk(edges, 0, edges[-1].end))


def test_more_paths_than_could_be_listed() -> None:
    """With 2**200 paths, counts are still exact integers and the multiplier is a small positive number."""
    edges = tuple(Edge(node, node + 1, layers, 1, "") for node in range(200) for layers in (0, 1))
    counts = path_counts(edges)
    assert counts.total() == 2**200
    # E[k³] of a binomial number k of n tosses is n² (n + 3) / 8.
    assert cubed_depths(counts) == 2**200 * 200**2 * 203 // 8
    multiplier = rate_multiplier(Graph(network=edges, shallow=(Edge(0, 1, 1, 1, ""),)))
    assert multiplier == pytest.approx((2**200 * 200**2 * 203 / 8) ** -0.5)


def test_kernels_and_shortest_paths() -> None:
    """The rate decreases with the kernel size; in mode `shortest_path` it depends only on the shortest path."""
    assert rate_multiplier(graph_of(cnn_dag, "2_02", {"kernel_size": 5}), "cell") == pytest.approx(0.464758 * 3 / 5, abs=5e-7)
    assert rate_multiplier(graph_of(cnn_dag, "2", {"kernel_size": 7})) == pytest.approx(3 / 7)
    assert rate_multiplier(graph_of(mlp_dag, "2_02_002", {}), "shortest_path") == pytest.approx((3 / 5) ** 1.5)
    assert rate_multiplier(graph_of(mlp_dag, "2_02_202", {}), "shortest_path") == 1
    assert rate_multiplier(graph_of(mlp_dag, "1", {}), "shortest_path") == pytest.approx((3 / 2) ** 1.5)


def test_a_stack_of_cells_has_small_rates_by_its_network() -> None:
    """Stacked cells multiply paths: with five cells per stage, the rate is less than a thousandth of that of one cell."""
    operations = ("nor_conv_3x3",) * 6
    skip = ("none", "none", "none", "skip_connect", "none", "none")
    network, shallow = (read_edges(cell_graphs.network_edges(each, 5)) for each in (operations, skip))
    graph = Graph(network, shallow, read_edges(cell_graphs.cell_edges(operations)))
    assert rate_multiplier(graph, "cell") == pytest.approx(0.089087, abs=5e-7)
    assert rate_multiplier(graph, "network") < 1e-3 * rate_multiplier(graph, "cell")


def test_what_cannot_be_scaled_is_refused() -> None:
    """Graphs without a path, missing cells, unknown modes and spaces without graphs each have their own error."""
    chain = (Edge(0, 1, 1, 1, "a"),)
    with pytest.raises(Refused, match="no path"):
        rate_multiplier(Graph((Edge(1, 2, 1, 1, ""),), chain), "shortest_path")
    with pytest.raises(Refused, match="'cell' counts the paths of one cell"):
        rate_multiplier(Graph(chain, chain), "cell")
    with pytest.raises(InputError, match="give one of network, cell, shortest_path, none"):
        rate_multiplier(Graph(chain, chain), "longest")  # type: ignore[arg-type]
    with pytest.raises(Refused, match="vit does not define graph and SHALLOW"):
        graph_of(vit, "d2-w64-h4-p2-m1", {})
    assert get_args(Mode)[0] == "network"


@pytest.mark.parametrize("edge", [(1, 1, 1, 1, ""), (0, 1, -1, 1, ""), (0, 1, 1, 0, ""), (0, 1, "weights"), (0, 1, 1, 1, None)])
def test_edges_that_are_none(edge: tuple[object, ...]) -> None:
    """Malformed edges are reported as a plug-in error, with the expected format in the message."""
    with pytest.raises(PluginError, match="an edge is \\(start, end, layers, kernel size, module\\)"):
        read_edges([edge])
    with pytest.raises(PluginError, match="lists no edges"):
        read_edges([])


class Sums(nn.Module):
    """The networks of the derivation: a node sums W ReLU(earlier node) or the earlier node itself, and the input is Gaussian."""

    def __init__(self, code: str, width: int) -> None:
        super().__init__()
        self.code = code
        pairs = [(start, end) for start, end, kind in dag_codes.live_edges(code) if kind == dag_codes.WEIGHTS]
        self.layers = nn.ModuleDict({f"{start}_{end}": nn.Linear(width, width, bias=False) for start, end in pairs})

    def edges(self) -> tuple[Edge, ...]:
        """Return the edges, with this class's module names."""
        return read_edges((s, e, n, k, name.removesuffix(".0")) for s, e, n, k, name in dag_codes.cell_edges(self.code, 1, "layers"))

    @torch.no_grad()
    def mean_squares(self, values: Tensor) -> list[float]:
        """Return the mean square of every node except the first."""
        nodes = [values, *[torch.zeros_like(values)] * (self.code.count("_") + 1)]
        for start, end, kind in dag_codes.live_edges(self.code):
            brought = self.layers[f"{start}_{end}"](nodes[start].relu()) if kind == dag_codes.WEIGHTS else nodes[start]
            nodes[end] = nodes[end] + brought
        return [float(node.square().mean()) for node in nodes[1:]]


@pytest.mark.parametrize(
    ("code", "degree", "expected"),
    [
        ("2_22_222_2222", "target", [1, 1, 1, 1]),
        ("2_22_222_2222", "source", [1, 2, 3, 4]),
        ("2_12_112_1112", "target", [1, 1.5, 2.5, 6.125]),
    ],
)
def test_mean_squares_of_nodes(code: str, degree: Literal["target", "source"], expected: list[float]) -> None:
    """Dividing by the target's in-degree keeps E[z²] constant across nodes; the source's lets it grow, and so do identities.

    With identities, the values are 1, 1 + ½, 1 + 1 + ½ and 3½ + 2 (the input twice, once through the third node) + 5/8.
    """
    found = []
    for seed in range(4):
        generator = torch.Generator().manual_seed(seed)
        network = Sums(code, 384)
        initialise(network, network.edges(), generator, degree)
        found.append(network.mean_squares(torch.randn(64, 384, generator=generator)))
    assert np.mean(found, axis=0) == pytest.approx(expected, rel=0.1)


def test_in_degrees_of_edges_without_signal() -> None:
    """The derivation counts only edges that carry a signal from the input; the released code counts all edges."""
    edges = [Edge(0, 2, 1, 1, "a"), Edge(1, 2, 1, 1, "dead"), Edge(2, 3, 1, 1, "b")]
    assert in_degrees(edges, "target") == [1, 1, 1]
    assert in_degrees(edges, "source") == [1, 1, 2]


@pytest.mark.parametrize(("degree", "deviation"), [("target", 2**0.5 / 64), ("source", 2 / 64)])
def test_initial_weights_of_a_network(degree: Literal["target", "source"], deviation: float) -> None:
    """First layer, summed layer and classifier get the right standard deviations; biases are 0, and a seed is reproducible."""
    code, width = "2_22", 64
    networks = [mlp_dag.build(code, 1, 400, width=width, size=16) for _ in range(2)]
    for network in networks:
        initialise(network, graph_of(mlp_dag, code, {}).network, torch.Generator().manual_seed(0), degree)
    first, second = (network.state_dict() for network in networks)
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert not any(parameter.any() for name, parameter in first.items() if name.endswith("bias"))
    assert float(first["2.0.weight"].std()) == pytest.approx((2 / 256) ** 0.5, rel=0.05)
    # The edge's target has two inputs; its source has one.
    assert float(first["3.layers.1_2.0.weight"].std()) == pytest.approx((2 / 64 / (2 if degree == "target" else 1)) ** 0.5, rel=0.05)
    assert float(first["4.weight"].std()) == pytest.approx(deviation, rel=0.05)


def test_normalisation_starts_as_the_identity_and_strangers_are_refused() -> None:
    """Learned scales are reset to 1; parameters that belong to no edge are refused, since they would not be re-initialised."""
    network = nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), nn.Flatten(), nn.Linear(8, 3))
    normalisation = network[1]
    assert isinstance(normalisation, nn.BatchNorm2d)
    nn.init.constant_(normalisation.weight, 7.0)
    edges = (Edge(0, 1, 1, 3, "0"), Edge(1, 2, 1, 1, "3"))
    initialise(network, edges, torch.Generator().manual_seed(0))
    assert normalisation.weight.tolist() == [1, 1]
    with pytest.raises(Refused, match=r"has no edge for 3\.weight, 3\.bias"):
        initialise(network, edges[:1], torch.Generator())
    for name in ("nowhere", "2", "1"):
        with pytest.raises(PluginError, match=f"the module '{name}', which has no weight"):
            initialise(network, (Edge(0, 1, 1, 1, name),), torch.Generator())


def test_released_spaces_tell_their_graphs() -> None:
    """The MLP and CNN graph spaces define the attributes that the harness reads."""
    spaces: tuple[ModuleType, ...] = (mlp_dag, cnn_dag)
    for space in spaces:
        assert (space.SHALLOW, space.CELL_OFFSET) == ("2", 3)
        assert path_counts(graph_of(space, "2_02", {}).shallow) == {3: 1}


def test_the_signal_is_what_the_classifier_is_given() -> None:
    """The signal is the mean square of the classifier's input over images and units; no hook is left on the network."""
    network = nn.Sequential(nn.Flatten(), nn.Linear(4, 3, bias=False), nn.ReLU(), nn.Linear(3, 2))
    images = torch.randn(5, 1, 2, 2, generator=torch.Generator().manual_seed(0))
    edges = read_edges([(0, 1, 1, 1, "1"), (1, 2, 1, 1, "3")])
    assert readout_signal(network, edges, images) == pytest.approx(network[:3](images).square().mean().item())
    assert not network[3]._forward_pre_hooks
