"""AdamW with torch's default settings, a warm-up and a cosine schedule.

A frozen baseline: one setting for every network and data set. Learning rate 1e-3, betas 0.9 and 0.999 and weight decay 1e-2 are the
defaults of torch.optim.AdamW, not chosen for image classifiers. The schedule, warm-up over 5 % of the steps and cosine decay to 0, is that
of AlgoPerf's AdamW baseline. Weight decay applies to every parameter; cross-entropy loss.
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
PAPER = "Loshchilov & Hutter 2019, arXiv 1711.05101"
SOURCE = "Ilya Loshchilov, Frank Hutter: Decoupled Weight Decay Regularization. ICLR 2019; defaults of torch.optim.AdamW"
LICENCE = "MIT"

prepare = as_built
loss = cross_entropy


def build(network: nn.Module, steps: int) -> tuple[torch.optim.AdamW, LambdaLR]:
    """Return the optimizer and its learning-rate schedule.

    Raises:
        InputError: steps is below 1.
    """
    # torch's defaults, so that nothing is chosen for these data sets
    optimizer = torch.optim.AdamW(network.parameters(), lr=1e-3, betas=(0.9, 0.999), weight_decay=1e-2, fused=True)
    # warm-up as in AlgoPerf's AdamW baseline
    return optimizer, cosine(optimizer, steps, warm_up=0.05)
