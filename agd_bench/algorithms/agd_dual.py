"""Automatic gradient descent in the dual norm: the steepest descent direction of the paper's bound; nothing to tune.

This is our variant; `agd` is the paper's method. Each matrix moves along U V^T, the orthogonal factor of its gradient, and the gradient
summary adds nuclear norms. This minimises the paper's bound without an assumption on the rank of gradients. Networks, initialisation and
loss are those of `agd`. A step takes 110 to 300 times as long, because the decompositions are exact (`agd_bench.optim.matrix_norms`).
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
    """Return the optimizer, which has no schedule.

    Args:
        network: to train.
        steps: unused.
        gain: factor on every update, above 0.

    Raises:
        Refused: a parameter is neither a matrix nor a convolution kernel, or the gain is out of range.
    """
    # named, so that messages and diagnostics have names
    return AGD(network.named_parameters(), gain=gain, norm="dual")
