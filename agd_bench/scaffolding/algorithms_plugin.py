"""TEMPLATE_NAME: gradient descent with momentum and a learning rate that decays to zero. (Say in this line what your algorithm does.)

A training algorithm is a complete procedure: preparation of the network, loss, optimizer, and learning-rate schedule. If its
hyperparameters have to be tuned, list their ranges in RANGES and set TIER to "externally tuned".

References:
    B. Polyak, "Some methods of speeding up the convergence of iteration methods", USSR Computational Mathematics 4 (5), 1964.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.optim.lr_scheduler import LambdaLR

RANGES: dict[str, dict[str, object]] = {}  # what is tuned, such as {"rate": {"low": 1e-3, "high": 1.0, "log": True}}
TIER = "self-tuning"  # or "learning-rate-free", or "externally tuned" if RANGES has entries
SOURCE = "B. Polyak, USSR Computational Mathematics 4 (5), 1964"
PAPER = "Polyak 1964"
LICENCE = "MIT"


def prepare(network: nn.Module, generator: torch.Generator) -> nn.Module:
    """Return the network with its initial weights. Draw random numbers from `generator` only. This one keeps torch's initialisation."""
    return network


def build(network: nn.Module, steps: int, rate: float = 0.05, momentum: float = 0.9) -> tuple[torch.optim.Optimizer, LambdaLR]:
    """Return the optimizer and its learning-rate schedule over `steps` training steps. The schedule is optional."""
    optimizer = torch.optim.SGD(network.parameters(), lr=rate, momentum=momentum)
    return optimizer, LambdaLR(optimizer, lambda step: 1 - step / (steps + 1))


def loss(logits: Tensor, labels: Tensor) -> Tensor:
    """Return the loss, a scalar, of logits (N, C) and labels (N,)."""
    return nn.functional.cross_entropy(logits, labels)
