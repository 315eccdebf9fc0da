"""TEMPLATE_NAME: three stages, each a convolution or the identity. (Say in this line what your space varies.)

An architecture lists the operation of each stage, joined by '-': `conv3-skip-conv1`. A stage is a 3 x 3 or 1 x 1 convolution with batch
norm and ReLU, or the identity, followed by 2 x 2 average pooling. A convolution precedes the stages, a linear classifier follows them.

References:
    The author of this file, TEMPLATE_YEAR. (Cite the paper of your space: authors, title, venue, year.)
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import numpy as np
from torch import nn

VARIES = "the operation of each of three stages"
SIZE = 27
PAPER = "none: the author of this file, TEMPLATE_YEAR"
OPTIONS = {"channels": 16}  # the keyword options of `build`, with their defaults
OPERATIONS = ("skip", "conv1", "conv3")
STAGES = 3


def architectures() -> Iterator[str]:
    """Yield every architecture once. Optional: leave this function out if the space is too large to list."""
    return map("-".join, itertools.product(OPERATIONS, repeat=STAGES))


def sample(rng: np.random.Generator) -> str:
    """Return a random architecture. Draw random numbers from `rng` only."""
    return "-".join(OPERATIONS[number] for number in rng.integers(len(OPERATIONS), size=STAGES))


def build(architecture: str, in_channels: int, num_classes: int, channels: int = 16) -> nn.Module:
    """Return the network of an architecture, from images (N, in_channels, H, W) to logits (N, num_classes), without softmax."""
    words = architecture.split("-")
    if len(words) != STAGES or not set(words) <= set(OPERATIONS):
        raise ValueError(f"invalid architecture {architecture!r}; join {STAGES} of {', '.join(OPERATIONS)} with '-': conv3-skip-conv1")
    layers = _convolution(in_channels, channels, 3)
    for word in words:
        if word != "skip":
            layers += _convolution(channels, channels, int(word.removeprefix("conv")))
        layers.append(nn.AvgPool2d(2, ceil_mode=True))
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(channels, num_classes))


def _convolution(in_channels: int, channels: int, size: int) -> list[nn.Module]:
    return [nn.Conv2d(in_channels, channels, size, padding=size // 2, bias=False), nn.BatchNorm2d(channels), nn.ReLU()]
