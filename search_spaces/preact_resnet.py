"""Pre-activation residual networks for small images: ResNet-18 and variants, as in the paper on automatic gradient descent.

An architecture gives the kind of block, the number of blocks per stage, and the width of the first stage; each further stage doubles the
width and halves the image. `basic-2-2-2-2-w64` is ResNet-18, `bottleneck-3-4-6-3-w64` ResNet-50. A basic block has two 3 x 3 convolutions,
a bottleneck block a 1 x 1, a 3 x 3, and a 1 x 1 convolution to four times the stage's width, each after batch norm and ReLU. If a block
changes the shape, its shortcut is a 1 x 1 convolution of its first activation, otherwise its input. ResNet-18 has the 11,171,146 parameters
(10 classes) of the common CIFAR implementation, which, like the paper, has no batch norm before the classifier; `final_norm` adds it, as in
He et al.

The grid that is listed and sampled has 648 architectures: both kinds of block, four stages of 1 to 3 blocks each, and four widths. `build`
accepts any name of this form, such as ResNet-34 (`basic-3-4-6-3-w64`) or He et al.'s three-stage ResNet-164 (`bottleneck-18-18-18-w16`).

References:
    K. He, X. Zhang, S. Ren and J. Sun, "Identity Mappings in Deep Residual Networks", ECCV 2016.
    J. Bernstein, C. Mingard, K. Huang, N. Azizan and Y. Yue, "Automatic Gradient Descent: Deep Learning without
    Hyperparameters", arXiv 2304.05187, 2023, section 4.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator

import numpy as np
from torch import Tensor, nn

VARIES = "kind and number of blocks in each of four stages, width"
SIZE = 648
PAPER = "He et al. 2016, arXiv 1603.05027"
IDENTITY = "the published parameters of ResNet-18, -110, -164 and -1001"
OPTIONS = {"final_norm": False}
EXPANSION = {"basic": 1, "bottleneck": 4}
"""Output channels of each kind of block, in multiples of the stage's width."""

DEPTHS = (1, 2, 3)
WIDTHS = (8, 16, 32, 64)
STAGES = 4


def _name(kind: str, blocks: tuple[int, ...], width: int) -> str:
    return f"{kind}-{'-'.join(map(str, blocks))}-w{width}"


def parts_of(architecture: str) -> tuple[str, tuple[int, ...], int]:
    """Return the kind of block, the number of blocks per stage, and the width of the first stage."""
    match = re.fullmatch(r"(basic|bottleneck)((?:-[1-9]\d{0,2}){1,5})-w([1-9]\d{0,3})", architecture)
    if match is None:
        raise ValueError(
            f"{architecture!r} is no pre-activation ResNet; write basic or bottleneck, the blocks of one to five stages and the width: "
            "basic-2-2-2-2-w64"
        )
    return match[1], tuple(int(number) for number in match[2].split("-")[1:]), int(match[3])


def architectures() -> Iterator[str]:
    """Yield the 648 architectures of the grid; the width changes fastest."""
    grid = itertools.product(EXPANSION, itertools.product(DEPTHS, repeat=STAGES), WIDTHS)
    return (_name(kind, blocks, width) for kind, blocks, width in grid)


def sample(rng: np.random.Generator) -> str:
    """Return a uniformly random architecture of the grid."""
    kind = tuple(EXPANSION)[rng.integers(len(EXPANSION))]
    blocks = tuple(DEPTHS[number] for number in rng.integers(len(DEPTHS), size=STAGES))
    return _name(kind, blocks, WIDTHS[rng.integers(len(WIDTHS))])


def features(architecture: str) -> dict[str, float]:
    """Return possible drivers of rank shifts: blocks, and the width of the first stage."""
    _, blocks, width = parts_of(architecture)
    return {"blocks": sum(blocks), "width": width}


def graph(architecture: str, final_norm: bool = False) -> tuple[tuple[int, int, int, int, str], ...]:
    """Return the network's edges: (from node, to node, weighted layers, kernel size, module with the weight).

    Node 0 is the image; the last edge leads to the logits. Options are those of `build`.
    """
    kind, blocks, width = parts_of(architecture)
    sizes = (3, 3) if kind == "basic" else (1, 3, 1)
    edges, node, child, channels = [(0, 1, 1, 3, "0")], 1, 1, width
    for stage, count in enumerate(blocks):
        for number in range(count):
            outputs = EXPANSION[kind] * (width << stage)
            changed = bool(stage and not number) or channels != outputs
            edges.append((node, node + len(sizes), int(changed), 1, f"{child}.shortcut" if changed else ""))
            edges += [(node + place, node + place + 1, 1, size, f"{child}.residual.{3 * place}") for place, size in enumerate(sizes)]
            node, child, channels = node + len(sizes), child + 1, outputs
    return (*edges, (node, node + 1, 1, 1, str(child + 2 + 2 * final_norm)))


def _convolution(in_channels: int, channels: int, size: int, stride: int = 1) -> nn.Conv2d:
    return nn.Conv2d(in_channels, channels, size, stride, padding=size // 2, bias=False)


class Block(nn.Module):
    """Pre-activation residual block. If the shape changes, the shortcut starts after the first activation."""

    def __init__(self, kind: str, in_channels: int, width: int, stride: int) -> None:
        super().__init__()
        channels = EXPANSION[kind] * width
        plan = [(width, 3, stride), (width, 3, 1)] if kind == "basic" else [(width, 1, 1), (width, 3, stride), (channels, 1, 1)]
        self.activation = nn.Sequential(nn.BatchNorm2d(in_channels), nn.ReLU())
        self.shortcut: nn.Module | None = None
        if stride != 1 or in_channels != channels:
            self.shortcut = _convolution(in_channels, channels, 1, stride)
        layers: list[nn.Module] = []
        for number, (out_channels, size, step) in enumerate(plan):
            if number:
                layers += [nn.BatchNorm2d(in_channels), nn.ReLU()]
            layers.append(_convolution(in_channels, out_channels, size, step))
            in_channels = out_channels
        self.residual = nn.Sequential(*layers)

    def forward(self, images: Tensor) -> Tensor:
        """Map (N, in_channels, H, W) to (N, channels, H / stride, W / stride)."""
        active = self.activation(images)
        output: Tensor = self.residual(active) + (images if self.shortcut is None else self.shortcut(active))
        return output


def build(architecture: str, in_channels: int, num_classes: int, final_norm: bool = False) -> nn.Module:
    """Return the network of an architecture.

    Args:
        architecture: its string.
        in_channels: of the images.
        num_classes: size of the logits.
        final_norm: whether batch norm and ReLU follow the last block.

    Returns:
        A network that maps images (N, in_channels, H, W) to logits (N, num_classes).
    """
    kind, blocks, width = parts_of(architecture)
    if not isinstance(final_norm, bool):
        raise ValueError(f"final_norm {final_norm!r} is out of range; give true or false")
    layers: list[nn.Module] = [_convolution(in_channels, width, 3)]
    channels = width
    for stage, count in enumerate(blocks):
        for number in range(count):
            layers.append(Block(kind, channels, width << stage, stride=2 if stage and not number else 1))
            channels = EXPANSION[kind] * (width << stage)
    layers += [nn.BatchNorm2d(channels), nn.ReLU()] if final_norm else []
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(channels, num_classes))
