"""Automatic gradient descent extended to all common layers, for networks as published; nothing to tune.

This is our extension; `agd` is the paper's method. Biases, normalisation scales, grouped and depthwise convolutions, embeddings and fused
attention each get a rule in the paper's framework; `agd_bench.optim.all_layers` lists the rules and marks conventions. For networks of
plain matrices and kernels it equals `agd` bit for bit. The loss is the paper's square loss.
"""

from __future__ import annotations

import torch
from torch import nn

from agd_bench.optim.all_layers import AGDAllLayers, initialise
from agd_bench.optim.losses import square

RANGES: dict[str, dict[str, object]] = {}
TIER = "self-tuning"
PAPER = "extension of Bernstein et al. 2023, arXiv 2304.05187"
SOURCE = "an extension of agd-bench's own to Jeremy Bernstein et al.: Automatic Gradient Descent. arXiv 2304.05187, 2023"
LICENCE = "MIT"

loss = square


def prepare(network: nn.Module, generator: torch.Generator, device: torch.device | None = None) -> nn.Module:
    """Initialise the network in place, drawing from `generator` only: biases 0, scales 1, all else random.

    Raises:
        Refused: a layer has parameters without a rule.
    """
    initialise(network, generator, device)
    return network


def build(network: nn.Module, steps: int, gain: float = 1.0) -> AGDAllLayers:
    """Return the optimizer, which has no schedule.

    Args:
        network: to train.
        steps: unused.
        gain: factor on every update, above 0.

    Raises:
        Refused: a layer has parameters without a rule, or the gain is out of range.
    """
    return AGDAllLayers(network, gain=gain)
