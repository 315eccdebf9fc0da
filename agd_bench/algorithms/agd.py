"""Automatic gradient descent (AGD): no learning rate, schedule, momentum or weight decay; nothing to tune.

The method that this benchmark is named after. Each step computes its learning rate from the gradients and the depth and shape of the
network, by minimising a bound on the loss (formulas in `agd_bench.optim.agd`). Weights start semi-orthogonal. The loss is the square loss,
for which the bound and all published results but one hold; ImageNet used cross-entropy. The paper's batch size is 128.

AGD trains matrices and convolution kernels only. Networks with biases or learned normalisation scales are refused.
"""

from __future__ import annotations

import torch
from torch import nn

from agd_bench.optim.agd import AGD, initialise
from agd_bench.optim.losses import square

RANGES: dict[str, dict[str, object]] = {}
TIER = "self-tuning"
PAPER = "Bernstein et al. 2023, arXiv 2304.05187"
SOURCE = "Jeremy Bernstein, Chris Mingard, Kevin Huang, Navid Azizan, Yisong Yue: Automatic Gradient Descent. arXiv 2304.05187, 2023"
LICENCE = "MIT"

loss = square


def prepare(network: nn.Module, generator: torch.Generator, device: torch.device | None = None) -> nn.Module:
    """Initialise the network in place, drawing from `generator` only.

    Raises:
        Refused: a parameter is neither a matrix nor a convolution kernel.
    """
    initialise(network, generator, device)
    return network


def build(network: nn.Module, steps: int, gain: float = 1.0) -> AGD:
    """Return the optimizer, which has no schedule.

    Args:
        network: to train.
        steps: unused.
        gain: factor on every update, above 0; 1 in all published results.

    Raises:
        Refused: a parameter is neither a matrix nor a convolution kernel, or the gain is out of range.
    """
    return AGD(network.named_parameters(), gain=gain)
