"""The greedy step of duality structure gradient descent with guessed bounds: NO guarantee, for any convolution network.

`dsgd` guarantees that each step lowers the loss, for smooth fully connected networks. Here the bounds are guesses from the
pass at hand (`agd_bench.optim.dsgd_heuristic` has the formula), so that networks with ReLU, convolutions and normalisation
train too; what a step promises is then an estimate. Nothing is tuned. Learned normalisation scales are refused: the
matrix-only profile has none. The guess is an invention of this benchmark, and no result of the source.
"""

from __future__ import annotations

from torch import nn

from agd_bench.optim.dsgd_heuristic import HeuristicDSGD
from agd_bench.optim.losses import cross_entropy
from agd_bench.optim.starting import as_built

RANGES: dict[str, dict[str, object]] = {}
TIER = "self-tuning"
GUARANTEE = False
LOSSES = ("cross-entropy",)
PAPER = "heuristic after Flynn 2017, arXiv 1708.00523"
SOURCE = "Heuristic of agd-bench, without a guarantee, after Thomas Flynn: arXiv 1708.00523, 2017"
LICENCE = "MIT"

prepare = as_built
loss = cross_entropy


def build(network: nn.Module, steps: int, q: float | str = "inf", step_size: float = 1.0) -> HeuristicDSGD:
    """The optimizer; it has no schedule, and the number of steps changes nothing.

    Args:
        network: what to train.
        steps: training steps in all; not used.
        q: which norm the layers carry: 1, 2 or `"inf"`; 2 factors every layer's gradient at each step.
        step_size: in (0, 2); 1 promises the largest decrease.

    Raises:
        Refused: a learned scale, or another layer with parameters that is neither linear nor a convolution.
        InputError: q or step size is out of range.
    """
    return HeuristicDSGD(network, "cross-entropy", q, step_size)
