"""Two linear layers of decreasing width; an architecture is the width between them.

References:
    F. Rosenblatt, "The Perceptron", Psychological Review 65 (6), 1958, with a hidden layer.
"""

from __future__ import annotations

import numpy as np
from torch import nn


def architectures() -> list[str]:
    """Return all widths."""
    return ["8", "16", "32"]


def sample(rng: np.random.Generator) -> str:
    """Draw a random width."""
    return str(rng.choice(architectures()))


def build(architecture: str, in_channels: int, num_classes: int) -> nn.Module:
    """Return the network of an architecture."""
    if architecture not in architectures():
        raise ValueError(f"{architecture!r} is none of {', '.join(architectures())}")
    width = int(architecture)
    pooled = [nn.AdaptiveAvgPool2d(4), nn.Flatten()]
    return nn.Sequential(*pooled, nn.Linear(16 * in_channels, width), nn.ReLU(), nn.Linear(width, num_classes))
