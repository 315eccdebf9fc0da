"""Bounds on the curvature of the loss of a fully connected network along the weights of one layer.

The network is a chain y^k = sigma_k(W_k y^(k-1) + b_k) for k = 1..K. With |sigma_k'| <= s1_k, |sigma_k''| <= s2_k, induced q-norms
a_k = ||W_k||, c_(i-1) = sup ||(y^(i-1), 1)||_q over the images (without the 1 if layer i has no bias), and a loss whose first and second
derivatives with respect to the outputs are at most l1 and l2 in the same norms, each layer i satisfies

    |f(w + u_i) - f(w) - <grad_i f(w), u_i>| <= p_i^2 ||u_i||^2 / 2      for all u_i = (change of W_i, change of b_i)
    p_i^2 = l2 (P_i s1_i c_(i-1))^2 + l1 (P_i s2_i + Q_i s1_i^2) c_(i-1)^2

where P_i and Q_i bound the first two derivatives of the layers above i: P_K = 1, Q_K = 0 and

    P_(k-1) = P_k s1_k a_k                    Q_(k-1) = Q_k (s1_k a_k)^2 + P_k s2_k a_k^2

p_i depends on the layers after i but not on layer i itself, so it holds along a whole step of layer i.

References:
    Thomas Flynn: The duality structure gradient descent algorithm: analysis and applications to neural networks.
    arXiv 1708.00523, 2017. These constants are our own derivation by the chain rule; those for cross-entropy, linear outputs, biases and
    softsign are extensions.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from agd_bench.errors import UnknownNameError


@dataclass(frozen=True)
class Activation:
    """Bounds of an activation function.

    Attributes:
        slope: largest absolute first derivative.
        curvature: largest absolute second derivative, or Lipschitz constant of the first derivative.
        low: infimum of the values; may be minus infinity.
        high: supremum of the values; may be infinity.
    """

    slope: float
    curvature: float
    low: float
    high: float

    @property
    def largest(self) -> float:
        """Supremum of the absolute values."""
        return max(abs(self.low), abs(self.high))


LINEAR = Activation(1.0, 0.0, -math.inf, math.inf)
BOUNDED: dict[type[nn.Module], Activation] = {
    # |tanh''| is largest where tanh is 1/√3
    nn.Tanh: Activation(1.0, 4 / (3 * math.sqrt(3)), -1.0, 1.0),
    # sigmoid(x) = (1 + tanh(x / 2)) / 2, so 1/4 of tanh's slope and 1/8 of its curvature
    nn.Sigmoid: Activation(0.25, 1 / (6 * math.sqrt(3)), 0.0, 1.0),
    # f'' = -2 sgn(x) / (1 + |x|)^3 jumps at 0: 2 is the Lipschitz constant of f'
    nn.Softsign: Activation(1.0, 2.0, -1.0, 1.0),
}
"""Smooth bounded activations with a guarantee."""


def norm_of_constant(value: float, width: int, q: float) -> float:
    """Return the q-norm of a vector of `width` entries equal to `value`."""
    return value if q == math.inf else value * width ** (1 / q)


def with_ones(norms: Tensor, count: int, q: float) -> Tensor:
    """Return the q-norms of vectors extended by `count` ones (the inputs of biases), from the vectors' q-norms, of any shape."""
    if q == math.inf:
        return norms.clamp(min=1.0)
    return norms + count if q == 1 else (norms.square() + count).sqrt()


@dataclass(frozen=True)
class CrossEntropy:
    """Mean over images of logsumexp(y) - y_label."""

    def bounds(self, q: float, classes: int, low: Tensor, high: Tensor) -> tuple[Tensor, Tensor]:
        """Return (l1, l2) for the q-norm of outputs, 0-dim float64. Independent of the classes and the outputs' range (low, high)."""
        # l1: dual norm of softmax - one-hot; l2: a variance, at most (max u - min u)^2 / 4 over ||u||_q = 1
        first, second = {1.0: (1.0, 0.25), 2.0: (math.sqrt(2), 0.5), math.inf: (2.0, 1.0)}[q]
        return low.new_full((), first), low.new_full((), second)


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
        """Return (l1, l2) for the q-norm of `classes` outputs in [low, high], 0-dim float64 tensors."""
        residual = torch.maximum(high - self.low, self.high - low)
        # dual norm of the gradient: largest entry for q = 1, sum of entries for q = inf
        dual = {1.0: 1.0, 2.0: math.sqrt(classes), math.inf: float(classes)}[q]
        # over ||u||_q = 1, the sum of u_j^2 is at most 1, and C for q = inf
        return 2 * self.factor * dual * residual, low.new_full((), 2 * self.factor * (classes if q == math.inf else 1))


Loss = CrossEntropy | Square


def loss_named(name: str, classes: int) -> Loss:
    """Return the bounds of a loss of `agd_bench.optim.losses` by name, `"cross-entropy"` or `"square"`.

    Raises:
        UnknownNameError: no bounds are known for the name.
    """
    # `losses.square` is a mean over classes, with target sqrt(C) at the label
    bounds: dict[str, Loss] = {"cross-entropy": CrossEntropy(), "square": Square(1 / classes, 0.0, math.sqrt(classes))}
    if name not in bounds:
        raise UnknownNameError("loss with a guarantee", name, bounds)
    return bounds[name]


def moduli(norms: Tensor, inputs: Tensor, activations: list[Activation], first: Tensor, second: Tensor) -> Tensor:
    """Return p_i of every layer, (K,), float64.

    Args:
        norms: a_k of every layer's weights, (K,).
        inputs: c_(k-1) of every layer, (K,).
        activations: of every layer.
        first: l1 of the loss, 0-dim.
        second: l2 of the loss, 0-dim.
    """
    slope, bend = torch.ones_like(first), torch.zeros_like(first)  # P_k and Q_k
    squares = []
    for norm, size, activation in zip(norms.flip(0), inputs.flip(0), reversed(activations), strict=True):
        s1, s2 = activation.slope, activation.curvature
        # p_i^2 has no term of layer i itself: `norm` enters below, for the layers before it
        squares.append((second * (slope * s1).square() + first * (slope * s2 + bend * s1**2)) * size.square())
        # Q before P, since Q_(k-1) needs P_k
        bend = bend * (s1 * norm).square() + slope * s2 * norm.square()
        slope = slope * s1 * norm
    return torch.stack(squares[::-1]).sqrt()
