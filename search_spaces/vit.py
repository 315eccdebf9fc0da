"""Small vision transformers with varying depth, width, heads, patch size and MLP ratio.

An architecture gives all five: `d6-w128-h4-p4-m2` has six blocks, tokens of width 128, four heads, patches of 4 x 4 pixels, and MLPs twice
as wide as the tokens. Blocks normalise before attention and MLP, and the classifier reads the mean of the last tokens. Position embeddings
are fixed sines and cosines of row and column, so networks accept images of any size; images are padded with zeros to a multiple of the
patch size.

The grid that is listed and sampled has 324 architectures. `build` accepts any other depth, patch size and ratio, any width that is a
multiple of 4, and heads that divide it: `d12-w768-h12-p16-m4` is ViT-B/16 without class token and learned positions.

References:
    A. Dosovitskiy et al., "An Image is Worth 16x16 Words: Transformers for Image Recognition at Scale", ICLR 2021.
    L. Beyer, X. Zhai and A. Kolesnikov, "Better plain ViT baselines for ImageNet-1k", arXiv 2205.01580, 2022: fixed positions,
    mean of tokens.
"""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor, nn

VARIES = "depth, width, heads, patch and MLP ratio"
SIZE = 324
PAPER = "Dosovitskiy et al. 2021, arXiv 2010.11929"
IDENTITY = "the published parameters of ViT-B/16 and ViT-L/16; attention as torch's own"
DEPTHS, WIDTHS, HEADS, PATCHES, RATIOS = (2, 4, 6, 8), (64, 128, 256), (2, 4, 8), (2, 4, 8), (1, 2, 4)
SLOWEST = 10_000
"""Period of the slowest sine of a position, in tokens over 2 pi, as in the papers."""


def _name(numbers: tuple[int, ...]) -> str:
    return "d{}-w{}-h{}-p{}-m{}".format(*numbers)


def numbers_of(architecture: str) -> tuple[int, ...]:
    """Return depth, width, heads, patch size and MLP ratio."""
    match = re.fullmatch(r"d([1-9]\d{0,2})-w([1-9]\d{0,3})-h([1-9]\d{0,2})-p([1-9]\d?)-m([1-9]\d?)", architecture)
    if match is None:
        raise ValueError(f"{architecture!r} is no vision transformer; write depth, width, heads, patch and MLP ratio: d6-w128-h4-p4-m2")
    numbers = tuple(map(int, match.groups()))
    if numbers[1] % 4 or numbers[1] % numbers[2]:
        raise ValueError(f"{architecture!r} cannot be built; the width must be a multiple of 4 and of the heads: d6-w128-h4-p4-m2")
    return numbers


def architectures() -> Iterator[str]:
    """Yield the 324 architectures of the grid; the MLP ratio changes fastest."""
    return map(_name, itertools.product(DEPTHS, WIDTHS, HEADS, PATCHES, RATIOS))


def sample(rng: np.random.Generator) -> str:
    """Return a uniformly random architecture of the grid."""
    return _name(tuple(values[rng.integers(len(values))] for values in (DEPTHS, WIDTHS, HEADS, PATCHES, RATIOS)))


def features(architecture: str) -> dict[str, float]:
    """Return possible drivers of rank shifts: the five numbers."""
    return dict(zip(("depth", "width", "heads", "patch", "ratio"), numbers_of(architecture), strict=True))


class QueriesKeysValues(nn.Linear):
    """Three linear maps of one input. `stacked` marks them as three matrices for optimizers."""

    stacked = 3


def _linear(inputs: int, outputs: int, kind: type[nn.Linear] = nn.Linear) -> nn.Linear:
    layer = kind(inputs, outputs)
    nn.init.xavier_uniform_(layer.weight)
    nn.init.zeros_(layer.bias)
    return layer


def positions(rows: int, columns: int, width: int) -> Tensor:
    """Return sines and cosines of each token's row and column, (rows * columns, width), a quarter of the width each."""
    rates = SLOWEST ** -(torch.arange(width // 4) / max(width // 4 - 1, 1))
    down, across = (torch.arange(count)[:, None] * rates for count in (rows, columns))
    row = torch.cat([down.sin(), down.cos()], dim=1)[:, None].expand(rows, columns, -1)
    column = torch.cat([across.sin(), across.cos()], dim=1)[None].expand(rows, columns, -1)
    return torch.cat([row, column], dim=2).flatten(0, 1)


class Tokens(nn.Module):
    """Tokens of an image: a linear map of every patch, plus its position embedding."""

    def __init__(self, in_channels: int, width: int, patch: int) -> None:
        super().__init__()
        self.patch = patch
        self.embedding = nn.Conv2d(in_channels, width, patch, stride=patch)
        self.grid = (0, 0)
        self.register_buffer("positions", torch.empty(0, width), persistent=False)

    def forward(self, images: Tensor) -> Tensor:
        """Map images (N, C, H, W) to tokens (N, T, width)."""
        below, right = (-side % self.patch for side in images.shape[2:])
        maps = self.embedding(nn.functional.pad(images, (0, right, 0, below)))
        rows, columns = maps.shape[2:]
        tokens: Tensor = maps.flatten(2).transpose(1, 2)
        if self.grid != (rows, columns):
            # once, as a step that copies from the host cannot be captured as a CUDA graph
            self.grid, self.positions = (rows, columns), positions(rows, columns, tokens.shape[2]).to(self.embedding.weight)
        return tokens + self.positions.to(tokens)


class Attention(nn.Module):
    """Multi-head self-attention."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.queries_keys_values = _linear(width, 3 * width, QueriesKeysValues)
        self.output = _linear(width, width)

    def forward(self, tokens: Tensor) -> Tensor:
        """Map (N, T, width) to (N, T, width)."""
        # (N, T, width) to (N, heads, T, width / heads), three times
        parts = self.queries_keys_values(tokens).chunk(3, dim=2)
        queries, keys, values = (part.unflatten(2, (self.heads, -1)).transpose(1, 2) for part in parts)
        # torch's fused attention has no forward-mode derivatives, which the Jacobians of `diagnostics` need
        weights = (queries @ keys.transpose(2, 3) / math.sqrt(keys.shape[3])).softmax(dim=3)
        mixed: Tensor = self.output((weights @ values).transpose(1, 2).flatten(2))
        return mixed


class Block(nn.Module):
    """Pre-norm transformer block: attention and an MLP, each with a residual connection."""

    def __init__(self, width: int, heads: int, ratio: int) -> None:
        super().__init__()
        self.attention = nn.Sequential(nn.LayerNorm(width), Attention(width, heads))
        self.mlp = nn.Sequential(nn.LayerNorm(width), _linear(width, ratio * width), nn.GELU(), _linear(ratio * width, width))

    def forward(self, tokens: Tensor) -> Tensor:
        """Map (N, T, width) to (N, T, width)."""
        tokens = tokens + self.attention(tokens)
        output: Tensor = tokens + self.mlp(tokens)
        return output


class Classifier(nn.Module):
    """Linear classifier on the mean of normalised tokens."""

    def __init__(self, width: int, num_classes: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.linear = _linear(width, num_classes)

    def forward(self, tokens: Tensor) -> Tensor:
        """Map tokens (N, T, width) to logits (N, num_classes)."""
        logits: Tensor = self.linear(self.norm(tokens).mean(dim=1))
        return logits


def build(architecture: str, in_channels: int, num_classes: int) -> nn.Module:
    """Return the network of an architecture, from images (N, in_channels, H, W) to logits (N, num_classes)."""
    depth, width, heads, patch, ratio = numbers_of(architecture)
    blocks = [Block(width, heads, ratio) for _ in range(depth)]
    return nn.Sequential(Tokens(in_channels, width, patch), *blocks, Classifier(width, num_classes))
