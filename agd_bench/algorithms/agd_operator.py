"""Automatic gradient descent by the operator norm: the paper's bound without its assumption on the gradients' rank; nothing to tune.

Our variant, not the paper's method (that is `agd`). Each matrix still moves along its gradient, but as far as the gradient's largest
singular value allows, where `agd` takes its Frobenius norm for that value. Networks, initialisation and loss are as for
`agd`; the optimizer's step takes 50 to 200 times as long, because singular values are computed exactly
(`agd_bench.optim.matrix_norms`).
"""

from __future__ import annotations

from torch import nn

from agd_bench.algorithms.agd import loss, prepare
from agd_bench.optim.agd import AGD

__all__ = ["build", "loss", "prepare"]

RANGES: dict[str, dict[str, object]] = {}
TIER = "self-tuning"
PAPER = "variant of Bernstein et al. 2023, arXiv 2304.05187"
SOURCE = "a variant of agd-bench's own, after the appendix of Jeremy Bernstein et al.: Automatic Gradient Descent. arXiv 2304.05187, 2023"
LICENCE = "MIT"


def build(network: nn.Module, steps: int, gain: float = 1.0) -> AGD:
    """The optimizer; it has no schedule, and the number of steps changes nothing.

    Args:
        network: what to train.
        steps: training steps in all; not used.
        gain: factor on every update, above 0.

    Raises:
        Refused: a parameter that is neither a matrix nor a convolution kernel, or a gain out of range.
    """
    return AGD(network.named_parameters(), gain=gain, norm="operator")
