"""SGD as NAS-Bench-201 and NATS-Bench trained their networks: the recipe behind their published accuracies.

A baseline whose results can be held against the benchmark's own tables. Learning rate 0.1, falling along a cosine to 0 over
all steps, without warm-up; Nesterov's momentum 0.9, weight decay 5e-4 on every parameter, cross-entropy. The benchmark's batch
size is 256, its epochs 12 or 200, its augmentation flips and crops with a padding of 4; those belong to the sweep.
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
    """The optimizer and its schedule over `steps` training steps.

    Raises:
        InputError: fewer than one step.
    """
    optimizer = torch.optim.SGD(network.parameters(), lr=0.1, momentum=0.9, nesterov=True, weight_decay=5e-4, fused=True)
    return optimizer, cosine(optimizer, steps)
