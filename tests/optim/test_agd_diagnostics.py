"""AGD's diagnostics: their values, and that collecting them never synchronises with the device."""

from __future__ import annotations

import copy
import math
from typing import Any

import pytest
import torch
from torch import nn

from agd_bench.optim.agd import AGD, HISTORY
from agd_bench.optim.agd_reference import update_weights
from agd_bench.optim.all_layers import AGDAllLayers
from agd_bench.training.profiles import apply_profile
from search_spaces import nas_bench_201
from tests.optim.agd_vectors import Operations, random_parameters, reference_summary, weights


def test_summaries_over_steps() -> None:
    """Last, mean, min and max of eta and G over the steps since the last reading match the plain loop."""
    parameters = weights([(3, 4), (2, 3, 2, 2)])
    twins = copy.deepcopy(parameters)
    optimizer = AGD(parameters)
    etas, summaries = [], []
    for size in (1.0, 3.0, 2.0):
        for parameter, twin in zip(parameters, twins, strict=True):
            parameter.grad = size * torch.ones_like(parameter)
            twin.grad = parameter.grad
        summaries.append(reference_summary(twins))
        etas.append(update_weights(twins))
        optimizer.step()
    read = optimizer.diagnostics()
    for name, values in (("eta", etas), ("gradient_summary", summaries)):
        wanted = {"last": values[-1], "mean": sum(values) / 3, "min": min(values), "max": max(values)}
        assert {key: float(read[f"{name}/{key}"]) for key in wanted} == pytest.approx(wanted, rel=1e-12)
    assert optimizer.diagnostics() == {}
    optimizer.step()
    assert float(optimizer.diagnostics()["eta/mean"]) == pytest.approx(etas[-1], rel=1e-12)


@pytest.mark.parametrize("norm", ["frobenius", "operator", "dual"])
def test_relative_updates_are_what_the_weights_did(norm: str) -> None:
    """Relative updates equal the change measured from the weights, including for zero and missing gradients."""
    parameters = random_parameters([(4, 3, 3, 3), (5, 7), (4, 3, 3, 3), (2, 2)], seed=7)
    named = [(f"layer{index}", parameter) for index, parameter in enumerate(parameters)]
    before = {name: parameter.detach().clone() for name, parameter in named}
    optimizer = AGD(named, norm=norm)
    optimizer.step()
    read = optimizer.diagnostics()
    for name, parameter in named:
        new = parameter.detach()
        assert float(read[f"relative_update/{name}"]) == pytest.approx(float((new - before[name]).norm() / new.norm()), rel=1e-9, abs=1e-15)
    assert {name for name in read if name.startswith("relative")} == {f"relative_update/{name}" for name, _ in named}


def test_unnamed_parameters_are_numbered_and_zeros_divide_nothing() -> None:
    """Unnamed parameters are numbered across groups; all-zero weights report a relative update of 0."""
    frozen = torch.zeros(2, 2)
    groups: list[dict[str, Any]] = [{"params": weights([(3, 2)])}, {"params": [frozen], "gain": 2.0}]
    optimizer = AGD(groups)
    optimizer.step()
    read = optimizer.diagnostics()
    assert float(read["relative_update/1"]) == 0
    assert all(math.isfinite(float(value)) for value in read.values())


def test_a_copy_starts_without_history() -> None:
    """A copied or reloaded optimizer has no diagnostics of earlier steps; a copy can still step."""
    parameters = weights([(3, 2)])
    optimizer = AGD(parameters)
    optimizer.step()
    twin = copy.deepcopy(optimizer)
    assert twin.diagnostics() == {}
    twin.step()
    optimizer.load_state_dict(optimizer.state_dict())
    assert optimizer.diagnostics() == {}


def test_unread_history_is_bounded() -> None:
    """If diagnostics are never read, only the most recent steps are kept."""
    optimizer = AGD(weights([(1, 1)]))
    for _ in range(HISTORY + 3):
        optimizer.step()
    assert len(optimizer._history) == HISTORY


def test_a_step_of_a_large_cell_takes_forty_five_operations() -> None:
    """A step of a NAS-Bench-201 network with 83 tensors takes at most 45 operations, not counting profiler marks."""
    cell = "|nor_conv_3x3~0|+|nor_conv_3x3~0|nor_conv_3x3~1|+|nor_conv_3x3~0|skip_connect~1|nor_conv_1x1~2|"
    parameters = list(apply_profile(nas_bench_201.build(cell, 3, 10), "matrix-only").parameters())
    assert len(parameters) == 83
    for parameter in parameters:
        parameter.grad = torch.ones_like(parameter)
    optimizer = AGD(parameters)
    optimizer.step()  # the first step also creates its constants on the device
    with Operations() as operations:
        optimizer.step()
    assert len([name for name in operations.names if not name.startswith("profiler")]) <= 45


def test_no_step_reads_from_the_device() -> None:
    """Neither optimizer reads a value back from the device, and reading diagnostics adds no operation to later steps."""
    network = nn.Sequential(nn.Conv2d(3, 4, 3, groups=1), nn.Conv2d(4, 4, 3, groups=2), nn.BatchNorm2d(4), nn.Flatten(), nn.Linear(4, 2))
    for optimizer in (AGD(weights([(3, 2), (4, 3, 3, 3)])), AGDAllLayers(network)):
        counts = []
        for _ in range(3):
            with Operations() as operations:
                optimizer.step()
            counts.append(len(operations.names))
            assert not [name for name in operations.names if "_local_scalar_dense" in name or "equal" in name or "nonzero" in name]
        optimizer.diagnostics()
        with Operations() as operations:
            optimizer.step()
        assert counts[1:] == 2 * [len(operations.names)]  # the first step also creates its constants on the device
        with Operations() as operations:
            optimizer.diagnostics()
        assert not [name for name in operations.names if "_local_scalar_dense" in name]
