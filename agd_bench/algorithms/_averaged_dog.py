"""What `dog` and `ldog` share: the package's optimizers with its averager, treated as its authors ask."""

from __future__ import annotations

import warnings
from typing import Literal

from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.optim import Optimizer

from agd_bench.optim.averaging import Averaged

with warnings.catch_warnings():  # its docstrings hold invalid escape sequences
    warnings.simplefilter("ignore")
    from dog import DoG, LDoG, PolynomialDecayAverager


def build_averaged(network: nn.Module, kind: Literal["dog", "ldog"], weight_decay: float, gamma: float) -> Averaged:
    """The optimizer and the average that is evaluated; initial distance 1e-4 with batch normalisation and 1e-6 without.

    Args:
        network: what to train.
        kind: one distance for all layers, or one for each.
        weight_decay: coefficient of the weights in the gradient, at least 0.
        gamma: of the polynomial average: the larger, the fewer of the last iterates are in it.
    """
    normalised = any(isinstance(module, _BatchNorm) for module in network.modules())
    base = (DoG if kind == "dog" else LDoG)(network.parameters(), reps_rel=1e-4 if normalised else 1e-6, weight_decay=weight_decay)
    return Averaged(base, network, PolynomialDecayAverager(network, gamma=gamma))


def rates(optimizer: Optimizer) -> list[float]:
    """The rate of each parameter's last step; empty before the first one."""
    return [float(eta) for group in optimizer.param_groups for eta in group.get("eta", ())]
