"""AGD's cached state between steps, and the accuracy of its norms for large matrices."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor, nn

from agd_bench.optim.agd import AGD, scale
from tests.optim.agd_vectors import reference_summary


def given(*drawn: tuple[int, ...]) -> list[Tensor]:
    """Return zero weights with gradients in [0, 1), for which naive float32 sums of squares are least accurate."""
    generator = torch.Generator().manual_seed(0)
    parameters = [torch.zeros(shape, requires_grad=True) for shape in drawn]
    for parameter in parameters:
        parameter.grad = torch.rand(parameter.shape, generator=generator)
    return parameters


def sizes(parameters: list[Tensor]) -> list[float]:
    """Return the Frobenius norms."""
    return [float(parameter.detach().double().norm()) for parameter in parameters]


def test_large_matrices_are_measured_accurately() -> None:
    """Updates have the right size to 1e-6 for wide matrices, long rows, and a stack of one shape with a gradient missing."""
    parameters = given((512, 4096), (16, 40_000), (256, 256), (256, 256), (256, 256))
    parameters[3].grad = None
    optimizer = AGD(parameters)
    optimizer.step()
    eta = math.log((1 + math.sqrt(1 + 4 * reference_summary(parameters))) / 2)
    assert optimizer.param_groups[0]["lr"].item() == pytest.approx(eta, rel=1e-6)
    expected = [0.0 if parameter.grad is None else eta / 5 * scale(tuple(parameter.shape)) for parameter in parameters]
    assert sizes(parameters) == pytest.approx(expected, rel=1e-6)


def test_a_gain_that_changes_between_steps_counts() -> None:
    """After the gain is doubled, the next step goes twice as far."""
    (parameter,) = given((3, 4))
    optimizer = AGD([parameter])
    optimizer.step()
    first = sizes([parameter])[0]
    optimizer.param_groups[0]["gain"] = 2.0
    optimizer.step()
    assert sizes([parameter])[0] == pytest.approx(3 * first, rel=1e-6)


def test_a_group_added_between_steps_is_stepped_and_counts() -> None:
    """L becomes 2, so the old group goes half as far for the same eta."""
    old, new = given((3, 4), (3, 4))
    optimizer = AGD([old])
    optimizer.step()
    before = old.detach().clone()
    optimizer.add_param_group({"params": [new]})
    optimizer.step()
    eta = optimizer.param_groups[0]["lr"].item()
    assert sizes([old.detach() - before, new]) == pytest.approx(2 * [eta / 2 * scale((3, 4))], rel=1e-6)


def test_a_state_loaded_between_steps_is_gone_on_with() -> None:
    """After a state is loaded, the same weights are stepped with the loaded settings."""
    (parameter,) = given((3, 4))
    optimizer = AGD([parameter])
    optimizer.step()
    first = sizes([parameter])[0]
    state = optimizer.state_dict()
    state["param_groups"][0]["gain"] = 3.0
    optimizer.load_state_dict(state)
    optimizer.step()
    assert sizes([parameter])[0] == pytest.approx(4 * first, rel=1e-6)


def test_a_network_of_another_type_is_computed_in_that_type() -> None:
    """Weights cast to float64 after a step are stepped in float64."""
    network = nn.Linear(4, 3, bias=False)
    optimizer = AGD(network.parameters())
    network.weight.grad = torch.ones(3, 4)
    optimizer.step()
    network.double()
    before = network.weight.detach().clone()
    network.weight.grad = torch.ones(3, 4, dtype=torch.float64)
    optimizer.step()
    expected = before - optimizer.param_groups[0]["lr"] * scale((3, 4)) / math.sqrt(12)
    torch.testing.assert_close(network.weight.detach(), expected, rtol=1e-14, atol=0)
