"""The loss around the weights: how steep it is for its height, and how fast its gradient turns.

Both are values of one batch at one point, and so proxies: the inequality and the bound they are named after speak of all weights.

References:
    B. T. Polyak, Gradient methods for the minimisation of functionals, USSR Computational Mathematics and Mathematical Physics,
    1963 (‖∇l‖² ≥ 2 μ (l − inf l)).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from agd_bench.errors import Diverged

Loss = Callable[[Tensor, Tensor], Tensor]


@dataclass(frozen=True)
class Slope:
    """The loss of a batch, its gradient, and the weights where they were taken.

    Attributes:
        loss: mean over the batch.
        gradient: of each trainable parameter, in the network's order.
        weights: copies of them.
    """

    loss: float
    gradient: tuple[Tensor, ...]
    weights: tuple[Tensor, ...]

    @property
    def gradient_norm(self) -> float:
        """Euclidean norm over all parameters."""
        return math.sqrt(sum(float(part.double().square().sum()) for part in self.gradient))


def slope_of(network: nn.Module, loss: Loss, images: Tensor, labels: Tensor) -> Slope:
    """The loss of a batch and its gradient; the parameters' own `grad` stays as it is.

    Args:
        network: maps images (N, C, H, W) to logits (N, classes).
        loss: logits and labels to a scalar.
        images: (N, C, H, W).
        labels: (N,).

    Raises:
        Diverged: the loss or its gradient is not finite.
    """
    parameters = [parameter for parameter in network.parameters() if parameter.requires_grad]
    with torch.enable_grad():
        value = loss(network(images), labels)
        gradient = torch.autograd.grad(value, parameters, materialize_grads=True)
    slope = Slope(float(value.detach()), gradient, tuple(parameter.detach().clone() for parameter in parameters))
    if not math.isfinite(slope.loss + slope.gradient_norm):
        raise Diverged("the loss of the probe batch or its gradient is not finite")
    return slope


def steepness(slope: Slope, infimum: float = 0.0) -> float | None:
    """‖∇l‖² / (l − inf l), the Polyak–Łojasiewicz proxy: where the inequality holds, 2 μ is at most that.

    Args:
        slope: at the weights in question.
        infimum: of the loss; 0 of cross-entropy and square loss for a network that can fit the labels.

    Returns:
        Null where the loss is at its infimum.
    """
    height = slope.loss - infimum
    return slope.gradient_norm**2 / height if height > 0 else None


def turning(before: Slope, after: Slope) -> float | None:
    """‖g' − g‖ / ‖w' − w‖ between two points, the smoothness proxy: the gradient's Lipschitz constant is at least that.

    Args:
        before: at the weights w.
        after: at w', of the same network and batch.

    Returns:
        Null where the weights are the same.
    """
    moved = _distance(before.weights, after.weights)
    return _distance(before.gradient, after.gradient) / moved if moved > 0 else None


def _distance(first: tuple[Tensor, ...], second: tuple[Tensor, ...]) -> float:
    return math.sqrt(sum(float((b.double() - a.double()).square().sum()) for a, b in zip(first, second, strict=True)))
