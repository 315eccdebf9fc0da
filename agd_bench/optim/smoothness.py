"""How fast the loss of a fully connected network can turn along the weights of one layer: constants that hold, not estimates.

The network is a chain y^k = sigma_k(W_k y^(k-1) + b_k) for k = 1..K. With |sigma_k'| <= s1_k, |sigma_k''| <= s2_k, norms
a_k = ||W_k|| that the vector q-norm induces, c_(i-1) = sup ||(y^(i-1), 1)||_q over the images (without the 1 where layer i
has no bias), and a loss whose first two derivatives in the outputs are at most l1 and l2 in the same norms, each layer i has

    |f(w + u_i) - f(w) - <grad_i f(w), u_i>| <= p_i^2 ||u_i||^2 / 2      for all u_i = (change of W_i, change of b_i)
    p_i^2 = l2 (P_i s1_i c_(i-1))^2 + l1 (P_i s2_i + Q_i s1_i^2) c_(i-1)^2

where P_i and Q_i bound the first two derivatives of the layers above i: P_K = 1, Q_K = 0 and

    P_(k-1) = P_k s1_k a_k                    Q_(k-1) = Q_k (s1_k a_k)^2 + P_k s2_k a_k^2

A p_i depends on the layers after i and not on layer i itself, so that it holds along a whole step of layer i.

References:
    Thomas Flynn: The duality structure gradient descent algorithm: analysis and applications to neural networks.
    arXiv 1708.00523, 2017, bounds a fully connected network so. These constants were derived anew, by the chain rule; those for
    cross-entropy, linear outputs, biases and softsign are extensions.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from agd_bench.errors import UnknownNameError


@dataclass(frozen=True)
class Activation:
    """What is known of an activation function.

    Attributes:
        slope: largest absolute first derivative.
        curvature: largest absolute second derivative, or Lipschitz constant of the first one.
        low: infimum of its values; minus infinity if there is none.
        high: supremum of its values; infinity if there is none.
    """

    slope: float
    curvature: float
    low: float
    high: float

    @property
    def largest(self) -> float:
        """Supremum of its absolute values."""
        return max(abs(self.low), abs(self.high))


LINEAR = Activation(1.0, 0.0, -math.inf, math.inf)
BOUNDED: dict[type[nn.Module], Activation] = {
    nn.Tanh: Activation(1.0, 4 / (3 * math.sqrt(3)), -1.0, 1.0),
    nn.Sigmoid: Activation(0.25, 1 / (6 * math.sqrt(3)), 0.0, 1.0),
    nn.Softsign: Activation(1.0, 2.0, -1.0, 1.0),
}
"""The smooth bounded activations for which a guarantee is known."""


def norm_of_constant(value: float, width: int, q: float) -> float:
    """The q-norm of a vector of `width` entries that are `value`."""
    return value if q == math.inf else value * width ** (1 / q)


def with_ones(norms: Tensor, count: int, q: float) -> Tensor:
    """The q-norms of vectors that are lengthened by `count` ones, which biases act on, from their own q-norms, of any shape."""
    if q == math.inf:
        return norms.clamp(min=1.0)
    return norms + count if q == 1 else (norms.square() + count).sqrt()


@dataclass(frozen=True)
class CrossEntropy:
    """Mean over images of logsumexp(y) - y_label."""

    def bounds(self, q: float, classes: int, low: Tensor, high: Tensor) -> tuple[Tensor, Tensor]:
        """The (l1, l2) of the outputs' q-norm, 0-dim float64; neither the classes nor the outputs' range (low, high) matter."""
        first, second = {1.0: (1.0, 0.25), 2.0: (math.sqrt(2), 0.5), math.inf: (2.0, 1.0)}[q]
        return low.new_tensor(first), low.new_tensor(second)


@dataclass(frozen=True)
class Square:
    """Mean over images of `factor` times the sum over outputs of (output - target)^2.

    Attributes:
        factor: above 0.
        low: smallest entry of a target.
        high: largest entry of a target.
    """

    factor: float = 1.0
    low: float = 0.0
    high: float = 1.0

    def bounds(self, q: float, classes: int, low: Tensor, high: Tensor) -> tuple[Tensor, Tensor]:
        """The (l1, l2) of the q-norm of `classes` outputs in [low, high], 0-dim float64 tensors."""
        residual = torch.maximum(high - self.low, self.high - low)
        # The gradient is measured in the dual norm: for q = 1 its largest entry, for q = inf their sum.
        dual = {1.0: 1.0, 2.0: math.sqrt(classes), math.inf: float(classes)}[q]
        return 2 * self.factor * dual * residual, low.new_tensor(2 * self.factor * (classes if q == math.inf else 1))


Loss = CrossEntropy | Square


def loss_named(name: str, classes: int) -> Loss:
    """The bounds of a loss of `agd_bench.optim.losses`, for so many classes, by its name there: `"cross-entropy"` or `"square"`.

    Raises:
        UnknownNameError: another name.
    """
    # The harness's square loss is a mean over the classes too, and a target is sqrt(C) at the label.
    bounds: dict[str, Loss] = {"cross-entropy": CrossEntropy(), "square": Square(1 / classes, 0.0, math.sqrt(classes))}
    if name not in bounds:
        raise UnknownNameError("loss with a guarantee", name, bounds)
    return bounds[name]


def moduli(norms: Tensor, inputs: Tensor, activations: list[Activation], first: Tensor, second: Tensor) -> Tensor:
    """The p_i of every layer, (K,), float64.

    Args:
        norms: a_k of every layer's weights, (K,).
        inputs: c_(k-1) of every layer, (K,).
        activations: what follows each layer.
        first: l1 of the loss, 0-dim.
        second: l2 of the loss, 0-dim.
    """
    slope, bend = torch.ones_like(first), torch.zeros_like(first)  # P_k and Q_k
    squares = []
    for norm, size, activation in zip(norms.flip(0), inputs.flip(0), reversed(activations), strict=True):
        s1, s2 = activation.slope, activation.curvature
        squares.append((second * (slope * s1).square() + first * (slope * s2 + bend * s1**2)) * size.square())
        bend = bend * (s1 * norm).square() + slope * s2 * norm.square()
        slope = slope * s1 * norm
    return torch.stack(squares[::-1]).sqrt()
