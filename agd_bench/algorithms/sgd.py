"""SGD with Nesterov's momentum and a learning rate that drops three times: the Wide-ResNet recipe, frozen.

What most image classifiers were trained with from 2016 on, and a baseline that nobody tunes here: one setting for every
network and data set. Learning rate 0.1, times 0.2 after 30, 60 and 80 % of the steps (the paper's epochs 60, 120 and 160 of
200), momentum 0.9, weight decay 5e-4 on every parameter, cross-entropy. The paper's batch size is 128.
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
    """The optimizer and its schedule over `steps` training steps.

    Raises:
        InputError: fewer than one step.
    """
    optimizer = torch.optim.SGD(network.parameters(), lr=0.1, momentum=0.9, nesterov=True, weight_decay=5e-4, fused=True)
    return optimizer, staircase(optimizer, steps, drops=(0.3, 0.6, 0.8), drop_factor=0.2)
