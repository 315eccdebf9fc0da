"""SGD with initial weights and learning rate from the architecture's graph; the base rate is tuned on one shallow network.

The variance of initial weights depends on the in-degree of the node that an edge leads to, and the learning rate is a base rate times a
factor from the network's paths (both in `agd_bench.optim.path_scaling`). The base rate is tuned once per search space on its shallow
network: the rate of a grid with the smallest training loss after one epoch, mean over three seeds, and the largest in a tie. This search
is charged. Everything else is the recipe of NAS-Bench-201: Nesterov momentum 0.9, weight decay 5e-4, cosine decay to 0, cross-entropy.
During the search the rate is constant, as in the first epoch of a long training.

The paper gives no grid; this one is ours. With tuning scope `architecture`, each architecture's own rate is searched in the same way; with
`mode = "none"`, base rates are learning rates.
"""

from __future__ import annotations

import torch
from torch import nn
from torch.optim.lr_scheduler import LambdaLR

from agd_bench.errors import InputError
from agd_bench.optim.losses import cross_entropy
from agd_bench.optim.path_scaling import Graph, Mode, initialise, rate_multiplier
from agd_bench.optim.schedules import cosine

RANGES: dict[str, dict[str, object]] = {"base_rate": {"choices": [float(f"{2 ** (step / 2):.4g}") for step in range(4, -19, -1)]}}
"""From 4 down to 2⁻⁹ by factors of √2, in descending order so that a tie selects the largest rate."""
# a constant rate, like the first epoch of a long cosine decay
STUDY = {"network": "shallow", "epochs": 1, "seeds": 3, "metric": "train_loss", "hyperparameters": {"schedule": "constant"}}
TIER = "externally tuned"
PAPER = "Chen et al. 2024, arXiv 2402.17440"
SOURCE = "Wuyang Chen, Junru Wu, Zhangyang Wang, Boris Hanin: Principled Architecture-aware Scaling of Hyperparameters. ICLR 2024"
LICENCE = "MIT"

loss = cross_entropy


def prepare(network: nn.Module, generator: torch.Generator, graph: Graph) -> nn.Module:
    """Initialise the network in place, drawing from `generator` only.

    Raises:
        Refused: a parameter belongs to no edge of the graph.
    """
    initialise(network, graph.network, generator, degree="target")
    return network


def build(
    network: nn.Module,
    steps: int,
    *,
    graph: Graph,
    base_rate: float,
    mode: Mode = "network",
    momentum: float = 0.9,
    weight_decay: float = 5e-4,
    schedule: str = "cosine",
) -> tuple[torch.optim.SGD, LambdaLR] | torch.optim.SGD:
    """Return the optimizer and its learning-rate schedule.

    Args:
        network: to train.
        steps: total number of training steps, at least 1.
        graph: of the network and of the shallow network.
        base_rate: peak learning rate of the shallow network, above 0.
        mode: which paths count; `none` uses the base rate itself.
        momentum: Nesterov momentum, in [0, 1).
        weight_decay: L2 penalty, added to the gradient, at least 0.
        schedule: `cosine`, to 0, or `constant`.

    Raises:
        Refused: the network has no path from input to output, or no cell in mode `cell`.
        InputError: a setting is out of range.
    """
    if schedule not in ("cosine", "constant"):
        raise InputError(f"schedule {schedule!r} is none; give 'cosine' or 'constant'")
    rate = base_rate * rate_multiplier(graph, mode)
    # torch refuses Nesterov without momentum
    optimizer = torch.optim.SGD(
        network.parameters(), lr=rate, momentum=momentum, nesterov=momentum > 0, weight_decay=weight_decay, fused=True
    )
    return (optimizer, cosine(optimizer, steps)) if schedule == "cosine" else optimizer
