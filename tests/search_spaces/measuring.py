"""Helpers for tests of search spaces: the size of a network, and its logits in double precision."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode


def parameters_of(network: nn.Module) -> int:
    """Return the total number of parameters."""
    return sum(parameter.numel() for parameter in network.parameters())


def size_of(
    build: Callable[..., nn.Module], architecture: str, channels: int = 3, classes: int = 10, size: int = 32, **options: Any
) -> tuple[int, int]:
    """Return parameters and multiply-adds of a network for one image (1, channels, size, size), without computing anything."""
    with torch.device("meta"):
        network = build(architecture, channels, classes, **options).eval()
        with FlopCounterMode(display=False) as counter:
            network(torch.zeros(1, channels, size, size))
    return parameters_of(network), counter.get_total_flops() // 2


def logits_of(network: nn.Module, size: int = 8, count: int = 4) -> Tensor:
    """Return logits of random images (count, 3, size, size) in double precision, with the network in training mode."""
    images = torch.randn(count, 3, size, size, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    logits: Tensor = network.double()(images)
    return logits
