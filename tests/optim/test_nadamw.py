"""NadamW against an independent loop in numpy."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from torch import Tensor

from agd_bench.errors import InputError
from agd_bench.optim.nadamw import NadamW

SETTING: dict[str, Any] = {"lr": 0.01, "betas": (0.93, 0.995), "eps": 1e-6, "weight_decay": 0.08}


def reference(start: npt.NDArray[np.float64], gradients: list[npt.NDArray[np.float64]]) -> npt.NDArray[np.float64]:
    """Return the weights after one step per gradient, by the published formula."""
    (beta1, beta2), rate = SETTING["betas"], SETTING["lr"]
    p, m, v = start.copy(), np.zeros_like(start), np.zeros_like(start)
    for t, g in enumerate(gradients, start=1):
        p = p - rate * SETTING["weight_decay"] * p
        m = beta1 * m + (1 - beta1) * g
        v = beta2 * v + (1 - beta2) * g * g
        ahead = (beta1 * m + (1 - beta1) * g) / (1 - beta1**t)
        p = p - rate * ahead / (np.sqrt(v / (1 - beta2**t)) + SETTING["eps"])
    return p


def give(parameters: list[Tensor], gradients: list[npt.NDArray[np.float64] | None]) -> None:
    """Set the gradients."""
    for parameter, gradient in zip(parameters, gradients, strict=True):
        parameter.grad = None if gradient is None else torch.from_numpy(gradient.copy())


def problem() -> tuple[list[npt.NDArray[np.float64]], list[list[npt.NDArray[np.float64] | None]]]:
    """Return weights of three shapes and gradients for seven steps; the second weight has none in steps 0, 1 and 4."""
    rng = np.random.default_rng(0)
    shapes = [(3, 4), (5,), (2, 3, 2, 2)]
    starts = [rng.normal(size=shape) for shape in shapes]
    steps = [[None if i == 1 and k in (0, 1, 4) else rng.normal(size=shape) for i, shape in enumerate(shapes)] for k in range(7)]
    return starts, steps


def test_agrees_with_the_formula() -> None:
    """Seven steps on several shapes match the formula; steps without a gradient do not count for that weight."""
    starts, steps = problem()
    parameters = [torch.from_numpy(start.copy()).requires_grad_() for start in starts]
    optimizer = NadamW(parameters, **SETTING)
    for gradients in steps:
        give(parameters, gradients)
        optimizer.step()
    for index, (parameter, start) in enumerate(zip(parameters, starts, strict=True)):
        had = [gradient for gradients in steps if (gradient := gradients[index]) is not None]
        np.testing.assert_allclose(parameter.detach().numpy(), reference(start, had), rtol=1e-13)


def test_differs_from_adamw_and_from_torchs_nadam() -> None:
    """NadamW is close to AdamW and to torch's NAdam, which has a momentum schedule, but equals neither."""
    starts, steps = problem()
    ends = []
    for make in (NadamW, torch.optim.AdamW, lambda p, **options: torch.optim.NAdam(p, decoupled_weight_decay=True, **options)):
        parameter = torch.from_numpy(starts[0].copy()).requires_grad_()
        optimizer = make([parameter], **SETTING)
        for gradients in steps:
            give([parameter], gradients[:1])
            optimizer.step()
        ends.append(parameter.detach())
    for other in ends[1:]:
        assert 1e-4 < float((ends[0] - other).abs().max()) < 0.1


def test_state_goes_on_identically() -> None:
    """A copy with the state loaded takes the same steps bit for bit, and a changed learning rate takes effect."""
    starts, steps = problem()
    parameters = [torch.from_numpy(start.copy()).requires_grad_() for start in starts]
    optimizer = NadamW(parameters, **SETTING)
    for gradients in steps[:3]:
        give(parameters, gradients)
        optimizer.step()
    twins = copy.deepcopy(parameters)
    twin = NadamW(twins)
    twin.load_state_dict(copy.deepcopy(optimizer.state_dict()))
    for gradients in steps[3:]:
        for weights, one in ((parameters, optimizer), (twins, twin)):
            give(weights, gradients)
            one.step()
    assert all(torch.equal(a, b) for a, b in zip(parameters, twins, strict=True))
    before = [parameter.detach().clone() for parameter in parameters]
    optimizer.param_groups[0]["lr"] = 0.0
    optimizer.step()
    assert all(torch.equal(a, b) for a, b in zip(parameters, before, strict=True))


def test_closure() -> None:
    """`step` returns what its closure returned."""
    parameter = torch.ones(2, requires_grad=True)

    def closure() -> float:
        loss = parameter.square().sum()
        torch.autograd.backward(loss)
        return loss.item()

    assert NadamW([parameter]).step(closure) == 2.0
    assert parameter.max().item() < 1


@pytest.mark.parametrize(
    ("name", "value"), [("lr", -1.0), ("betas", (1.0, 0.9)), ("betas", (0.9, -0.1)), ("eps", -1e-8), ("weight_decay", float("nan"))]
)
def test_out_of_range(name: str, value: Any) -> None:
    """Invalid values are refused with the argument's name in the message."""
    with pytest.raises(InputError, match=name):
        NadamW([torch.zeros(1)], **{name: value})
