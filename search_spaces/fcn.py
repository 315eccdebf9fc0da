"""Fully connected networks with hidden layers of equal width: depth × width.

An architecture is `DEPTHxWIDTH`: `4x256` has four matrices, for three hidden layers of 256 units and a linear classifier. Images are
averaged to `size` × `size` pixels and flattened. The options choose the activation and this size.

Biases start at 0, weights are normal with variance gain^2 / fan-in: gain sqrt(2) for `relu`, 5/3 for `tanh`, 1 otherwise, and 1 for the
classifier. `scaled-relu` is sqrt(2) max(0, x), which preserves the scale of activations.

References:
    J. Bernstein, C. Mingard, K. Huang, N. Azizan, Y. Yue, "Automatic Gradient Descent", arXiv 2304.05187, 2023: depths, widths and
    the scaled ReLU of its fully connected networks.
    K. He, X. Zhang, S. Ren, J. Sun, "Delving Deep into Rectifiers", ICCV 2015: the gain of a ReLU.
"""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor, nn

VARIES = "depth and width of fully connected networks"
SIZE = 20
PAPER = "Bernstein et al. 2023, arXiv 2304.05187"
IDENTITY = "shapes by name; variances of initial weights"
OPTIONS = {"activation": "tanh", "size": 28}
SHALLOW = "2x128"
"""Network with one hidden layer, from which learning rates transfer to the others; the rule depends on depth only."""
DEPTHS = (2, 4, 8, 16)
WIDTHS = (32, 64, 128, 256, 512)


class ScaledReLU(nn.Module):
    """sqrt(2) max(0, x)."""

    def forward(self, values: Tensor) -> Tensor:
        """Apply the function elementwise."""
        return math.sqrt(2) * torch.relu(values)


ACTIVATIONS: dict[str, tuple[type[nn.Module], float]] = {
    "tanh": (nn.Tanh, 5 / 3),
    "sigmoid": (nn.Sigmoid, 1.0),
    "softsign": (nn.Softsign, 1.0),
    "relu": (nn.ReLU, math.sqrt(2)),
    "scaled-relu": (ScaledReLU, 1.0),
}
"""Activations by name, with the gain of the preceding weights; the first three are smooth and bounded."""


def architectures() -> Iterator[str]:
    """Yield all listed depths and widths. `build` accepts others too."""
    return (f"{depth}x{width}" for depth, width in itertools.product(DEPTHS, WIDTHS))


def sample(rng: np.random.Generator) -> str:
    """Return a uniformly random architecture of the list."""
    return f"{rng.choice(DEPTHS)}x{rng.choice(WIDTHS)}"


def graph(architecture: str, activation: str = "tanh", size: int = 28) -> tuple[tuple[int, int, int, int, str], ...]:
    """Return the edges of the chain: (from node, to node, weighted layers, kernel size, module with the weight).

    Node 0 is the image; the last edge leads to the logits. Options are those of `build`, without effect.
    """
    depth, _ = _depth_and_width(architecture)
    return tuple((layer, layer + 1, 1, 1, str(2 * layer + 2)) for layer in range(depth))


def build(architecture: str, in_channels: int, num_classes: int, activation: str = "tanh", size: int = 28) -> nn.Module:
    """Return the network of an architecture, from images (N, in_channels, H, W) to logits (N, num_classes)."""
    depth, width = _depth_and_width(architecture)
    if activation not in ACTIVATIONS:
        raise ValueError(f"activation is {activation!r}; give one of {', '.join(ACTIVATIONS)}")
    kind, gain = ACTIVATIONS[activation]
    widths = [in_channels * size**2, *[width] * (depth - 1), num_classes]
    layers: list[nn.Module] = [nn.AdaptiveAvgPool2d(size), nn.Flatten()]
    for number, (inputs, outputs) in enumerate(itertools.pairwise(widths), start=1):
        last = number == depth
        layers += [_linear(inputs, outputs, 1.0 if last else gain)] + ([] if last else [kind()])
    return nn.Sequential(*layers)


def _depth_and_width(architecture: str) -> tuple[int, int]:
    if not re.fullmatch(r"[1-9]\d{0,2}x[1-9]\d{0,4}", architecture):
        raise ValueError(f"{architecture!r} is no fully connected network; write depth and width joined by x: 4x256 has four matrices")
    depth, width = map(int, architecture.split("x"))
    return depth, width


def _linear(inputs: int, outputs: int, gain: float) -> nn.Linear:
    layer = nn.Linear(inputs, outputs)
    nn.init.normal_(layer.weight, std=gain / math.sqrt(inputs))
    nn.init.zeros_(layer.bias)
    return layer
