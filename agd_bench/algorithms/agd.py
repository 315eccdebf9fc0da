"""Automatic gradient descent: no learning rate, no schedule, no momentum, no weight decay; nothing to tune.

The method this benchmark is named for. Before each step it computes the learning rate from the gradients and the depth and
shape of the network, by minimising a bound on the loss (`agd_bench.optim.agd` has the formulas). It starts from
semi-orthogonal weights and trains with the square loss, as its bound and all but one of its published results do; the other,
ImageNet, used cross-entropy. The paper's batch size is 128.

It trains matrices and convolution kernels alone: networks with biases or learned normalisation scales are refused.
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
    """Initialise the network in place, from `generator` alone.

    Raises:
        Refused: a parameter that is neither a matrix nor a convolution kernel.
    """
    initialise(network, generator, device)
    return network


def build(network: nn.Module, steps: int, gain: float = 1.0) -> AGD:
    """The optimizer; it has no schedule, and the number of steps changes nothing.

    Args:
        network: what to train.
        steps: training steps in all; not used.
        gain: factor on every update, above 0; published results all have 1.

    Raises:
        Refused: a parameter that is neither a matrix nor a convolution kernel, or a gain out of range.
    """
    return AGD(network.named_parameters(), gain=gain)
