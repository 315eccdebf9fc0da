"""Plain chains of convolutions: an example for authors of search spaces.

An architecture lists the channels of its layers from input to output, with `s` for stride 2: `16-32s-32`. Each layer is a 3 x 3 convolution
with batch norm and ReLU; global average pooling and a linear classifier follow.

References:
    K. Simonyan and A. Zisserman, "Very Deep Convolutional Networks for Large-Scale Image Recognition", ICLR 2015,
    without its fully connected layers.
"""

from __future__ import annotations

import re

import numpy as np
from torch import nn

VARIES = "layers, widths and strides of a chain"
SIZE = 299_584
PAPER = "after Simonyan & Zisserman 2015, arXiv 1409.1556"
IDENTITY = "channels and strides by name"
WIDTHS = (8, 16, 32, 64)


def sample(rng: np.random.Generator) -> str:
    """Return a chain of two to six layers of random widths, each with stride 2 with probability 1/4."""
    layers = rng.integers(2, 7)
    return "-".join(f"{rng.choice(WIDTHS)}{'s' if rng.random() < 0.25 else ''}" for _ in range(layers))


def build(architecture: str, in_channels: int, num_classes: int) -> nn.Module:
    """Return the network of an architecture, from images (N, in_channels, H, W) to logits (N, num_classes)."""
    if not re.fullmatch(r"[1-9]\d{0,3}s?(-[1-9]\d{0,3}s?){0,99}", architecture):
        raise ValueError(f"{architecture!r} is no plain chain; write channels joined by '-', 's' after those that halve: 16-32s-32")
    layers: list[nn.Module] = []
    for part in architecture.split("-"):
        channels, stride = int(part.removesuffix("s")), 2 if part.endswith("s") else 1
        layers += [nn.Conv2d(in_channels, channels, 3, stride, padding=1, bias=False), nn.BatchNorm2d(channels), nn.ReLU()]
        in_channels = channels
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(in_channels, num_classes))


def graph(architecture: str) -> tuple[tuple[int, int, int, int, str], ...]:
    """Return the edges of the chain: (from node, to node, weighted layers, kernel size, module with the weight)."""
    layers = architecture.count("-") + 1
    edges = [(layer, layer + 1, 1, 3, str(3 * layer)) for layer in range(layers)]
    return (*edges, (layers, layers + 1, 1, 1, str(3 * layers + 2)))


def features(architecture: str) -> dict[str, float]:
    """Return possible drivers of rank shifts: number of layers and of strides 2, smallest and largest width."""
    layers = architecture.split("-")
    widths = [int(part.removesuffix("s")) for part in layers]
    return {"layers": len(layers), "halvings": sum(part.endswith("s") for part in layers), "narrowest": min(widths), "widest": max(widths)}
