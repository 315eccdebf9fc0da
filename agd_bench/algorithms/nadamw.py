"""NadamW with the setting of AlgoPerf's self-tuning baseline: the strongest frozen baseline.

One setting for all workloads of AlgoPerf, which calibrated learning-rate-free methods did not reach (arXiv 2505.24005): learning rate
0.0017486, beta1 0.93266, beta2 0.99552, decoupled weight decay 0.081216 on every parameter, warm-up over 2 % of the steps, cosine decay to
0, cross-entropy. AlgoPerf's dropout of 0.1 is omitted, since the networks here have no dropout layers.
"""

from __future__ import annotations

from torch import nn
from torch.optim.lr_scheduler import LambdaLR

from agd_bench.optim.losses import cross_entropy
from agd_bench.optim.nadamw import NadamW
from agd_bench.optim.schedules import cosine
from agd_bench.optim.starting import as_built

RANGES: dict[str, dict[str, object]] = {}
TIER = "self-tuning"
PAPER = "Dahl et al. 2023, arXiv 2306.07179"
SOURCE = "MLCommons AlgoPerf, self-tuning qualification baseline (setting, Apache-2.0); George Dahl et al., arXiv 2306.07179, 2023"
LICENCE = "MIT"

prepare = as_built
loss = cross_entropy


def build(network: nn.Module, steps: int) -> tuple[NadamW, LambdaLR]:
    """Return the optimizer and its learning-rate schedule.

    Raises:
        InputError: steps is below 1.
    """
    # AlgoPerf's self-tuning baseline, digit for digit; it lists 1 - beta1
    betas = (1 - 0.06733926164, 0.9955159689799007)
    optimizer = NadamW(network.parameters(), lr=0.0017486387539278373, betas=betas, eps=1e-8, weight_decay=0.08121616522670176)
    return optimizer, cosine(optimizer, steps, warm_up=0.02)
