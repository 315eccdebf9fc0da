"""SGD with Nesterov momentum and a step schedule: the recipe of Wide ResNets, frozen.

A common recipe for image classifiers since 2016, used here as a frozen baseline with one setting for every network and data set. The
learning rate is 0.1, multiplied by 0.2 after 30, 60 and 80 % of the steps (epochs 60, 120 and 160 of 200 in the paper); momentum 0.9,
weight decay 5e-4 on every parameter, cross-entropy. The paper's batch size is 128.
"""

from __future__ import annotations

import torch
from torch import nn
from torch.optim.lr_scheduler import LambdaLR

from agd_bench.optim.losses import cross_entropy
from agd_bench.optim.schedules import staircase
from agd_bench.optim.starting import as_built

RANGES: dict[str, dict[str, object]] = {}
TIER = "self-tuning"
PAPER = "Zagoruyko & Komodakis 2016, arXiv 1605.07146"
SOURCE = "Sergey Zagoruyko, Nikos Komodakis: Wide Residual Networks. BMVC 2016, section 3"
LICENCE = "MIT"

prepare = as_built
loss = cross_entropy


def build(network: nn.Module, steps: int) -> tuple[torch.optim.SGD, LambdaLR]:
    """Return the optimizer and its learning-rate schedule.

    Raises:
        InputError: steps is below 1.
    """
    optimizer = torch.optim.SGD(network.parameters(), lr=0.1, momentum=0.9, nesterov=True, weight_decay=5e-4, fused=True)
    # epochs 60, 120 and 160 of 200 in the paper, section 3
    return optimizer, staircase(optimizer, steps, drops=(0.3, 0.6, 0.8), drop_factor=0.2)
