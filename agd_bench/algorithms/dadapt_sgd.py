"""D-Adaptation of SGD: the learning rate is a lower bound on the distance to the solution over the size of the first gradient.

As its authors recommend: learning rate 1, and the schedule that one would use with SGD, here a cosine to 0 without a warm-up (its
first step divides by the gradient's size times the rate, which must not be 0). Momentum 0.9 and weight decay 1e-4, on every
parameter, as in the paper's experiments with CIFAR. Cross-entropy.
"""

from __future__ import annotations

from dadaptation import DAdaptSGD
from torch import nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR

from agd_bench.optim.losses import cross_entropy
from agd_bench.optim.schedules import cosine
from agd_bench.optim.starting import as_built

RANGES: dict[str, dict[str, object]] = {}
CALIBRATION = {
    "weight_decay": {"low": 1e-5, "high": 1e-2, "log": True},
    "one_minus_momentum": {"low": 0.02, "high": 0.3, "log": True},
}
TIER = "learning-rate-free"
PACKAGES = ("dadaptation",)
EXTRA = "competitors"
PAPER = "Defazio & Mishchenko 2023, arXiv 2301.07733"
SOURCE = "Aaron Defazio, Konstantin Mishchenko: Learning-Rate-Free Learning by D-Adaptation. ICML 2023; package dadaptation"
LICENCE = "MIT"

prepare = as_built
loss = cross_entropy


def build(network: nn.Module, steps: int, *, weight_decay: float = 1e-4, one_minus_momentum: float = 0.1) -> tuple[Optimizer, LambdaLR]:
    """The optimizer and its schedule over `steps` training steps.

    Args:
        network: what to train.
        steps: training steps in all, at least 1.
        weight_decay: coefficient of the weights in the gradient, at least 0.
        one_minus_momentum: in (0, 1]: the smaller, the longer gradients are remembered.

    Raises:
        InputError: fewer than one step.
    """
    optimizer = DAdaptSGD(network.parameters(), lr=1.0, momentum=1 - one_minus_momentum, weight_decay=weight_decay)
    return optimizer, cosine(optimizer, steps)


def diagnostics(optimizer: Optimizer) -> dict[str, float]:
    """`d`, the bound on the distance to the solution; `eta`, the rate of its steps: d over the size of the first gradient."""
    group = optimizer.param_groups[0]
    return {"d": float(group["d"]), "eta": float(group["d"] * group["lr"] / group["g0_norm"]) if group.get("g0_norm") else 0.0}
