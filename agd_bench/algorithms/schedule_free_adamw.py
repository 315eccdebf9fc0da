"""Schedule-free AdamW: no schedule and no number of steps to know, because the answer is an average of the iterates.

As its authors ask: gradients are taken at one point and the average is evaluated (`train` and `eval`), after statistics of
batch normalisation were computed anew for it; a warm-up, which they recommend, over 5 % of the steps. At the defaults of their
package: learning rate 0.0025, betas 0.9 and 0.999, no weight decay. The authors say that it has a rate to be tuned; frozen, it counts
as learning-rate-free here, as it has no schedule. Cross-entropy.
"""

from __future__ import annotations

import math
from typing import Any

from schedulefree import AdamWScheduleFree
from torch import nn
from torch.optim import Optimizer

from agd_bench.errors import InputError
from agd_bench.optim.losses import cross_entropy
from agd_bench.optim.starting import as_built

RANGES: dict[str, dict[str, object]] = {}
CALIBRATION = {
    "learning_rate": {"low": 5e-4, "high": 2e-2, "log": True},
    "one_minus_beta1": {"low": 0.02, "high": 0.2, "log": True},
    "weight_decay": {"low": 1e-3, "high": 0.2, "log": True},
}
TIER = "learning-rate-free"
PACKAGES = ("schedulefree",)
EXTRA = "competitors"
PAPER = "Defazio et al. 2024, arXiv 2405.15682"
SOURCE = (
    "Aaron Defazio, Xingyu Yang, Ahmed Khaled, Konstantin Mishchenko, Harsh Mehta, Ashok Cutkosky: The Road Less Scheduled. NeurIPS 2024"
)
LICENCE = "MIT; package schedulefree: Apache-2.0"

prepare = as_built
loss = cross_entropy


def build(
    network: nn.Module, steps: int, *, learning_rate: float = 0.0025, one_minus_beta1: float = 0.1, weight_decay: float = 0.0
) -> Optimizer:
    """The optimizer, in training mode.

    Args:
        network: what to train.
        steps: training steps in all, at least 1; the warm-up takes 5 % of them.
        learning_rate: after the warm-up, above 0.
        one_minus_beta1: in (0, 1): how much of the newest iterate is in the point where gradients are taken.
        weight_decay: share by which a weight shrinks per step and unit of learning rate, at least 0.

    Raises:
        InputError: fewer than one step.
    """
    if steps < 1:
        raise InputError(f"steps is {steps!r}; the warm-up needs at least 1 training step")
    optimizer: Any = AdamWScheduleFree(
        network.parameters(),
        lr=learning_rate,
        betas=(1 - one_minus_beta1, 0.999),
        weight_decay=weight_decay,
        warmup_steps=math.ceil(0.05 * steps),
    )
    optimizer.train()
    built: Optimizer = optimizer
    return built


def diagnostics(optimizer: Optimizer) -> dict[str, float]:
    """`eta`, the rate of the last step, the warm-up in it."""
    return {"eta": float(optimizer.param_groups[0]["scheduled_lr"])}
