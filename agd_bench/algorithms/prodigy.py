"""Prodigy: Adam whose step size is an estimate of the distance to the solution, which increases during training.

Settings follow the authors: learning rate 1, cosine decay to 0 without restarts, no bias correction, and no warm-up (with one, their
safeguard is enabled). Weight decay is 0 by default, decoupled, and applies to every parameter. Cross-entropy loss.
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
    """Return the optimizer and its learning-rate schedule.

    Args:
        network: to train.
        steps: total number of training steps, at least 1.
        weight_decay: decoupled, at least 0: each step scales weights by 1 - rate * weight_decay.
        one_minus_beta1: 1 - beta1 of the first moment, in (0, 1].
        warm_up: fraction of the steps, in [0, 1).

    Raises:
        InputError: steps or warm_up is out of range.
    """
    betas = (1 - one_minus_beta1, 0.999)
    with contextlib.redirect_stdout(io.StringIO()):  # the package prints that weight decay is decoupled
        # as the package advises: slow progress at the small rates of a warm-up makes it overestimate d
        optimizer = Prodigy(network.parameters(), lr=1.0, betas=betas, weight_decay=weight_decay, safeguard_warmup=warm_up > 0)
    return optimizer, cosine(optimizer, steps, warm_up=warm_up)


def diagnostics(optimizer: Optimizer) -> dict[str, float]:
    """Return `d`, the estimated distance to the solution, and `eta`, the resulting learning rate of Adam."""
    group = optimizer.param_groups[0]
    return {"d": float(group["d"]), "eta": float(group["d"] * group["lr"])}
