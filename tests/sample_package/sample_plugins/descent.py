"""Gradient descent with momentum, at one rate for all."""

from __future__ import annotations

import torch
from torch import Tensor, nn

RANGES: dict[str, dict[str, object]] = {}
TIER = "self-tuning"
PAPER = "Polyak 1964"
SOURCE = "B. Polyak, Some methods of speeding up the convergence of iteration methods, 1964"
LICENCE = "MIT"


def prepare(network: nn.Module, generator: torch.Generator) -> nn.Module:
    """Return the network unchanged."""
    return network


def build(network: nn.Module, steps: int) -> torch.optim.Optimizer:
    """Return the optimizer."""
    return torch.optim.SGD(network.parameters(), lr=0.05, momentum=0.9)


def loss(logits: Tensor, labels: Tensor) -> Tensor:
    """Return the cross-entropy."""
    return nn.functional.cross_entropy(logits, labels)
