"""Reinitialise a network with torch's default weights."""

from __future__ import annotations

import math

import torch
from torch import nn


@torch.no_grad()
def draw_default_weights(network: nn.Module, generator: torch.Generator) -> nn.Module:
    """Draw weights and biases of linear layers and convolutions in place, uniform in ± 1 / sqrt(fan-in).

    Args:
        network: other layers stay unchanged.
        generator: of all random numbers.
    """
    for module in network.modules():
        if isinstance(module, nn.Linear | nn.Conv1d | nn.Conv2d | nn.Conv3d):
            # torch's kaiming_uniform_(a=√5), drawn from our generator
            bound = 1 / math.sqrt(module.weight[0].numel())
            for tensor in (module.weight, module.bias):
                if tensor is not None:
                    tensor.uniform_(-bound, bound, generator=generator)
    return network
