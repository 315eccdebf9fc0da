"""D-Adaptation for SGD: the learning rate is a lower bound on the distance to the solution, divided by the norm of the first gradient.

Settings follow the authors: learning rate 1 and the usual schedule for SGD, here cosine decay to 0. There is no warm-up, because the first
step divides by the rate times the gradient norm. Momentum 0.9 and weight decay 1e-4 on every parameter are those of the paper's CIFAR
experiments. Cross-entropy loss.
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
    """Return the optimizer and its learning-rate schedule.

    Args:
        network: to train.
        steps: total number of training steps, at least 1.
        weight_decay: L2 penalty, added to the gradient, at least 0.
        one_minus_momentum: 1 - momentum, in (0, 1].

    Raises:
        InputError: steps is below 1.
    """
    # momentum and weight decay of the paper's CIFAR experiments
    optimizer = DAdaptSGD(network.parameters(), lr=1.0, momentum=1 - one_minus_momentum, weight_decay=weight_decay)
    # no warm-up: its first rate is 0, by which the package divides
    return optimizer, cosine(optimizer, steps)


def diagnostics(optimizer: Optimizer) -> dict[str, float]:
    """Return `d`, the bound on the distance to the solution, and `eta`, the learning rate: d over the norm of the first gradient."""
    group = optimizer.param_groups[0]
    return {"d": float(group["d"]), "eta": float(group["d"] * group["lr"] / group["g0_norm"]) if group.get("g0_norm") else 0.0}
