"""NAS-Bench-201: names, paths, and the published sizes of all of its networks."""

from __future__ import annotations

import csv
import itertools
from collections import Counter
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from search_spaces import nas_bench_201 as space

PUBLISHED = Path(__file__).with_name("nas_bench_201_published.csv")
"""205 records of NATS-Bench's topology table for CIFAR-10: its index, parameters, and FLOPs as it counts them, that is
multiply-adds of convolutions and classifier plus one addition for each of the classifier's 10 biases."""

EXAMPLE = "|nor_conv_3x3~0|+|nor_conv_3x3~0|avg_pool_3x3~1|+|skip_connect~0|nor_conv_3x3~1|skip_connect~2|"
NO_PATH = "|none~0|+|nor_conv_3x3~0|nor_conv_1x1~1|+|none~0|nor_conv_3x3~1|none~2|"


def uniform(operation: str, edge: int | None = None) -> str:
    """One operation on every edge, or on one edge with `none` on the others."""
    names = [operation if edge in (None, number) else "none" for number in range(6)]
    return "|{}~0|+|{}~0|{}~1|+|{}~0|{}~1|{}~2|".format(*names)


def measured(architecture: str) -> tuple[int, int]:
    """Parameters and multiply-adds of the network for images (1, 3, 32, 32), without computing anything."""
    with torch.device("meta"):
        network = space.build(architecture, 3, 10)
        with FlopCounterMode(display=False) as counter:
            network(torch.zeros(1, 3, 32, 32))
    return sum(parameter.numel() for parameter in network.parameters()), counter.get_total_flops() // 2


@cache
def costs() -> tuple[tuple[int, int], dict[str, tuple[int, int]]]:
    """Parameters and multiply-adds of the skeleton, and what each operation adds on each edge."""
    empty = measured(uniform("none"))
    added = {}
    for operation in space.OPERATIONS:
        parameters, multiply_adds = measured(uniform(operation))
        added[operation] = ((parameters - empty[0]) // 6, (multiply_adds - empty[1]) // 6)
    return empty, added


def counted(architecture: str) -> tuple[int, int]:
    """Parameters and multiply-adds as the sum over edges."""
    empty, added = costs()
    edges = [added[operation] for operation in space.operations_of(architecture)]
    return empty[0] + sum(edge[0] for edge in edges), empty[1] + sum(edge[1] for edge in edges)


def test_costs_add_up_over_edges() -> None:
    """The sum over edges is what built networks have, whatever edge an operation is on."""
    some = [EXAMPLE, NO_PATH, *(uniform("nor_conv_3x3", edge) for edge in range(6)), uniform("nor_conv_1x1", 4)]
    for architecture in some:
        assert counted(architecture) == measured(architecture)


def test_sizes_are_the_published_ones() -> None:
    """Parameters and FLOPs equal the published records, the smallest and the largest among them."""
    with PUBLISHED.open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 205
    for row in rows:
        parameters, multiply_adds = counted(row["architecture"])
        assert (parameters, multiply_adds + 10) == (int(row["parameters"]), int(row["flops"])), row["index"]


def test_sizes_of_the_whole_space() -> None:
    """Extremes and sums over all 15,625 networks; means are 0.399 M parameters and 54.97 M multiply-adds."""
    sizes = [counted(architecture) for architecture in space.architectures()]
    parameters, multiply_adds = zip(*sizes, strict=True)
    assert (min(parameters), max(parameters), sum(parameters)) == (73_306, 1_531_546, 6_227_406_250)
    assert (min(multiply_adds), max(multiply_adds), sum(multiply_adds)) == (7_783_040, 220_119_680, 858_890_000_000)


def test_every_architecture_is_listed_once() -> None:
    """All 15,625 differ, and each is its own name."""
    listed = list(space.architectures())
    assert len(set(listed)) == len(listed) == 5**6
    assert listed[0] == uniform("none")
    assert listed[1] == uniform("skip_connect", 5)
    assert all(len(space.operations_of(architecture)) == 6 for architecture in listed[::97])


def test_341_architectures_have_no_path() -> None:
    """`has_path` agrees with trying every route, and `defect` says so for the published 341."""
    routes = [(3,), (0, 4), (1, 5), (0, 2, 5)]  # numbers of the edges from input to output
    without = 0
    for operations in itertools.product(space.OPERATIONS, repeat=6):
        architecture = "|{}~0|+|{}~0|{}~1|+|{}~0|{}~1|{}~2|".format(*operations)
        path = any(all(operations[edge] != "none" for edge in route) for route in routes)
        assert space.has_path(architecture) is path
        assert space.defect(architecture) == ("" if path else "no path from input to output")
        without += not path
    assert without == 341


@pytest.mark.parametrize(
    "wrong", ["", "x", EXAMPLE[:-1], EXAMPLE + "+", EXAMPLE.replace("~2", "~3"), EXAMPLE.replace("avg", "max"), EXAMPLE + " "]
)
def test_malformed_architectures_are_refused(wrong: str) -> None:
    """What is not exactly a published string is told how to write one."""
    with pytest.raises(ValueError, match="no architecture of NAS-Bench-201; write"):
        space.build(wrong, 3, 10)


@pytest.mark.parametrize("options", [{"channels": 0}, {"cells": 0}, {"cells": 2.0}, {"channels": True}])
def test_options_out_of_range_are_refused(options: dict[str, int]) -> None:
    """An option names itself and what is allowed."""
    with pytest.raises(ValueError, match="whole number from 1"):
        space.build(EXAMPLE, 3, 10, **options)


def test_options_change_the_network() -> None:
    """Stages are C, 2C, 4C wide and hold as many cells as asked for."""
    network = space.build(EXAMPLE, 1, 7, channels=4, cells=2)
    assert sum(isinstance(module, space.Cell) for module in network.modules()) == 6
    assert [m.out_channels for m in network.modules() if isinstance(m, torch.nn.Conv2d) and m.stride == (2, 2)] == [8, 16]
    assert network(torch.randn(2, 1, 8, 8)).shape == (2, 7)


@pytest.mark.parametrize("size", [8, 9, 28, 33])
def test_any_image_size_works(size: int) -> None:
    """An odd size is rounded up in the residual block's two branches alike."""
    assert space.build(EXAMPLE, 1, 10, cells=1)(torch.randn(2, 1, size, size)).shape == (2, 10)


def test_without_a_path_logits_ignore_the_image() -> None:
    """Such a network builds, and gives every image the same logits."""
    network = space.build(NO_PATH, 3, 10, cells=1)
    with torch.no_grad():
        logits = network(torch.randn(8, 3, 8, 8))
    assert torch.equal(logits, logits[:1].expand(8, -1))


def test_a_cell_is_the_sum_over_its_edges() -> None:
    """A cell of identities and averages equals the nodes written out."""
    cell = space.Cell(space.operations_of("|skip_connect~0|+|avg_pool_3x3~0|skip_connect~1|+|none~0|avg_pool_3x3~1|skip_connect~2|"), 4)
    images = torch.randn(2, 4, 6, 6)

    def mean(values: torch.Tensor) -> torch.Tensor:
        ones = torch.nn.functional.conv2d(torch.ones(1, 1, 6, 6), torch.ones(1, 1, 3, 3), padding=1)
        sums = torch.nn.functional.conv2d(values.flatten(0, 1)[:, None], torch.ones(1, 1, 3, 3), padding=1)
        return (sums / ones).view_as(values)

    torch.testing.assert_close(cell(images), mean(images) + (mean(images) + images))


def test_dead_convolutions_get_no_gradient() -> None:
    """A convolution that reaches no output is there, and its gradient is None, not a number."""
    network = space.build("|nor_conv_1x1~0|+|none~0|none~1|+|skip_connect~0|none~1|none~2|", 3, 10, cells=1)
    torch.autograd.backward(network(torch.randn(2, 3, 8, 8)).sum())
    dead = [name for name, parameter in network.named_parameters() if parameter.grad is None]
    assert len(dead) == 9
    assert all(".edges.0." in name for name in dead)


def test_draws_are_uniform() -> None:
    """Every operation is as frequent on every edge as the others."""
    rng = np.random.default_rng(0)
    drawn = [space.operations_of(space.sample(rng)) for _ in range(5_000)]
    for edge in range(6):
        counts = Counter(operations[edge] for operations in drawn)
        assert set(counts) == set(space.OPERATIONS)
        assert all(abs(count - 1_000) < 5 * (5_000 * 0.2 * 0.8) ** 0.5 for count in counts.values())
