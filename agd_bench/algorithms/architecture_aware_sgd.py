"""SGD whose initial weights and learning rate follow from the architecture's graph; the base rate is found on one shallow network.

Weights are drawn by the in-degree of the node that they lead to, and the rate is a base rate times a factor from the paths of the network
(`agd_bench.optim.path_scaling` has both). The base rate is searched once per search space: of a grid, the largest rate with the smallest
training loss after one epoch, as a mean over three seeds, on the space's shallow network; that search is charged. The rest is the recipe of
NAS-Bench-201: Nesterov's momentum 0.9, weight decay 5e-4, a cosine to 0, cross-entropy. During the search the rate is constant, as in the
first epoch of a long training.

The grid is ours, since the paper prints none. A tuning scope of `architecture` searches each architecture's own rate in the same way, its
largest as the paper understands it; with `mode = "none"` the grid is one of rates.
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
"""From 4 down to 2⁻⁹ by factors of √2: of equal losses, the first and largest is taken."""
STUDY = {"network": "shallow", "epochs": 1, "seeds": 3, "metric": "train_loss", "hyperparameters": {"schedule": "constant"}}
TIER = "externally tuned"
PAPER = "Chen et al. 2024, arXiv 2402.17440"
SOURCE = "Wuyang Chen, Junru Wu, Zhangyang Wang, Boris Hanin: Principled Architecture-aware Scaling of Hyperparameters. ICLR 2024"
LICENCE = "MIT"

loss = cross_entropy


def prepare(network: nn.Module, generator: torch.Generator, graph: Graph) -> nn.Module:
    """Initialise the network in place, from `generator` alone.

    Raises:
        Refused: a parameter that belongs to no edge of the graph.
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
    """The optimizer and its schedule over `steps` training steps.

    Args:
        network: what to train.
        steps: training steps in all, at least 1.
        graph: paths of the network and of the shallow one.
        base_rate: peak learning rate of the shallow network, above 0.
        mode: which paths count; `none`: the base rate itself.
        momentum: Nesterov's, in [0, 1).
        weight_decay: coefficient of the weights in the gradient, at least 0.
        schedule: `cosine`, to 0, or `constant`.

    Raises:
        Refused: the network has no path, or no cell in mode `cell`.
        InputError: a setting out of range.
    """
    if schedule not in ("cosine", "constant"):
        raise InputError(f"schedule {schedule!r} is none; give 'cosine' or 'constant'")
    rate = base_rate * rate_multiplier(graph, mode)
    optimizer = torch.optim.SGD(
        network.parameters(), lr=rate, momentum=momentum, nesterov=momentum > 0, weight_decay=weight_decay, fused=True
    )
    return (optimizer, cosine(optimizer, steps)) if schedule == "cosine" else optimizer
