"""LAMB with tuned learning rate, beta1 and weight decay.

Beta2 is 0.999, the schedule a warm-up over 5 % of the steps and cosine decay to 0; weight decay applies to every parameter. The ranges
are ours, around the paper's settings. Learning rates are larger than Adam's, since they are relative to the norm of each tensor.
"""

from __future__ import annotations

from torch import nn
from torch.optim.lr_scheduler import LambdaLR

from agd_bench.optim.lamb import LAMB
from agd_bench.optim.losses import cross_entropy
from agd_bench.optim.schedules import cosine
from agd_bench.optim.starting import as_built

# rates above those of Adam, since they are relative to the norm of each tensor
RANGES: dict[str, dict[str, object]] = {
    "learning_rate": {"low": 1e-3, "high": 0.1, "log": True},
    "one_minus_beta1": {"low": 2e-2, "high": 0.5, "log": True},
    "weight_decay": {"low": 1e-4, "high": 0.1, "log": True},
}
TIER = "externally tuned"
PAPER = "You et al. 2020, arXiv 1904.00962"
SOURCE = "Yang You et al.: Large Batch Optimization for Deep Learning: Training BERT in 76 minutes. ICLR 2020 (ranges our own)"
LICENCE = "MIT"

prepare = as_built
loss = cross_entropy


def build(
    network: nn.Module,
    steps: int,
    *,
    learning_rate: float,
    one_minus_beta1: float,
    weight_decay: float,
) -> tuple[LAMB, LambdaLR]:
    """Return the optimizer and its learning-rate schedule.

    Args:
        network: to train.
        steps: total number of training steps, at least 1.
        learning_rate: peak value, at least 0.
        one_minus_beta1: 1 - beta1 of the first moment, in (0, 1].
        weight_decay: coefficient of the weights in the direction, at least 0.

    Raises:
        InputError: steps is below 1.
    """
    betas = (1 - one_minus_beta1, 0.999)
    optimizer = LAMB(network.parameters(), lr=learning_rate, betas=betas, weight_decay=weight_decay)
    return optimizer, cosine(optimizer, steps, warm_up=0.05)
