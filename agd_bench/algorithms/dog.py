"""Distance over gradients: SGD whose rate is the distance from the start over the root of all squared gradients.

As its authors ask: no schedule, the polynomially decaying average of the iterates is evaluated, after statistics of batch
normalisation were computed anew for it; the initial distance is 1e-4 of the weights' size in networks with batch normalisation and
1e-6 in others. No weight decay unless asked for. Cross-entropy.
"""

from __future__ import annotations

from torch import nn
from torch.optim import Optimizer

from agd_bench.algorithms._averaged_dog import build_averaged, rates
from agd_bench.optim.losses import cross_entropy
from agd_bench.optim.starting import as_built

RANGES: dict[str, dict[str, object]] = {}
CALIBRATION = {
    "weight_decay": {"low": 1e-5, "high": 1e-2, "log": True},
    "gamma": {"low": 2.0, "high": 32.0, "log": True},
}
TIER = "learning-rate-free"
PACKAGES = ("dog",)
EXTRA = "competitors"
PAPER = "Ivgi, Hinder & Carmon 2023, arXiv 2302.12022"
SOURCE = "Maor Ivgi, Oliver Hinder, Yair Carmon: DoG is SGD's Best Friend. ICML 2023; package dog-optimizer"
LICENCE = "MIT"

prepare = as_built
loss = cross_entropy


def build(network: nn.Module, steps: int, *, weight_decay: float = 0.0, gamma: float = 8.0) -> Optimizer:
    """The optimizer with its average; it has no schedule, and the number of steps changes nothing.

    Args:
        network: what to train.
        steps: training steps in all; not used.
        weight_decay: coefficient of the weights in the gradient, at least 0.
        gamma: of the polynomial average, above 0: the larger, the fewer of the last iterates are in it.
    """
    return build_averaged(network, "dog", weight_decay, gamma)


def diagnostics(optimizer: Optimizer) -> dict[str, float]:
    """`eta`, the rate of the last step; empty before the first."""
    told = rates(optimizer)
    return {"eta": told[0]} if told else {}
