"""SGD without momentum or weight decay whose rate falls to a fifth after each third of the steps: a baseline of the paper on skips.

What the experiments on skip connections train with: a rate of 0.2, 0.1, 0.05 or 0.02, from the initialisation that the network was built
with, over 90 epochs with drops after 30 and 60. Cross-entropy.
"""

from __future__ import annotations

import torch
from torch import nn
from torch.optim.lr_scheduler import LambdaLR

from agd_bench.optim.losses import cross_entropy
from agd_bench.optim.schedules import staircase
from agd_bench.optim.starting import as_built

RANGES: dict[str, dict[str, object]] = {"learning_rate": {"choices": [0.02, 0.05, 0.1, 0.2]}}
TIER = "externally tuned"
PAPER = "baseline of MacDonald et al. 2023 (NeurIPS)"
SOURCE = (
    "Lachlan MacDonald, Jack Valmadre, Hemanth Saratchandran, Simon Lucey: On Skip Connections and Normalisation Layers in Deep "
    "Optimisation. NeurIPS 2023"
)
LICENCE = "MIT"

prepare = as_built
loss = cross_entropy


def build(network: nn.Module, steps: int, *, learning_rate: float) -> tuple[torch.optim.SGD, LambdaLR]:
    """The optimizer and its schedule over `steps` training steps.

    Args:
        network: what to train.
        steps: training steps in all, at least 1.
        learning_rate: of the first third of the steps, at least 0.

    Raises:
        InputError: fewer than one step.
    """
    optimizer = torch.optim.SGD(network.parameters(), lr=learning_rate, fused=True)
    return optimizer, staircase(optimizer, steps, (1 / 3, 2 / 3), 0.2)
