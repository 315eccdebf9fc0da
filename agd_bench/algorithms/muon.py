"""Muon: hidden matrices and kernels move by orthogonalised momentum; the classifier, biases and scales by AdamW.

Torch's Muon with kernels flattened, as its authors do (`agd_bench.optim.muon`). Momentum 0.95, AdamW's betas 0.9 and 0.95, as in the
authors' examples; a warm-up over 5 % of the steps, then a cosine to 0, as the other tuned baselines here. The ranges are our own,
around the authors' settings (0.02 for Muon, 3e-4 for AdamW, weight decay 0.01). Cross-entropy.
"""

from __future__ import annotations

from torch import nn
from torch.optim.lr_scheduler import LambdaLR

from agd_bench.optim.losses import cross_entropy
from agd_bench.optim.muon import Muon
from agd_bench.optim.schedules import cosine
from agd_bench.optim.starting import as_built

RANGES: dict[str, dict[str, object]] = {
    "learning_rate": {"low": 2e-3, "high": 0.2, "log": True},
    "adamw_learning_rate": {"low": 1e-4, "high": 1e-2, "log": True},
    "weight_decay": {"low": 1e-4, "high": 0.1, "log": True},
}
TIER = "externally tuned"
PAPER = "Jordan et al. 2024 (no arXiv id); torch.optim.Muon"
SOURCE = "Keller Jordan et al.: Muon: An optimizer for hidden layers in neural networks, 2024; torch.optim.Muon (ranges our own)"
LICENCE = "MIT"

prepare = as_built
loss = cross_entropy


def build(
    network: nn.Module, steps: int, *, learning_rate: float, adamw_learning_rate: float, weight_decay: float
) -> tuple[Muon, LambdaLR]:
    """The optimizer and its schedule over `steps` training steps.

    Args:
        network: what to train.
        steps: training steps in all, at least 1.
        learning_rate: of Muon at the peak, at least 0.
        adamw_learning_rate: of AdamW at the peak, at least 0.
        weight_decay: share by which a weight shrinks per step and unit of learning rate, at least 0.

    Raises:
        InputError: fewer than one step.
        Refused: a network without hidden matrices.
    """
    optimizer = Muon(network, lr=learning_rate, adamw_lr=adamw_learning_rate, weight_decay=weight_decay)
    return optimizer, cosine(optimizer, steps, warm_up=0.05)
