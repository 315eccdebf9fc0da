"""Build the optimizers of `dog` and `ldog`: the package's optimizer with its averager, set up as its authors recommend."""

from __future__ import annotations

import warnings
from typing import Literal

from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.optim import Optimizer

from agd_bench.optim.averaging import Averaged

with warnings.catch_warnings():  # the package's docstrings have invalid escape sequences
    warnings.simplefilter("ignore")
    from dog import DoG, LDoG, PolynomialDecayAverager


def build_averaged(network: nn.Module, kind: Literal["dog", "ldog"], weight_decay: float, gamma: float) -> Averaged:
    """Return the optimizer with the average that is evaluated.

    Args:
        network: to train.
        kind: one distance for all layers, or one per layer.
        weight_decay: L2 penalty, added to the gradient, at least 0.
        gamma: of the polynomial-decay average; a larger value averages over fewer of the last iterates.
    """
    normalised = any(isinstance(module, _BatchNorm) for module in network.modules())
    # as the package recommends: with batch normalisation, steps that begin at 1e-6 hardly grow
    base = (DoG if kind == "dog" else LDoG)(network.parameters(), reps_rel=1e-4 if normalised else 1e-6, weight_decay=weight_decay)
    # the package calls the average crucial, because nothing decays the step size
    return Averaged(base, network, PolynomialDecayAverager(network, gamma=gamma))


def rates(optimizer: Optimizer) -> list[float]:
    """Return the learning rate of each parameter's last step; empty before the first step."""
    return [float(eta) for group in optimizer.param_groups for eta in group.get("eta", ())]
