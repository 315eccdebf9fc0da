"""LAMB against its paper's formulas, written out in float64."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor, nn

from agd_bench.errors import InputError
from agd_bench.optim.lamb import LAMB


def by_hand(weight: Tensor, gradients: list[Tensor], lr: float, decay: float) -> Tensor:
    """Return the weights after Algorithm 2 of the paper, computed in plain Python floats."""
    values = weight.flatten().tolist()
    mean, square = [0.0] * len(values), [0.0] * len(values)
    for step, gradient in enumerate(gradients, start=1):
        slopes = gradient.flatten().tolist()
        mean = [0.9 * m + 0.1 * g for m, g in zip(mean, slopes, strict=True)]
        square = [0.99 * v + 0.01 * g * g for v, g in zip(square, slopes, strict=True)]
        ratio = [m / (1 - 0.9**step) / (math.sqrt(v / (1 - 0.99**step)) + 1e-6) for m, v in zip(mean, square, strict=True)]
        direction = [r + decay * w for r, w in zip(ratio, values, strict=True)]
        size, length = math.hypot(*values), math.hypot(*direction)
        trust = size / length if size > 0 and length > 0 else 1.0
        values = [w - lr * trust * d for w, d in zip(values, direction, strict=True)]
    return torch.tensor(values, dtype=torch.float64).view_as(weight)


@pytest.mark.parametrize("start", [0.0, 1.0])
def test_steps_are_the_papers(start: float) -> None:
    """Five steps on two tensors match the paper; for weights of 0, the trust ratio of the first step is 1."""
    generator = torch.Generator().manual_seed(0)
    shapes = [(3, 2), (4,)]
    begun = [start * torch.randn(shape, generator=generator, dtype=torch.float64) for shape in shapes]
    gradients = [[torch.randn(shape, generator=generator, dtype=torch.float64) for _ in range(5)] for shape in shapes]
    parameters = [nn.Parameter(tensor.clone()) for tensor in begun]
    optimizer = LAMB(parameters, lr=0.05, betas=(0.9, 0.99), weight_decay=0.1)
    for step in range(5):
        for parameter, own in zip(parameters, gradients, strict=True):
            parameter.grad = own[step].clone()
        optimizer.step()
    for parameter, tensor, own in zip(parameters, begun, gradients, strict=True):
        torch.testing.assert_close(parameter.detach(), by_hand(tensor, own, 0.05, 0.1), rtol=1e-9, atol=1e-12)


def test_a_parameter_without_a_gradient_stays() -> None:
    """A parameter without a gradient does not move and gets no optimizer state."""
    kept, moved = nn.Parameter(torch.ones(2)), nn.Parameter(torch.ones(2))
    optimizer = LAMB([kept, moved])
    moved.grad = torch.ones(2)
    optimizer.step()
    assert torch.equal(kept.detach(), torch.ones(2))
    assert kept not in optimizer.state


def test_values_out_of_range_are_refused() -> None:
    """The error message names the invalid value."""
    with pytest.raises(InputError, match=r"betas\[1\] is 1\.0"):
        LAMB([nn.Parameter(torch.ones(1))], betas=(0.9, 1.0))
