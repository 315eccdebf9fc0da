"""SGD at a constant rate with the square loss, from torch's default weights: a baseline of the paper on automatic gradient descent.

What that paper compares with: a rate of the grid 1e-5, 1e-4, …, 1e-1, or 0.1, which it calls the default, and nothing else: no
momentum, no weight decay, no schedule. With which weights its SGD began is not
written there; here they are uniform in ± 1 / sqrt(inputs of a unit), as torch builds linear layers and convolutions, whatever
initialisation a search space gives them.
"""

from __future__ import annotations

import torch
from torch import nn

from agd_bench.algorithms._default_weights import draw_default_weights
from agd_bench.optim.losses import square

RANGES: dict[str, dict[str, object]] = {"learning_rate": {"choices": [1e-5, 1e-4, 1e-3, 1e-2, 1e-1]}}
TIER = "externally tuned"
PAPER = "baseline of Bernstein et al. 2023, arXiv 2304.05187"
SOURCE = "Jeremy Bernstein, Chris Mingard, Kevin Huang, Navid Azizan, Yisong Yue: Automatic Gradient Descent. arXiv 2304.05187, 2023"
LICENCE = "MIT"

prepare = draw_default_weights
loss = square


def build(network: nn.Module, steps: int, *, learning_rate: float) -> torch.optim.SGD:
    """The optimizer; it has no schedule, and the number of steps changes nothing.

    Args:
        network: what to train.
        steps: training steps in all; not used.
        learning_rate: of every step, at least 0.
    """
    return torch.optim.SGD(network.parameters(), lr=learning_rate, fused=True)
