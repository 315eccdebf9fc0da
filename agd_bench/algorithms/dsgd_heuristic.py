"""Greedy layer-wise steps of duality structure gradient descent with estimated bounds, for convolutional networks; NO guarantee.

`dsgd` guarantees that each step lowers the loss of smooth fully connected networks. Here the bounds are estimated from the current forward
and backward pass (formula in `agd_bench.optim.dsgd_heuristic`), so that networks with ReLU, convolutions and normalisation can be trained;
the decrease of a step is then an estimate too. Nothing is tuned. Networks with learned normalisation scales are refused; the profile
matrix-only has none. The estimate is ours, not from the paper.
"""

from __future__ import annotations

from torch import nn

from agd_bench.optim.dsgd_heuristic import HeuristicDSGD
from agd_bench.optim.losses import cross_entropy
from agd_bench.optim.starting import as_built

RANGES: dict[str, dict[str, object]] = {}
TIER = "self-tuning"
# moduli are estimates, so the loss may rise
GUARANTEE = False
LOSSES = ("cross-entropy",)
PAPER = "heuristic after Flynn 2017, arXiv 1708.00523"
SOURCE = "Heuristic of agd-bench, without a guarantee, after Thomas Flynn: arXiv 1708.00523, 2017"
LICENCE = "MIT"

prepare = as_built
loss = cross_entropy


def build(network: nn.Module, steps: int, q: float | str = "inf", step_size: float = 1.0) -> HeuristicDSGD:
    """Return the optimizer, which has no schedule.

    Args:
        network: to train.
        steps: unused.
        q: norm of the layers: 1, 2 or `"inf"`. For 2, each step computes an SVD of every layer's gradient.
        step_size: in (0, 2); 1 promises the largest decrease.

    Raises:
        Refused: a learned scale, or another layer with parameters that is neither linear nor a convolution.
        InputError: q or step size is out of range.
    """
    return HeuristicDSGD(network, "cross-entropy", q, step_size)
