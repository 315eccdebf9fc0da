"""Duality structure gradient descent with the square loss: one layer a step, and a decrease that is guaranteed.

Each step bounds, for every layer, by how much a step along it lowers the loss of the batch, and takes the best
(`agd_bench.optim.dsgd` has the formulas). Nothing is tuned: the step size follows from the bound. It trains chains of fully
connected layers with tanh, sigmoid or softsign after each but the last, with biases or without; other networks are refused.
The guarantee is for the loss of the batch that the step was given, the whole training split where the batch holds it.

The bounds are conservative, so that training is slow; `dsgd_cross_entropy` is the same with the other loss.
"""

from __future__ import annotations

import torch
from torch import nn

from agd_bench.optim import dsgd
from agd_bench.optim.chains import read_chain
from agd_bench.optim.losses import square

RANGES: dict[str, dict[str, object]] = {}
TIER = "self-tuning"
GUARANTEE = True
LOSSES = ("square",)
PAPER = "Flynn 2017, arXiv 1708.00523"
SOURCE = "Thomas Flynn: The duality structure gradient descent algorithm. arXiv 1708.00523, 2017 (constants derived anew)"
LICENCE = "MIT"

loss = square


def prepare(network: nn.Module, generator: torch.Generator) -> nn.Module:
    """Keep the initialisation that the network was built with; nothing is drawn from `generator`.

    Raises:
        Refused: a network without a guarantee.
    """
    read_chain(network)
    return network


def build(network: nn.Module, steps: int, q: float | str = "inf", step_size: float = 1.0) -> dsgd.DSGD:
    """The optimizer; it has no schedule, and the number of steps changes nothing.

    Args:
        network: what to train.
        steps: training steps in all; not used.
        q: which norm the layers carry: 1, 2 or `"inf"`; 2 factors every layer's gradient at each step.
        step_size: in (0, 2); 1 gives the largest guaranteed decrease.

    Raises:
        Refused: a network without a guarantee.
        InputError: q or step size is out of range.
    """
    return dsgd.DSGD(network, "square", q, step_size)
