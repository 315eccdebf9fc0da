"""SGD with Nesterov momentum, and tuned learning rate, momentum, weight decay and final learning rate.

Ranges and schedule are those of AlgoPerf's archived Nesterov baseline: warm-up over 5 % of the steps, linear decay over 90 % of the rest
to `end_factor` times the peak, then constant. Weight decay applies to every parameter. AlgoPerf also tunes label smoothing and dropout,
which are omitted: they would change the loss and the network, which the comparison keeps fixed.
"""

from __future__ import annotations

import torch
from torch import nn
from torch.optim.lr_scheduler import LambdaLR

from agd_bench.optim.losses import cross_entropy
from agd_bench.optim.schedules import linear
from agd_bench.optim.starting import as_built

# AlgoPerf's archived Nesterov baseline; 1 - momentum, so that a logarithmic scale resolves values near 1
RANGES: dict[str, dict[str, object]] = {
    "learning_rate": {"low": 2e-2, "high": 5.0, "log": True},
    "one_minus_momentum": {"low": 5e-3, "high": 0.3, "log": True},
    "weight_decay": {"low": 1e-7, "high": 5e-5, "log": True},
    "end_factor": {"choices": [1e-3, 1e-2]},
}
TIER = "externally tuned"
PAPER = "Dahl et al. 2023, arXiv 2306.07179"
SOURCE = "MLCommons AlgoPerf, archived paper baselines, Nesterov (ranges, Apache-2.0); George Dahl et al., arXiv 2306.07179, 2023"
LICENCE = "MIT"

prepare = as_built
loss = cross_entropy


def build(
    network: nn.Module,
    steps: int,
    *,
    learning_rate: float,
    one_minus_momentum: float,
    weight_decay: float,
    end_factor: float,
) -> tuple[torch.optim.SGD, LambdaLR]:
    """Return the optimizer and its learning-rate schedule.

    Args:
        network: to train.
        steps: total number of training steps, at least 1.
        learning_rate: peak value, at least 0.
        one_minus_momentum: in [0, 1): the smaller, the longer gradients are remembered.
        weight_decay: L2 penalty, added to the gradient, at least 0.
        end_factor: last learning rate over the peak, in [0, 1].

    Raises:
        InputError: steps or end factor out of range.
    """
    momentum = 1 - one_minus_momentum
    optimizer = torch.optim.SGD(
        network.parameters(), lr=learning_rate, momentum=momentum, nesterov=True, weight_decay=weight_decay, fused=True
    )
    return optimizer, linear(optimizer, steps, warm_up=0.05, decay=0.9, end_factor=end_factor)
