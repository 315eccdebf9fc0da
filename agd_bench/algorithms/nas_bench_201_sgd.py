"""SGD with the training recipe of NAS-Bench-201 and NATS-Bench, behind their published accuracies.

A baseline that can be compared with the benchmark's own tables. Learning rate 0.1 with cosine decay to 0 and no warm-up; Nesterov momentum
0.9, weight decay 5e-4 on every parameter, cross-entropy. The benchmark trains 12 or 200 epochs with batch size 256, flips, and crops with
a padding of 4; these are settings of the sweep.
"""

from __future__ import annotations

import torch
from torch import nn
from torch.optim.lr_scheduler import LambdaLR

from agd_bench.optim.losses import cross_entropy
from agd_bench.optim.schedules import cosine
from agd_bench.optim.starting import as_built

RANGES: dict[str, dict[str, object]] = {}
TIER = "self-tuning"
PAPER = "Dong & Yang 2020, arXiv 2001.00326"
SOURCE = "Xuanyi Dong, Yi Yang: NAS-Bench-201: Extending the Scope of Reproducible Neural Architecture Search. ICLR 2020"
LICENCE = "MIT"

prepare = as_built
loss = cross_entropy


def build(network: nn.Module, steps: int) -> tuple[torch.optim.SGD, LambdaLR]:
    """Return the optimizer and its learning-rate schedule.

    Raises:
        InputError: steps is below 1.
    """
    # Dong and Yang, training recipe of the tables
    optimizer = torch.optim.SGD(network.parameters(), lr=0.1, momentum=0.9, nesterov=True, weight_decay=5e-4, fused=True)
    return optimizer, cosine(optimizer, steps)
