"""SGD without momentum or weight decay, with a step schedule: the baseline of the paper on skip connections.

The learning rate, 0.2, 0.1, 0.05 or 0.02, is multiplied by 0.2 after each third of the steps (epochs 30 and 60 of 90 in the paper). The
network keeps its initialisation. Cross-entropy loss.
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
    """Return the optimizer and its learning-rate schedule.

    Args:
        network: to train.
        steps: total number of training steps, at least 1.
        learning_rate: of the first third of the steps, at least 0.

    Raises:
        InputError: steps is below 1.
    """
    optimizer = torch.optim.SGD(network.parameters(), lr=learning_rate, fused=True)
    # epochs 30 and 60 of 90 in the paper
    return optimizer, staircase(optimizer, steps, (1 / 3, 2 / 3), 0.2)
