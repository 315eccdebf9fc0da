"""TEMPLATE_NAME: gradient descent with momentum and a rate that falls to zero. (Say in this line what your algorithm does.)

A training algorithm is a complete procedure: how the network is prepared, what is minimised, which optimizer does it, and how its rate
changes. One that is searched around states its ranges in RANGES and has TIER "externally tuned".

References:
    B. Polyak, "Some methods of speeding up the convergence of iteration methods", USSR Computational Mathematics 4 (5), 1964.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.optim.lr_scheduler import LambdaLR

RANGES: dict[str, dict[str, object]] = {}  # what is searched: {"rate": {"low": 1e-3, "high": 1.0, "log": True}}
TIER = "self-tuning"  # "learning-rate-free", or "externally tuned" where RANGES has entries
SOURCE = "B. Polyak, USSR Computational Mathematics 4 (5), 1964"
PAPER = "Polyak 1964"
LICENCE = "MIT"


def prepare(network: nn.Module, generator: torch.Generator) -> nn.Module:
    """The network as it is to start; draw from `generator` alone. This one keeps the weights that it was built with."""
    return network


def build(network: nn.Module, steps: int, rate: float = 0.05, momentum: float = 0.9) -> tuple[torch.optim.Optimizer, LambdaLR]:
    """The optimizer, and the schedule of its rate over `steps` training steps (an optimizer alone will do)."""
    optimizer = torch.optim.SGD(network.parameters(), lr=rate, momentum=momentum)
    return optimizer, LambdaLR(optimizer, lambda step: 1 - step / (steps + 1))


def loss(logits: Tensor, labels: Tensor) -> Tensor:
    """What is minimised: logits (N, C) and labels (N,) to one number."""
    return nn.functional.cross_entropy(logits, labels)
