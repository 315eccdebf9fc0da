"""Duality structure gradient descent with cross-entropy: one layer a step, and a decrease that is guaranteed.

As `dsgd`, whose docstring says what is trained and what is guaranteed, with the loss that the other algorithms train with.
Its two constants, the largest first and second derivatives of cross-entropy, hold for all logits. The source treats the
square loss; this is an extension of ours.
"""

from __future__ import annotations

from torch import nn

from agd_bench.algorithms.dsgd import prepare
from agd_bench.optim import dsgd
from agd_bench.optim.losses import cross_entropy

__all__ = ["build", "loss", "prepare"]

RANGES: dict[str, dict[str, object]] = {}
TIER = "self-tuning"
GUARANTEE = True
LOSSES = ("cross-entropy",)
PAPER = "extension of Flynn 2017, arXiv 1708.00523"
SOURCE = "Extension of Thomas Flynn: The duality structure gradient descent algorithm. arXiv 1708.00523, 2017"
LICENCE = "MIT"

loss = cross_entropy


def build(network: nn.Module, steps: int, q: float | str = "inf", step_size: float = 1.0) -> dsgd.DSGD:
    """The optimizer; it has no schedule, and the number of steps changes nothing.

    Args:
        network: what to train.
        steps: training steps in all; not used.
        q: which norm the layers carry: 1, 2 or `"inf"`; 2 factors every layer's gradient at each step.
        step_size: in (0, 2); 1 gives the largest guaranteed decrease.

    Raises:
        Refused: a network without a guarantee.
        InputError: q or step size is out of range.
    """
    return dsgd.DSGD(network, "cross-entropy", q, step_size)
