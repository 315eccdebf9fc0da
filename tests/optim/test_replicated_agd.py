"""AGD for K networks at once steps each of them as AGD steps it alone."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from agd_bench.errors import Refused
from agd_bench.optim.agd import AGD
from agd_bench.optim.replicated_agd import ReplicatedAGD

SHAPES = [(8, 5), (8, 8), (8, 8), (4, 3, 3, 3), (3, 4, 1, 1), (2, 8)]


def drawn(count: int, generator: torch.Generator) -> list[Tensor]:
    """Stacks of K tensors of each shape, float64."""
    return [torch.randn(count, *shape, generator=generator, dtype=torch.float64) for shape in SHAPES]


@pytest.mark.parametrize("gain", [1.0, [0.5, 1.0, 2.0]])
def test_each_network_is_stepped_as_alone(gain: float | list[float]) -> None:
    """Five steps with gradients of very different sizes, a missing one and a tap of zeros: weights and rates agree."""
    generator = torch.Generator().manual_seed(0)
    stacks = [stack.requires_grad_() for stack in drawn(3, generator)]
    alone = [[stack.detach()[number].clone().requires_grad_() for stack in stacks] for number in range(3)]
    together = ReplicatedAGD(stacks, gain)
    optimizers = [AGD(own, gain=gain if isinstance(gain, float) else gain[number]) for number, own in enumerate(alone)]
    for step in range(5):
        gradients = drawn(3, generator)
        gradients[3][1, :, :, 0, 2] = 0
        for stack, gradient in zip(stacks, gradients, strict=True):
            scaled = gradient * torch.tensor([1e-6, 1.0, 1e6], dtype=torch.float64).view(3, *[1] * (gradient.dim() - 1))
            stack.grad = None if step == 2 and stack is stacks[1] else scaled
        for number, own in enumerate(alone):
            for weight, stack in zip(own, stacks, strict=True):
                weight.grad = None if stack.grad is None else stack.grad[number].clone()
        together.step()
        for number, optimizer in enumerate(optimizers):
            optimizer.step()
            assert float(together.param_groups[0]["lr"][number]) == pytest.approx(float(optimizer.param_groups[0]["lr"]), rel=1e-12)
    for number, own in enumerate(alone):
        for weight, stack in zip(own, stacks, strict=True):
            torch.testing.assert_close(stack.detach()[number], weight.detach(), rtol=1e-12, atol=1e-12)


def test_a_network_without_finite_gradients_leaves_the_others_alone() -> None:
    """NaN shows in its own weights and rate, nowhere else."""
    generator = torch.Generator().manual_seed(0)
    stacks = [stack.requires_grad_() for stack in drawn(3, generator)]
    other = [stack.detach().clone().requires_grad_() for stack in stacks]
    for stack, copy, gradient in zip(stacks, other, drawn(3, generator), strict=True):
        copy.grad = gradient.clone()
        gradient[1] = math.nan
        stack.grad = gradient
    ill, sound = ReplicatedAGD(stacks), ReplicatedAGD(other)
    ill.step()
    sound.step()
    assert ill.param_groups[0]["lr"].isfinite().tolist() == [True, False, True]
    for stack, copy in zip(stacks, other, strict=True):
        assert stack[1].isnan().all()
        assert torch.equal(stack[[0, 2]], copy[[0, 2]])


@pytest.mark.parametrize("shapes", [[(3, 4)], [(3, 2, 2), (2, 2, 2)], [(3, 0, 2)], []])
def test_what_is_no_stack_is_refused(shapes: list[tuple[int, ...]]) -> None:
    """Matrices alone, stacks of different K, empty ones, nothing."""
    with pytest.raises(Refused, match=r"takes \(K, out, in\)"):
        ReplicatedAGD([torch.zeros(shape) for shape in shapes])


@pytest.mark.parametrize("gain", [0.0, math.inf, [1.0], [1.0, -1.0]])
def test_gains_out_of_range_are_refused(gain: float | list[float]) -> None:
    """Zero, infinite, too few, below zero."""
    with pytest.raises(Refused, match="gain is"):
        ReplicatedAGD([torch.zeros(2, 3, 3)], gain)
