"""Schedule-free SGD: no schedule and no number of steps to know, because the answer is an average of the iterates.

As its authors ask: gradients are taken at one point and the average is evaluated (`train` and `eval`), after statistics of
batch normalisation were computed anew for it; a warm-up, which they recommend, over 5 % of the steps. At the defaults of their
package: learning rate 1, momentum 0.9, no weight decay. The authors say that it has a rate to be tuned; frozen, it counts
as learning-rate-free here, as it has no schedule. Cross-entropy.
"""

from __future__ import annotations

import math
from typing import Any

from schedulefree import SGDScheduleFree
from torch import nn
from torch.optim import Optimizer

from agd_bench.errors import InputError
from agd_bench.optim.losses import cross_entropy
from agd_bench.optim.starting import as_built

RANGES: dict[str, dict[str, object]] = {}
CALIBRATION = {
    "learning_rate": {"low": 0.1, "high": 20.0, "log": True},
    "one_minus_momentum": {"low": 0.02, "high": 0.2, "log": True},
    "weight_decay": {"low": 1e-5, "high": 1e-3, "log": True},
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
    network: nn.Module, steps: int, *, learning_rate: float = 1.0, one_minus_momentum: float = 0.1, weight_decay: float = 0.0
) -> Optimizer:
    """The optimizer, in training mode.

    Args:
        network: what to train.
        steps: training steps in all, at least 1; the warm-up takes 5 % of them.
        learning_rate: after the warm-up, above 0.
        one_minus_momentum: in (0, 1): how much of the newest iterate is in the point where gradients are taken.
        weight_decay: coefficient of the weights in the gradient, at least 0.

    Raises:
        InputError: fewer than one step.
    """
    if steps < 1:
        raise InputError(f"steps is {steps!r}; the warm-up needs at least 1 training step")
    optimizer: Any = SGDScheduleFree(
        network.parameters(),
        lr=learning_rate,
        momentum=1 - one_minus_momentum,
        weight_decay=weight_decay,
        warmup_steps=math.ceil(0.05 * steps),
    )
    optimizer.train()
    built: Optimizer = optimizer
    return built


def diagnostics(optimizer: Optimizer) -> dict[str, float]:
    """`eta`, the rate of the last step, the warm-up in it."""
    return {"eta": float(optimizer.param_groups[0]["scheduled_lr"])}
