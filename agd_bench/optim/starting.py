"""Where a training starts that keeps what its network was built with."""

from __future__ import annotations

import torch
from torch import nn


def as_built(network: nn.Module, generator: torch.Generator) -> nn.Module:
    """The network as it is: for a training algorithm without an initialisation of its own, which says `prepare = as_built`.

    Args:
        network: keeps the weights that it was built with. What those are, each layer of torch says; they repeat, because the harness
            seeds torch's generator around the building.
        generator: nothing is drawn from it.
    """
    return network
