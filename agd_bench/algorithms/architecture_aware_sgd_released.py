"""As `architecture_aware_sgd`, with what the released code does where it departs from the paper's derivation.

Weights are drawn by the in-degree of the node that an edge reads, not of the one it leads to; the readout's standard deviation is twice
over its fan-in; and the paths that count are those of one cell, with a fixed number of layers added to each. What the released code does
by the names of its blocks is not repeated: in NAS-Bench-201 it draws the first convolution and the shortcut of a residual block as
if their input were a sum of two, and it leaves out the whole job at a cell without a path.
"""

from __future__ import annotations

import torch
from torch import nn
from torch.optim.lr_scheduler import LambdaLR

from agd_bench.algorithms import architecture_aware_sgd as derived
from agd_bench.optim.losses import cross_entropy
from agd_bench.optim.path_scaling import Graph, Mode, initialise

RANGES = derived.RANGES
STUDY = derived.STUDY
TIER = "externally tuned"
PAPER = "Chen et al. 2024, arXiv 2402.17440"
SOURCE = derived.SOURCE + " (their code, MIT)"
LICENCE = "MIT"

loss = cross_entropy


def prepare(network: nn.Module, generator: torch.Generator, graph: Graph) -> nn.Module:
    """Initialise the network in place, from `generator` alone.

    Raises:
        Refused: a parameter that belongs to no edge of the graph.
    """
    initialise(network, graph.network, generator, degree="source")
    return network


def build(
    network: nn.Module,
    steps: int,
    *,
    graph: Graph,
    base_rate: float,
    mode: Mode = "cell",
    momentum: float = 0.9,
    weight_decay: float = 5e-4,
    schedule: str = "cosine",
) -> tuple[torch.optim.SGD, LambdaLR] | torch.optim.SGD:
    """The optimizer and its schedule over `steps` training steps; arguments and errors as those of `architecture_aware_sgd`."""
    return derived.build(
        network, steps, graph=graph, base_rate=base_rate, mode=mode, momentum=momentum, weight_decay=weight_decay, schedule=schedule
    )
