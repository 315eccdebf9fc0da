"""Prodigy: Adam whose step size is an estimate of the distance to the solution, growing as the training goes.

As its authors recommend: learning rate 1, a cosine to 0 without restarts, no warm-up (with one, their safeguard is on), no weight
decay unless asked for, no bias correction. Weight decay is decoupled and on every parameter. Cross-entropy.
"""

from __future__ import annotations

import contextlib
import io

from prodigyopt import Prodigy
from torch import nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR

from agd_bench.optim.losses import cross_entropy
from agd_bench.optim.schedules import cosine
from agd_bench.optim.starting import as_built

RANGES: dict[str, dict[str, object]] = {}
CALIBRATION = {
    "weight_decay": {"low": 1e-4, "high": 0.1, "log": True},
    "one_minus_beta1": {"low": 0.02, "high": 0.3, "log": True},
    "warm_up": {"choices": [0.0, 0.05]},
}
TIER = "learning-rate-free"
PACKAGES = ("prodigyopt",)
EXTRA = "competitors"
PAPER = "Mishchenko & Defazio 2024, arXiv 2306.06101"
SOURCE = "Konstantin Mishchenko, Aaron Defazio: Prodigy: An Expeditiously Adaptive Parameter-Free Learner. ICML 2024; package prodigyopt"
LICENCE = "MIT"

prepare = as_built
loss = cross_entropy


def build(
    network: nn.Module, steps: int, *, weight_decay: float = 0.0, one_minus_beta1: float = 0.1, warm_up: float = 0.0
) -> tuple[Optimizer, LambdaLR]:
    """The optimizer and its schedule over `steps` training steps.

    Args:
        network: what to train.
        steps: training steps in all, at least 1.
        weight_decay: share by which a weight shrinks per step and unit of learning rate, at least 0.
        one_minus_beta1: in (0, 1]: the smaller, the longer gradients are remembered.
        warm_up: share of the steps, in [0, 1).

    Raises:
        InputError: steps or warm-up out of range.
    """
    betas = (1 - one_minus_beta1, 0.999)
    with contextlib.redirect_stdout(io.StringIO()):  # it prints that weight decay is decoupled
        optimizer = Prodigy(network.parameters(), lr=1.0, betas=betas, weight_decay=weight_decay, safeguard_warmup=warm_up > 0)
    return optimizer, cosine(optimizer, steps, warm_up=warm_up)


def diagnostics(optimizer: Optimizer) -> dict[str, float]:
    """`d`, the estimate of the distance to the solution; `eta`, the rate that Adam's steps have with it."""
    group = optimizer.param_groups[0]
    return {"d": float(group["d"]), "eta": float(group["d"] * group["lr"])}
