"""Automatic gradient descent extended to all usual layers, so that networks train as published; nothing to tune.

Our extension, not the paper's method (that is `agd`), and no number of the paper is claimed for it. Biases, normalisation
scales, grouped and depthwise convolutions, embeddings and fused attention each get a rule in the paper's framework
(`agd_bench.optim.all_layers` has the table and says what in it is convention). Where a network has plain matrices and kernels
alone it is `agd`, bit for bit. Trains with the paper's square loss.
"""

from __future__ import annotations

import torch
from torch import nn

from agd_bench.optim.all_layers import AGDAllLayers, initialise
from agd_bench.optim.losses import square

RANGES: dict[str, dict[str, object]] = {}
TIER = "self-tuning"
PAPER = "extension of Bernstein et al. 2023, arXiv 2304.05187"
SOURCE = "an extension of agd-bench's own to Jeremy Bernstein et al.: Automatic Gradient Descent. arXiv 2304.05187, 2023"
LICENCE = "MIT"

loss = square


def prepare(network: nn.Module, generator: torch.Generator, device: torch.device | None = None) -> nn.Module:
    """Initialise the network in place, from `generator` alone: biases 0, scales 1, everything else drawn.

    Raises:
        Refused: a parameter of a layer that the extension has no rule for.
    """
    initialise(network, generator, device)
    return network


def build(network: nn.Module, steps: int, gain: float = 1.0) -> AGDAllLayers:
    """The optimizer; it has no schedule, and the number of steps changes nothing.

    Args:
        network: what to train.
        steps: training steps in all; not used.
        gain: factor on every update, above 0.

    Raises:
        Refused: a parameter of a layer that the extension has no rule for, or a gain out of range.
    """
    return AGDAllLayers(network, gain=gain)
