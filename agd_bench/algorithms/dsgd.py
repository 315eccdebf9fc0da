"""Duality structure gradient descent (DSGD) with the square loss: each step updates one layer, with a guaranteed decrease.

Each step bounds the decrease of the batch loss that an update of every layer would give, and updates the best one (formulas in
`agd_bench.optim.dsgd`). Nothing is tuned: the step size follows from the bound. It trains chains of fully connected layers with tanh,
sigmoid or softsign between them, with or without biases; other networks are refused. The guarantee holds for the loss of the step's batch,
so for the whole training loss only with full batches.

The bounds are conservative, so training is slow. `dsgd_cross_entropy` is the same method with cross-entropy.
"""

from __future__ import annotations

import torch
from torch import nn

from agd_bench.optim import dsgd
from agd_bench.optim.chains import read_chain
from agd_bench.optim.losses import square

RANGES: dict[str, dict[str, object]] = {}
TIER = "self-tuning"
# for the loss of each step's batch; for the whole training loss with full batches only
GUARANTEE = True
# the bounds hold for this loss only
LOSSES = ("square",)
PAPER = "Flynn 2017, arXiv 1708.00523"
SOURCE = "Thomas Flynn: The duality structure gradient descent algorithm. arXiv 1708.00523, 2017 (constants derived anew)"
LICENCE = "MIT"

loss = square


def prepare(network: nn.Module, generator: torch.Generator) -> nn.Module:
    """Return the network with the weights that it was built with.

    Raises:
        Refused: no guarantee is known for the network.
    """
    read_chain(network)
    return network


def build(network: nn.Module, steps: int, q: float | str = "inf", step_size: float = 1.0) -> dsgd.DSGD:
    """Return the optimizer, which has no schedule.

    Args:
        network: to train.
        steps: unused.
        q: norm of the layers: 1, 2 or `"inf"`. For 2, each step computes an SVD of every layer's gradient.
        step_size: in (0, 2); 1 gives the largest guaranteed decrease.

    Raises:
        Refused: no guarantee is known for the network.
        InputError: q or step size is out of range.
    """
    return dsgd.DSGD(network, "square", q, step_size)
