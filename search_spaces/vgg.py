"""VGG networks for small images: stages of 3 x 3 convolutions with batch norm, each followed by max pooling.

An architecture lists the convolutions per stage and the channels of the first stage: `2-2-3-3-3-w64` is VGG-16, `1-1-2-2-2-w64` VGG-11,
`2-2-2-2-2-w64` VGG-13 and `2-2-4-4-4-w64` VGG-19. Channels double from stage to stage, up to eight times the first. As in the experiments
on automatic gradient descent with small images, one linear layer after global pooling replaces the three fully connected ones. Convolutions
have no biases, since batch norm would cancel them.

The grid that is listed and sampled has 4,096 architectures: five stages of 1 to 4 convolutions each, and four widths. `build` accepts one
to five stages and any width.

References:
    K. Simonyan and A. Zisserman, "Very Deep Convolutional Networks for Large-Scale Image Recognition", ICLR 2015, table 1.
    J. Bernstein, C. Mingard, K. Huang, N. Azizan and Y. Yue, "Automatic Gradient Descent: Deep Learning without
    Hyperparameters", arXiv 2304.05187, 2023, section 4.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator

import numpy as np
from torch import nn

VARIES = "convolutions of each of five stages, width"
SIZE = 4_096
PAPER = "Simonyan & Zisserman 2015, arXiv 1409.1556"
IDENTITY = "the published parameters, with the published classifier in place of ours"
OPTIONS = {"batch_norm": True}
DEPTHS = (1, 2, 3, 4)
WIDTHS = (8, 16, 32, 64)
STAGES = 5
WIDEST = 8
"""Maximum channels of a stage, in multiples of the first stage's."""


def _name(convolutions: tuple[int, ...], width: int) -> str:
    return f"{'-'.join(map(str, convolutions))}-w{width}"


def parts_of(architecture: str) -> tuple[tuple[int, ...], int]:
    """Return the number of convolutions per stage, and the channels of the first stage."""
    match = re.fullmatch(r"([1-9]\d?(?:-[1-9]\d?){0,4})-w([1-9]\d{0,3})", architecture)
    if match is None:
        raise ValueError(f"{architecture!r} is no VGG network; write the convolutions of one to five stages and the width: 2-2-3-3-3-w64")
    return tuple(map(int, match[1].split("-"))), int(match[2])


def architectures() -> Iterator[str]:
    """Yield all 4,096 architectures; the width changes fastest."""
    return (_name(stages, width) for stages, width in itertools.product(itertools.product(DEPTHS, repeat=STAGES), WIDTHS))


def sample(rng: np.random.Generator) -> str:
    """Return a uniformly random architecture."""
    return _name(tuple(DEPTHS[number] for number in rng.integers(len(DEPTHS), size=STAGES)), WIDTHS[rng.integers(len(WIDTHS))])


def features(architecture: str) -> dict[str, float]:
    """Return possible drivers of rank shifts: convolutions, and the channels of the first."""
    stages, width = parts_of(architecture)
    return {"convolutions": sum(stages), "width": width}


def graph(architecture: str, batch_norm: bool = True) -> tuple[tuple[int, int, int, int, str], ...]:
    """Return the edges of the chain: (from node, to node, weighted layers, kernel size, module with the weight)."""
    stages, _ = parts_of(architecture)
    edges: list[tuple[int, int, int, int, str]] = []
    child = 0
    for count in stages:
        for _ in range(count):
            edges.append((len(edges), len(edges) + 1, 1, 3, str(child)))
            child += 3 if batch_norm else 2
        child += 1  # pooling
    return (*edges, (len(edges), len(edges) + 1, 1, 1, str(child + 2)))


def build(architecture: str, in_channels: int, num_classes: int, batch_norm: bool = True) -> nn.Module:
    """Return the network of an architecture.

    Args:
        architecture: its string.
        in_channels: of the images.
        num_classes: size of the logits.
        batch_norm: whether batch norm follows each convolution. Without it, convolutions have biases, as in the original paper.

    Returns:
        A network that maps images (N, in_channels, H, W) to logits (N, num_classes).
    """
    stages, width = parts_of(architecture)
    if not isinstance(batch_norm, bool):
        raise ValueError(f"batch_norm {batch_norm!r} is out of range; give true or false")
    layers: list[nn.Module] = []
    for stage, count in enumerate(stages):
        channels = width * min(2**stage, WIDEST)
        for _ in range(count):
            layers.append(nn.Conv2d(in_channels, channels, 3, padding=1, bias=not batch_norm))
            layers += [nn.BatchNorm2d(channels), nn.ReLU()] if batch_norm else [nn.ReLU()]
            in_channels = channels
        layers.append(nn.MaxPool2d(2, ceil_mode=True))  # rounds up, so that images below 32 pixels keep at least one
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(in_channels, num_classes))
