"""Greedy choice of the layer to move, with fixed moduli."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from agd_bench.optim.greedy import Block, GreedyDescent


class Given(GreedyDescent):
    """Greedy descent on matrices with constant moduli."""

    def __init__(self, gradients: list[Tensor], known: list[float], step_size: float = 1.0) -> None:
        """Start from zero weights with the given gradients."""
        layers = [nn.Linear(gradient.shape[1], gradient.shape[0], bias=False) for gradient in gradients]
        for layer, gradient in zip(layers, gradients, strict=True):
            nn.init.zeros_(layer.weight).grad = gradient
        super().__init__([Block(str(i), layer) for i, layer in enumerate(layers)], "inf", step_size)
        self.known = torch.tensor(known, dtype=torch.float64)

    def moduli(self) -> Tensor:
        """Return the given moduli."""
        return self.known


def test_the_largest_ratio_moves_and_the_first_of_equal_ones() -> None:
    """With dual norms 3, 3 and 6 and moduli 2, 1 and 2, the second and third layers tie, and the second moves."""
    gradients = [torch.tensor([[3.0, 1.0]]), torch.tensor([[2.0, -3.0]]), torch.tensor([[6.0]])]
    optimizer = Given(gradients, [2.0, 1.0, 2.0])
    optimizer.step()
    assert [block.parameters[0].tolist() for block in optimizer.blocks] == [[[0.0, 0.0]], [[0.0, 3.0]], [[0.0]]]
    group = optimizer.param_groups[0]
    assert group["moved"].tolist() == [0, 1, 0]
    assert (float(group["lr"]), float(group["promised"])) == (1.0, 4.5)


def test_the_step_size_scales_step_and_promise() -> None:
    """A step size of 0.5 moves half as far and promises three quarters of the full step's decrease."""
    optimizer = Given([torch.tensor([[4.0]])], [2.0], step_size=0.5)
    optimizer.step()
    assert optimizer.blocks[0].parameters[0].tolist() == [[-0.5]]
    assert float(optimizer.param_groups[0]["promised"]) == pytest.approx(0.75 * 2)


def test_parameters_of_a_block_are_columns() -> None:
    """A kernel and its bias form one matrix, and subtracting from it updates the parameters, except frozen ones."""
    layer = nn.Conv2d(2, 2, (1, 2))
    kernel, bias = layer.weight, nn.Parameter(torch.tensor([8.0, 9.0]), requires_grad=False)
    layer.bias = bias
    with torch.no_grad():
        kernel.copy_(torch.arange(8.0).view(2, 2, 1, 2))
    block = Block("conv", layer)
    assert block.matrix().tolist() == [[0, 1, 2, 3, 8], [4, 5, 6, 7, 9]]
    assert not block.gradient().any()
    with torch.no_grad():
        block.subtract(block.matrix())
    assert not kernel.any()
    assert bias.tolist() == [8, 9], "a frozen parameter stays"
