"""Duality structure gradient descent (DSGD) with cross-entropy: each step updates one layer, with a guaranteed decrease.

Like `dsgd`, which describes the networks and the guarantee, but with the loss of the other algorithms. This is our extension; the paper
treats the square loss. The two constants, bounds on the first and second derivatives of cross-entropy, hold for all logits.
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
    """Return the optimizer, which has no schedule.

    Args:
        network: to train.
        steps: unused.
        q: norm of the layers: 1, 2 or `"inf"`. For 2, each step computes an SVD of every layer's gradient.
        step_size: in (0, 2); 1 gives the largest guaranteed decrease.

    Raises:
        Refused: no guarantee is known for the network.
        InputError: q or step size is out of range.
    """
    return dsgd.DSGD(network, "cross-entropy", q, step_size)
