"""Mechanic on AdamW: an online learner scales the base optimizer's displacement from the start.

Settings follow the authors: learning rate 1 with the base optimizer's schedule, here warm-up over 5 % of the steps and cosine decay to 0;
Mechanic's settings are those of all experiments in the paper (decay 0.01, six averages, initial factor 1e-8). AdamW has betas 0.9 and
0.999, and weight decay 0.01 on every parameter. Cross-entropy loss.
"""

from __future__ import annotations

from torch import nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR

from agd_bench.algorithms._mechanised import MechanisedAdamW
from agd_bench.optim.losses import cross_entropy
from agd_bench.optim.schedules import cosine
from agd_bench.optim.starting import as_built

RANGES: dict[str, dict[str, object]] = {}
CALIBRATION = {
    "weight_decay": {"low": 1e-3, "high": 1.0, "log": True},
    "one_minus_beta1": {"low": 0.02, "high": 0.3, "log": True},
}
TIER = "learning-rate-free"
PACKAGES = ("mechanic_pytorch",)
EXTRA = "competitors"
PAPER = "Cutkosky, Defazio & Mehta 2023, arXiv 2306.00144"
SOURCE = "Ashok Cutkosky, Aaron Defazio, Harsh Mehta: Mechanic: A Learning Rate Tuner. NeurIPS 2023; package mechanic-pytorch"
LICENCE = "MIT; package mechanic-pytorch: Apache-2.0"

prepare = as_built
loss = cross_entropy


def build(network: nn.Module, steps: int, *, weight_decay: float = 0.01, one_minus_beta1: float = 0.1) -> tuple[Optimizer, LambdaLR]:
    """Return the optimizer and its learning-rate schedule.

    Args:
        network: to train.
        steps: total number of training steps, at least 1.
        weight_decay: of AdamW, decoupled, at least 0.
        one_minus_beta1: 1 - beta1 of AdamW, in (0, 1].

    Raises:
        InputError: steps is below 1.
    """
    # rate 1, as the authors advise: Mechanic's factor scales it
    optimizer = MechanisedAdamW(network.parameters(), lr=1.0, betas=(1 - one_minus_beta1, 0.999), weight_decay=weight_decay)
    return optimizer, cosine(optimizer, steps, warm_up=0.05)


def diagnostics(optimizer: Optimizer) -> dict[str, float]:
    """Return `s`, the learned factor, and `eta`, the factor times AdamW's learning rate; empty before the first step."""
    factor = optimizer.factor() if isinstance(optimizer, MechanisedAdamW) else None
    return {} if factor is None else {"s": factor, "eta": factor * float(optimizer.param_groups[0]["lr"])}
