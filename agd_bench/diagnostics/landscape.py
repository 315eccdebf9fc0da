"""Proxies for the Polyak–Łojasiewicz constant and the smoothness of the loss, from gradients of one batch.

They are values at single points, whereas the inequality and the bound that they are named after hold for all weights.

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
    """Loss and gradient of a batch, and the weights at which they were computed.

    Attributes:
        loss: mean over the batch.
        gradient: of each trainable parameter, in the network's order.
        weights: copies of the trainable parameters.
    """

    loss: float
    gradient: tuple[Tensor, ...]
    weights: tuple[Tensor, ...]

    @property
    def gradient_norm(self) -> float:
        """Euclidean norm over all parameters."""
        # In double: sums over millions of float32 squares would lose digits.
        return math.sqrt(sum(float(part.double().square().sum()) for part in self.gradient))


def slope_of(network: nn.Module, loss: Loss, images: Tensor, labels: Tensor) -> Slope:
    """Return the loss of a batch and its gradient. The `grad` of parameters is unchanged.

    Args:
        network: maps images (N, C, H, W) to logits (N, classes).
        loss: maps logits and labels to a scalar.
        images: (N, C, H, W).
        labels: (N,).

    Raises:
        Diverged: the loss or its gradient is not finite.
    """
    parameters = [parameter for parameter in network.parameters() if parameter.requires_grad]
    with torch.enable_grad():
        value = loss(network(images), labels)
        # Not `backward`, which adds to `grad`. Unused parameters get zeros, so that all slopes have the same parts.
        gradient = torch.autograd.grad(value, parameters, materialize_grads=True)
    # Clones: the optimiser changes weights in place.
    slope = Slope(float(value.detach()), gradient, tuple(parameter.detach().clone() for parameter in parameters))
    if not math.isfinite(slope.loss + slope.gradient_norm):
        raise Diverged("the loss of the probe batch or its gradient is not finite")
    return slope


def steepness(slope: Slope, infimum: float = 0.0) -> float | None:
    """Return ‖∇l‖² / (l − inf l), the Polyak–Łojasiewicz proxy: an upper bound of 2 μ if the inequality holds.

    Args:
        slope: at the weights of interest.
        infimum: of the loss; 0 for cross-entropy and square loss if the network can fit the labels.

    Returns:
        The proxy, or None if the loss is at its infimum.
    """
    # At or below the infimum (rounding, or a wrong one) the ratio has no meaning.
    height = slope.loss - infimum
    return slope.gradient_norm**2 / height if height > 0 else None


def turning(before: Slope, after: Slope) -> float | None:
    """Return ‖g' − g‖ / ‖w' − w‖, the smoothness proxy: a lower bound of the gradient's Lipschitz constant.

    Args:
        before: at the weights w.
        after: at the weights w', for the same network and batch.

    Returns:
        The proxy, or None if the weights are equal.
    """
    moved = _distance(before.weights, after.weights)
    return _distance(before.gradient, after.gradient) / moved if moved > 0 else None


def _distance(first: tuple[Tensor, ...], second: tuple[Tensor, ...]) -> float:
    return math.sqrt(sum(float((b.double() - a.double()).square().sum()) for a, b in zip(first, second, strict=True)))
