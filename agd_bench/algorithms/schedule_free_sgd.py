"""Schedule-free SGD: an average of the iterates replaces the learning-rate schedule.

Settings follow the authors: gradients are computed at one point and the average is evaluated (`train` and `eval`), with recomputed
statistics of batch normalisation; warm-up over 5 % of the steps; learning rate 1, momentum 0.9 and no weight decay are the package's
defaults. The authors consider the learning rate tunable. With a frozen rate and no schedule, it counts as learning-rate-free here.
Cross-entropy loss.
"""

from __future__ import annotations

import math
from typing import Any

from torch import nn
from torch.optim import Optimizer

from agd_bench.algorithms._captured_schedule_free import ScheduleFreeSGD
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
    """Return the optimizer in training mode.

    Args:
        network: to train.
        steps: total number of training steps, at least 1; 5 % of them are warm-up.
        learning_rate: after the warm-up, above 0.
        one_minus_momentum: weight of the newest iterate in the point at which gradients are computed, in (0, 1).
        weight_decay: L2 penalty, added to the gradient, at least 0.

    Raises:
        InputError: steps is below 1.
    """
    if steps < 1:
        raise InputError(f"steps is {steps!r}; the warm-up needs at least 1 training step")
    optimizer: Any = ScheduleFreeSGD(
        network.parameters(),
        lr=learning_rate,
        momentum=1 - one_minus_momentum,
        weight_decay=weight_decay,
        warmup_steps=math.ceil(0.05 * steps),  # the package's own: it weights the average by the rates
    )
    # the package raises if step() is called without it
    optimizer.train()
    built: Optimizer = optimizer
    return built


def diagnostics(optimizer: Optimizer) -> dict[str, float]:
    """Return `eta`, the learning rate of the last step, including warm-up."""
    return {"eta": float(optimizer.param_groups[0]["scheduled_lr"])}
