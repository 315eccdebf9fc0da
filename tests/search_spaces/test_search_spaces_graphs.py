"""The graphs of search spaces agree with what their networks compute."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from agd_bench import plugins
from agd_bench.optim.path_scaling import path_counts, read_edges

OPTIONS: dict[str, dict[str, Any]] = {
    "plain_chain": {},
    "vgg": {"batch_norm": False},
    "nats_size": {"cells": 2},
    "preact_resnet": {"final_norm": True},
    "resnet_skips": {"width": 8, "blocks": 2},
    "nas_bench_101": {"channels": 8, "cells": 2},
    "fcn": {"size": 4},
}


def made_linear(network: nn.Module) -> nn.Module:
    """Make a network linear with positive weights, so that nothing cancels and every path contributes; modify and return it."""
    for module in list(network.modules()):
        for name, child in module.named_children():
            if isinstance(child, nn.BatchNorm2d | nn.GroupNorm | nn.ReLU | nn.GELU | nn.Tanh):
                setattr(module, name, nn.Identity())
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.copy_(parameter.abs() if parameter.ndim > 1 else torch.zeros_like(parameter))
    return network.double()


def degree(network: nn.Module, scale: float) -> float:
    """Return the power with which logits grow in the scale of all weights; at a large scale, it is the length of the longest path."""
    logits = []
    for factor in (scale, 2 * scale):
        scaled = {name: factor * parameter.detach() for name, parameter in network.named_parameters()}
        images = torch.ones(1, 3, 16, 16, dtype=torch.float64)
        logits.append(float(torch.func.functional_call(network, scaled, (images,)).sum()))
    return math.log2(logits[1] / logits[0])


@pytest.mark.parametrize("name", OPTIONS)
def test_shortest_and_longest_paths_are_those_of_the_network(name: str) -> None:
    """With positive weights t W, logits are a polynomial in t with a term for each path length, so its lowest and highest degrees match."""
    space, rng = plugins.load("search_spaces", name), np.random.default_rng(0)
    drawn = [space.sample(rng) for _ in range(40)]
    sound = [one for one in drawn if not (hasattr(space, "defect") and space.defect(one)) and "weight" not in one][:5]
    for architecture in sound:
        torch.manual_seed(0)
        network = made_linear(space.build(architecture, 3, 10, **OPTIONS[name]))
        counts = path_counts(read_edges(space.graph(architecture, **OPTIONS[name])))
        found = degree(network, 1e-7), degree(network, 1e7)
        assert found == pytest.approx((min(counts), max(counts)), abs=1e-3), architecture


@pytest.mark.parametrize("name", OPTIONS)
def test_kernels_are_those_of_the_modules(name: str) -> None:
    """An edge's kernel size is that of the module it names."""
    space, rng = plugins.load("search_spaces", name), np.random.default_rng(1)
    for architecture in [space.sample(rng) for _ in range(5)]:
        network = space.build(architecture, 3, 10, **OPTIONS[name])
        edges = [edge for edge in read_edges(space.graph(architecture, **OPTIONS[name])) if edge.module]
        for edge in edges:
            module = network.get_submodule(edge.module)
            assert edge.layers == 1
            assert edge.kernel_size == (module.kernel_size[0] if isinstance(module, nn.Conv2d) else 1)


def test_a_cell_is_what_the_network_is_stacked_of() -> None:
    """In NAS-Bench-101, path counts of six cells multiply, and the first layer and the classifier each add one to every length."""
    space = plugins.load("search_spaces", "nas_bench_101")
    rng = np.random.default_rng(2)
    for architecture in [space.sample(rng) for _ in range(5)]:
        one, whole = path_counts(read_edges(space.cell(architecture))), path_counts(read_edges(space.graph(architecture, cells=2)))
        assert whole.total() == one.total() ** 6
        assert (min(whole), max(whole)) == (6 * min(one) + 2, 6 * max(one) + 2)
