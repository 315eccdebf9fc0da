"""NAS-Bench-201: names, paths, and published sizes of all its networks."""

from __future__ import annotations

import csv
import hashlib
import itertools
from collections import Counter
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from search_spaces import _cell_classes as cell_classes
from search_spaces import nas_bench_201 as space
from tests.search_spaces.measuring import size_of

PUBLISHED = Path(__file__).with_name("nas_bench_201_published.csv")
"""205 records of NATS-Bench's topology table for CIFAR-10: index, parameters, and FLOPs by its definition, which is the
multiply-adds of convolutions and classifier plus one addition for each of the classifier's ten biases."""

EXAMPLE = "|nor_conv_3x3~0|+|nor_conv_3x3~0|avg_pool_3x3~1|+|skip_connect~0|nor_conv_3x3~1|skip_connect~2|"
NO_PATH = "|none~0|+|nor_conv_3x3~0|nor_conv_1x1~1|+|none~0|nor_conv_3x3~1|none~2|"


def uniform(operation: str, edge: int | None = None) -> str:
    """Return an architecture with the operation on every edge, or on one edge with `none` on the others."""
    names = [operation if edge in (None, number) else "none" for number in range(6)]
    return "|{}~0|+|{}~0|{}~1|+|{}~0|{}~1|{}~2|".format(*names)


def counted(architecture: str) -> tuple[int, int]:
    """Return parameters and multiply-adds by definition, for images of 32 pixels and ten classes."""
    return space.size(architecture, 3, 10, 32)


def test_sizes_are_those_of_built_networks() -> None:
    """Computed sizes match built networks with and without dead edges, for various images, widths and depths."""
    assert counted(EXAMPLE) == size_of(space.build, EXAMPLE)
    others: list[dict[str, Any]] = [{"channels": 4, "cells": 2}, {"channels": 3, "cells": 1, "dead_edges": "dropped"}]
    for options in others:
        build = partial(space.build, **options)
        for architecture in (EXAMPLE, NO_PATH, uniform("nor_conv_1x1", 4)):
            assert space.size(architecture, 3, 10, 32, **options) == size_of(build, architecture)
        for size in (9, 28):
            assert space.size(EXAMPLE, 1, 7, size, **options) == size_of(build, EXAMPLE, 1, 7, size)


def test_sizes_are_the_published_ones() -> None:
    """Parameters and FLOPs equal the published records, including the smallest and the largest."""
    with PUBLISHED.open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 205
    for row in rows:
        parameters, multiply_adds = counted(row["architecture"])
        assert (parameters, multiply_adds + 10) == (int(row["parameters"]), int(row["flops"])), row["index"]


def test_sizes_of_the_whole_space() -> None:
    """Extremes and sums over all 15,625 networks are as expected; the means are 0.399 M parameters and 54.97 M multiply-adds."""
    sizes = [counted(architecture) for architecture in space.architectures()]
    parameters, multiply_adds = zip(*sizes, strict=True)
    assert (min(parameters), max(parameters), sum(parameters)) == (73_306, 1_531_546, 6_227_406_250)
    assert (min(multiply_adds), max(multiply_adds), sum(multiply_adds)) == (7_783_040, 220_119_680, 858_890_000_000)


def test_dropped_edges_save_what_the_docstring_says() -> None:
    """Dropping dead edges saves 12.9 % of all multiply-adds and 15.1 % of the cells'; 2,140 architectures lose constants from shifts."""
    kept, live = (sum(space.size(name, 3, 10, 32, dead_edges=way)[1] for name in space.architectures()) for way in ("kept", "dropped"))
    outside = 15_625 * counted(uniform("none"))[1]
    assert round(1 - live / kept, 3) == 0.129
    assert round(1 - (live - outside) / (kept - outside), 3) == 0.151
    shifted = 0
    for architecture in space.architectures():
        operations = space.operations_of(architecture)
        live_edges = cell_classes.live_edges(operations)
        # A dead edge that leads to the output has only zeros as input; it would be live if the input reached its source.
        reaching = {edge for edge in range(6) if operations[edge] != "none" and _leads_out(operations, edge)}
        shifted += any(edge not in live_edges and "conv" in operations[edge] for edge in reaching)
    assert shifted == 2_140


def _leads_out(operations: tuple[str, ...], edge: int) -> bool:
    end = space.EDGES[edge][1]
    following = [other for other in range(6) if space.EDGES[other][0] == end and operations[other] != "none"]
    return end == 3 or any(_leads_out(operations, other) for other in following)


def test_every_architecture_is_listed_once() -> None:
    """All 15,625 architectures are different, and each is a valid name."""
    listed = list(space.architectures())
    assert len(set(listed)) == len(listed) == 5**6
    assert all(len(space.operations_of(architecture)) == 6 for architecture in listed[::97])


def test_the_order_is_the_published_one() -> None:
    """The order is that of the benchmark's table of all architectures, 205 rows of which are listed here."""
    digest = hashlib.sha256("\n".join(space.architectures()).encode()).hexdigest()
    assert digest == "83abc799e45cf34e9d2163654668ab998b9a54d01c39e72ca1f71f2cdf356d84"
    with PUBLISHED.open() as file:
        assert all(space.architectures()[int(row["index"])] == row["architecture"] for row in csv.DictReader(file))


def test_canonical_names_are_the_first_of_their_class() -> None:
    """By both rules there is one canonical name per class, which maps to itself, and all networks without a path share one."""
    for rule, count in (("functions", 5_044), ("strings", 6_466)):
        names = [space.canonical(architecture, rule) for architecture in space.architectures()]
        assert len(set(names)) == count
        places = {architecture: place for place, architecture in enumerate(space.architectures())}
        assert all(places[name] <= place for place, name in enumerate(names))
        assert all(space.canonical(name, rule) == name for name in names[::500])
    assert {space.canonical(name) for name in space.architectures() if space.defect(name)} == {space.canonical(NO_PATH)}
    with pytest.raises(ValueError, match="rule 'string' is none of functions, strings"):
        space.canonical(EXAMPLE, "string")


def test_without_dead_edges_the_graph_is_that_of_the_network() -> None:
    """The edges with modules are exactly the convolutions that are built."""
    architecture = "|nor_conv_1x1~0|+|none~0|none~1|+|skip_connect~0|none~1|nor_conv_3x3~2|"
    for way in ("kept", "dropped"):
        network = space.build(architecture, 3, 10, cells=1, dead_edges=way)
        weighted = {name for name, part in network.named_modules() if isinstance(part, torch.nn.Conv2d | torch.nn.Linear)}
        assert {edge[-1] for edge in space.graph(architecture, cells=1, dead_edges=way) if edge[-1]} == weighted
    assert not any("edges" in name for name in weighted)


def test_341_architectures_have_no_path() -> None:
    """`has_path` agrees with trying every route, and `defect` reports exactly the published 341 architectures."""
    routes = [(3,), (0, 4), (1, 5), (0, 2, 5)]  # edge indices from input to output
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
    """Anything but a published string is rejected with a message that shows the format."""
    with pytest.raises(ValueError, match="no architecture of NAS-Bench-201; write"):
        space.build(wrong, 3, 10)


@pytest.mark.parametrize("options", [{"channels": 0}, {"cells": 0}, {"cells": 2.0}, {"channels": True}, {"dead_edges": "gone"}])
def test_options_out_of_range_are_refused(options: dict[str, Any]) -> None:
    """The message names the option and the allowed values."""
    with pytest.raises(ValueError, match=r"whole number from 1|dead_edges 'gone' is none of kept, dropped"):
        space.build(EXAMPLE, 3, 10, **options)


def test_options_change_the_network() -> None:
    """The stages have widths C, 2C and 4C and the requested number of cells."""
    network = space.build(EXAMPLE, 1, 7, channels=4, cells=2)
    assert sum(isinstance(module, space.Cell) for module in network.modules()) == 6
    assert [m.out_channels for m in network.modules() if isinstance(m, torch.nn.Conv2d) and m.stride == (2, 2)] == [8, 16]
    assert network(torch.randn(2, 1, 8, 8)).shape == (2, 7)


@pytest.mark.parametrize("size", [8, 9, 28, 33])
def test_any_image_size_works(size: int) -> None:
    """Odd sizes are rounded up in both branches of the residual block."""
    assert space.build(EXAMPLE, 1, 10, cells=1)(torch.randn(2, 1, size, size)).shape == (2, 10)


def test_without_a_path_logits_ignore_the_image() -> None:
    """A network without a path can be built, and gives every image the same logits."""
    network = space.build(NO_PATH, 3, 10, cells=1)
    with torch.no_grad():
        logits = network(torch.randn(8, 3, 8, 8))
    assert torch.equal(logits, logits[:1].expand(8, -1))


def test_a_cell_is_the_sum_over_its_edges() -> None:
    """A cell of identities and averages equals its nodes written out by hand."""
    cell = space.Cell(space.operations_of("|skip_connect~0|+|avg_pool_3x3~0|skip_connect~1|+|none~0|avg_pool_3x3~1|skip_connect~2|"), 4)
    images = torch.randn(2, 4, 6, 6)

    def mean(values: torch.Tensor) -> torch.Tensor:
        ones = torch.nn.functional.conv2d(torch.ones(1, 1, 6, 6), torch.ones(1, 1, 3, 3), padding=1)
        sums = torch.nn.functional.conv2d(values.flatten(0, 1)[:, None], torch.ones(1, 1, 3, 3), padding=1)
        return (sums / ones).view_as(values)

    torch.testing.assert_close(cell(images), mean(images) + (mean(images) + images))


def test_dead_convolutions_get_no_gradient() -> None:
    """A convolution that does not reach the output exists, and its gradient is None."""
    network = space.build("|nor_conv_1x1~0|+|none~0|none~1|+|skip_connect~0|none~1|none~2|", 3, 10, cells=1)
    torch.autograd.backward(network(torch.randn(2, 3, 8, 8)).sum())
    dead = [name for name, parameter in network.named_parameters() if parameter.grad is None]
    assert len(dead) == 9
    assert all(".edges.0." in name for name in dead)


def test_draws_are_uniform() -> None:
    """All operations are equally frequent on every edge."""
    rng = np.random.default_rng(0)
    drawn = [space.operations_of(space.sample(rng)) for _ in range(5_000)]
    for edge in range(6):
        counts = Counter(operations[edge] for operations in drawn)
        assert set(counts) == set(space.OPERATIONS)
        assert all(abs(count - 1_000) < 5 * (5_000 * 0.2 * 0.8) ** 0.5 for count in counts.values())
