"""Distance over gradients (DoG): SGD whose learning rate is the distance from the start over the root of the summed squared gradients.

Settings follow the authors: no schedule; the polynomial-decay average of the iterates is evaluated, with recomputed statistics of batch
normalisation; the initial distance is 1e-4 (with batch normalisation) or 1e-6 (without) times 1 + the norm of the weights. Weight decay is
0 by default. Cross-entropy loss.
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
    """Return the optimizer with iterate averaging; it has no schedule.

    Args:
        network: to train.
        steps: unused.
        weight_decay: L2 penalty, added to the gradient, at least 0.
        gamma: of the polynomial-decay average, above 0; a larger value averages over fewer of the last iterates.
    """
    return build_averaged(network, "dog", weight_decay, gamma)


def diagnostics(optimizer: Optimizer) -> dict[str, float]:
    """Return `eta`, the learning rate of the last step; empty before the first step."""
    told = rates(optimizer)
    return {"eta": told[0]} if told else {}
