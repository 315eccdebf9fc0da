"""Size space of NATS-Bench: 32,768 choices of channels for the five layers of one network.

An architecture is its published string, the output channels of the five layers from input to output, each 8 to 64 in steps of 8:
`8:16:64:8:32`. Layers 1, 3 and 5 are cells, layers 2 and 4 residual blocks with stride 2; the stem has the first layer's channels. Every
cell is the best one of the topology space on CIFAR-100,

    |nor_conv_3x3~0|+|nor_conv_3x3~0|nor_conv_3x3~1|+|skip_connect~0|nor_conv_3x3~1|nor_conv_3x3~2|

with a 1 x 1 convolution and batch norm as the skip connection if the number of channels changes. The number of parameters is the published
one, and the published FLOPs are the multiply-adds of convolutions and classifier plus one addition per bias.

References:
    X. Dong, L. Liu, K. Musial and B. Gabrys, "NATS-Bench: Benchmarking NAS Algorithms for Architecture Topology and
    Size", IEEE TPAMI 44 (7), 2021.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence

import numpy as np
from torch import Tensor, nn

VARIES = "channels of the five layers of one network"
SIZE = 32_768
PAPER = "Dong et al. 2021, arXiv 2009.00437"
IDENTITY = "order, parameters and FLOPs of the published records"
OPTIONS = {"cells": 1}
CHANNELS = (8, 16, 24, 32, 40, 48, 56, 64)
LAYERS = 5


def channels_of(architecture: str) -> tuple[int, ...]:
    """Return the output channels of the five layers."""
    parts = architecture.split(":")
    if len(parts) != LAYERS or not set(parts) <= {str(channels) for channels in CHANNELS}:
        raise ValueError(f"{architecture!r} is no architecture of NATS-Bench's size space; write five of {CHANNELS} joined by ':'")
    return tuple(map(int, parts))


def _name(channels: Sequence[int]) -> str:
    return ":".join(map(str, channels))


def architectures() -> Iterator[str]:
    """Yield all 32,768 architectures in the order of their published index: the last layer's channels change fastest."""
    return (_name(channels) for channels in itertools.product(CHANNELS, repeat=LAYERS))


def sample(rng: np.random.Generator) -> str:
    """Return a uniformly random architecture."""
    return _name([CHANNELS[number] for number in rng.integers(len(CHANNELS), size=LAYERS)])


def features(architecture: str) -> dict[str, float]:
    """Return possible drivers of rank shifts: the channels of each layer."""
    return {f"layer_{number}": channels for number, channels in enumerate(channels_of(architecture), start=1)}


def graph(architecture: str, cells: int = 1) -> tuple[tuple[int, int, int, int, str], ...]:
    """Return the network's edges: (from node, to node, weighted layers, kernel size, module with the weight).

    Node 0 is the image; the last edge leads to the logits. Options are those of `build`.
    """
    widths = channels_of(architecture)
    edges, node, child, channels = [(0, 1, 1, 3, "0")], 1, 2, widths[0]
    for number, width in enumerate(widths):
        for repeat in range(1 if number % 2 else cells):
            changed = width != channels and not repeat
            edges += _reduction_edges(node, f"{child}.") if number % 2 else _cell_edges(node, f"{child}.", changed)
            node, child = edges[-1][1], child + 1
        channels = width
    return (*edges, (node, node + 1, 1, 1, str(child + 4)))


def _cell_edges(node: int, prefix: str, changed: bool) -> list[tuple[int, int, int, int, str]]:
    names = {"first": (0, 1), "over_first": (0, 2), "second": (1, 2), "over_third": (1, 3), "third": (2, 3)}
    edges = [(node + start, node + end, 1, 3, f"{prefix}{name}.1") for name, (start, end) in names.items()]
    return [(node, node + 3, int(changed), 1, f"{prefix}skip.0" if changed else ""), *edges]


def _reduction_edges(node: int, prefix: str) -> list[tuple[int, int, int, int, str]]:
    residual = [(node + place, node + place + 1, 1, 3, f"{prefix}residual.{place}.1") for place in range(2)]
    return [(node, node + 2, 1, 1, f"{prefix}shortcut.1"), *residual]


def size(architecture: str, in_channels: int, num_classes: int, image_size: int, cells: int = 1) -> tuple[int, int]:
    """Return the parameters and multiply-adds of a network as published, without building it.

    Args:
        architecture: its string.
        in_channels: of the images.
        num_classes: size of the logits.
        image_size: side length in pixels.
        cells: see `build`.

    Returns:
        Number of trainable scalars, and multiply-adds of convolutions and classifier for one image.
    """
    widths = channels_of(architecture)
    channels = widths[0]
    weights = 9 * in_channels * channels
    parameters, multiply_adds = weights + 2 * channels, weights * image_size**2
    for number, width in enumerate(widths):
        if number % 2:
            image_size = (image_size + 1) // 2
            weights, normalised = (9 + 1) * channels * width + 9 * width**2, 2 * width
        else:
            changed = int(channels != width)
            weights = (18 + changed) * channels * width + 27 * width**2 + (cells - 1) * 45 * width**2
            normalised = (5 * cells + changed) * width
        parameters, multiply_adds = parameters + weights + 2 * normalised, multiply_adds + weights * image_size**2
        channels = width
    return parameters + 2 * channels + (channels + 1) * num_classes, multiply_adds + channels * num_classes


class _Convolution(nn.Sequential):
    def __init__(self, in_channels: int, channels: int, stride: int = 1) -> None:
        convolution = nn.Conv2d(in_channels, channels, 3, stride, padding=1, bias=False)
        super().__init__(nn.ReLU(), convolution, nn.BatchNorm2d(channels))


class Cell(nn.Module):
    """Four nodes: a chain of three 3 x 3 convolutions, two more that skip one node each, and a skip from the first to the last node."""

    def __init__(self, in_channels: int, channels: int) -> None:
        super().__init__()
        self.first = _Convolution(in_channels, channels)
        self.second = _Convolution(channels, channels)
        self.third = _Convolution(channels, channels)
        self.over_first = _Convolution(in_channels, channels)
        self.over_third = _Convolution(channels, channels)
        self.skip: nn.Module = nn.Identity()
        if in_channels != channels:
            self.skip = nn.Sequential(nn.Conv2d(in_channels, channels, 1, bias=False), nn.BatchNorm2d(channels))

    def forward(self, images: Tensor) -> Tensor:
        """Map (N, in_channels, H, W) to (N, channels, H, W)."""
        one = self.first(images)
        two = self.over_first(images) + self.second(one)
        output: Tensor = self.skip(images) + self.over_third(one) + self.third(two)
        return output


class Reduction(nn.Module):
    """Residual block with stride 2."""

    def __init__(self, in_channels: int, channels: int) -> None:
        super().__init__()
        self.residual = nn.Sequential(_Convolution(in_channels, channels, stride=2), _Convolution(channels, channels))
        # rounds up like the convolution, for odd sizes; even sizes are as published
        self.shortcut = nn.Sequential(nn.AvgPool2d(2, ceil_mode=True), nn.Conv2d(in_channels, channels, 1, bias=False))

    def forward(self, images: Tensor) -> Tensor:
        """Map (N, in_channels, H, W) to (N, channels, H/2, W/2)."""
        halved: Tensor = self.shortcut(images) + self.residual(images)
        return halved


def build(architecture: str, in_channels: int, num_classes: int, cells: int = 1) -> nn.Module:
    """Return the network of an architecture.

    Args:
        architecture: its string.
        in_channels: of the images.
        num_classes: size of the logits.
        cells: number of cells in each of layers 1, 3 and 5, at least 1; 1 as published.

    Returns:
        A network that maps images (N, in_channels, H, W) to logits (N, num_classes).
    """
    widths = channels_of(architecture)
    if not isinstance(cells, int) or isinstance(cells, bool) or cells < 1:
        raise ValueError(f"cells {cells!r} is out of range; give a whole number from 1")
    channels = widths[0]
    layers: list[nn.Module] = [nn.Conv2d(in_channels, channels, 3, padding=1, bias=False), nn.BatchNorm2d(channels)]
    for number, width in enumerate(widths):
        if number % 2:
            layers.append(Reduction(channels, width))
        else:
            layers += [Cell(width if repeat else channels, width) for repeat in range(cells)]
        channels = width
    head = [nn.BatchNorm2d(channels), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(channels, num_classes)]
    return nn.Sequential(*layers, *head)
