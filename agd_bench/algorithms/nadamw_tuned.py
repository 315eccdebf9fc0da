"""NadamW with tuned learning rate, beta1 and weight decay.

Ranges and settings are those of `adamw_tuned` (AlgoPerf's archived AdamW baseline), so the two differ in Nesterov momentum only: beta2
0.999, warm-up over 5 % of the steps, cosine decay to 0, weight decay on every parameter.
"""

from __future__ import annotations

from torch import nn
from torch.optim.lr_scheduler import LambdaLR

from agd_bench.optim.losses import cross_entropy
from agd_bench.optim.nadamw import NadamW
from agd_bench.optim.schedules import cosine
from agd_bench.optim.starting import as_built

# those of `adamw_tuned`, so that the two differ in Nesterov momentum only
RANGES: dict[str, dict[str, object]] = {
    "learning_rate": {"low": 1e-4, "high": 1e-2, "log": True},
    "one_minus_beta1": {"low": 2e-2, "high": 0.5, "log": True},
    "weight_decay": {"low": 5e-3, "high": 1.0, "log": True},
}
TIER = "externally tuned"
PAPER = "Dahl et al. 2023, arXiv 2306.07179"
SOURCE = "MLCommons AlgoPerf, archived paper baselines, AdamW (ranges, Apache-2.0); George Dahl et al., arXiv 2306.07179, 2023"
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
) -> tuple[NadamW, LambdaLR]:
    """Return the optimizer and its learning-rate schedule.

    Args:
        network: to train.
        steps: total number of training steps, at least 1.
        learning_rate: peak value, at least 0.
        one_minus_beta1: 1 - beta1 of the first moment, in (0, 1].
        weight_decay: decoupled, at least 0: each step scales weights by 1 - rate * weight_decay.

    Raises:
        InputError: steps is below 1.
    """
    betas = (1 - one_minus_beta1, 0.999)
    optimizer = NadamW(network.parameters(), lr=learning_rate, betas=betas, weight_decay=weight_decay)
    return optimizer, cosine(optimizer, steps, warm_up=0.05)
