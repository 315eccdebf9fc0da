"""Like `architecture_aware_sgd`, but following the released code where it differs from the paper's derivation.

Initial weights use the in-degree of the node that an edge reads, not of the one that it leads to; the readout's standard deviation is
2 / fan-in; and only the paths of one cell count, plus a fixed number of layers each. Special cases of the released code by block name are
not reproduced: in NAS-Bench-201 it initialises the first convolution and the shortcut of a residual block as if their input were a sum of
two, and it skips cells without a path.
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
    """Initialise the network in place, drawing from `generator` only.

    Raises:
        Refused: a parameter belongs to no edge of the graph.
    """
    # in-degree of the node that an edge reads, where the paper has the node that it leads to
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
    """Return the optimizer and its learning-rate schedule; see `architecture_aware_sgd` for arguments and errors."""
    return derived.build(
        network, steps, graph=graph, base_rate=base_rate, mode=mode, momentum=momentum, weight_decay=weight_decay, schedule=schedule
    )
