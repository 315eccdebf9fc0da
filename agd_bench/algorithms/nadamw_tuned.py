"""NadamW whose learning rate, first momentum and weight decay are searched.

The ranges, and the rest, are those of `adamw_tuned`, AlgoPerf's archived AdamW baseline: beta2 0.999, a warm-up over 5 % of the steps,
then a cosine to 0, weight decay on every parameter; so that a difference between the two is Nesterov's momentum.
"""

from __future__ import annotations

from torch import nn
from torch.optim.lr_scheduler import LambdaLR

from agd_bench.optim.losses import cross_entropy
from agd_bench.optim.nadamw import NadamW
from agd_bench.optim.schedules import cosine
from agd_bench.optim.starting import as_built

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
    """The optimizer and its schedule over `steps` training steps.

    Args:
        network: what to train.
        steps: training steps in all, at least 1.
        learning_rate: at the peak, at least 0.
        one_minus_beta1: in (0, 1]: the smaller, the longer gradients are remembered.
        weight_decay: share by which a weight shrinks per step and unit of learning rate, at least 0.

    Raises:
        InputError: fewer than one step.
    """
    betas = (1 - one_minus_beta1, 0.999)
    optimizer = NadamW(network.parameters(), lr=learning_rate, betas=betas, weight_decay=weight_decay)
    return optimizer, cosine(optimizer, steps, warm_up=0.05)
