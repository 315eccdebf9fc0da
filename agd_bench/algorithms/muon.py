"""Muon: orthogonalised momentum for hidden matrices and kernels, AdamW for the classifier, biases and scales.

Torch's Muon with flattened kernels, as its authors use it (`agd_bench.optim.muon`). Momentum 0.95 and AdamW's betas 0.9 and 0.95 are those
of the authors' examples; warm-up over 5 % of the steps and cosine decay to 0, as in the other tuned baselines. The ranges are ours, around
the authors' settings (0.02 for Muon, 3e-4 for AdamW, weight decay 0.01). Cross-entropy loss.
"""

from __future__ import annotations

from torch import nn
from torch.optim.lr_scheduler import LambdaLR

from agd_bench.optim.losses import cross_entropy
from agd_bench.optim.muon import Muon
from agd_bench.optim.schedules import cosine
from agd_bench.optim.starting import as_built

# around the authors' settings: 0.02, 3e-4 and 0.01
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
    """Return the optimizer and its learning-rate schedule.

    Args:
        network: to train.
        steps: total number of training steps, at least 1.
        learning_rate: peak value for Muon, at least 0.
        adamw_learning_rate: peak value for AdamW, at least 0.
        weight_decay: decoupled, at least 0: each step scales weights by 1 - rate * weight_decay.

    Raises:
        InputError: steps is below 1.
        Refused: the network has no hidden matrices.
    """
    optimizer = Muon(network, lr=learning_rate, adamw_lr=adamw_learning_rate, weight_decay=weight_decay)
    return optimizer, cosine(optimizer, steps, warm_up=0.05)
