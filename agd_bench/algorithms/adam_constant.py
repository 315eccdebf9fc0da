"""Adam with a constant learning rate and the square loss: a baseline of the paper on automatic gradient descent.

As in that paper, the learning rate comes from the grid 1e-5, 1e-4, …, 1e-1, with betas 0.9 and 0.999, no weight decay and no schedule.
The paper does not state the initial weights; here they are torch's defaults for linear layers and convolutions, uniform in
± 1 / sqrt(fan-in), whatever the search space's initialisation is.
"""

from __future__ import annotations

import torch
from torch import nn

from agd_bench.algorithms._default_weights import draw_default_weights
from agd_bench.optim.losses import square

# grid of the paper
RANGES: dict[str, dict[str, object]] = {"learning_rate": {"choices": [1e-5, 1e-4, 1e-3, 1e-2, 1e-1]}}
TIER = "externally tuned"
PAPER = "baseline of Bernstein et al. 2023, arXiv 2304.05187"
SOURCE = "Jeremy Bernstein, Chris Mingard, Kevin Huang, Navid Azizan, Yisong Yue: Automatic Gradient Descent. arXiv 2304.05187, 2023"
LICENCE = "MIT"

prepare = draw_default_weights
loss = square


def build(network: nn.Module, steps: int, *, learning_rate: float) -> torch.optim.Adam:
    """Return the optimizer, which has no schedule.

    Args:
        network: to train.
        steps: unused.
        learning_rate: of every step, at least 0.
    """
    return torch.optim.Adam(network.parameters(), lr=learning_rate, fused=True)
