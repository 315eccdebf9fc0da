"""Evaluating the weights that an optimizer means to be evaluated, with batch-norm statistics that belong to them.

Schedule-free optimizers and iterate averaging train at one point and are evaluated at another. Such an optimizer has two methods:
`eval()` puts the weights for evaluation into the network, `train()` those for training.

References:
    Defazio, Yang, Khaled, Mishchenko, Mehta, Cutkosky: The Road Less Scheduled. NeurIPS 2024, arXiv 2405.15682; the authors' package
        asks for 50 training batches before each evaluation of a network with batch normalisation.
    Wu, Johnson: Rethinking 'Batch' in BatchNorm. arXiv 2105.07576, 2021 (plain means over the batches instead of moving ones).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.optim import Optimizer

# What the authors of schedule-free optimizers ask for (arXiv 2405.15682).
REFRESH_BATCHES = 50
"""Number of training batches, at most, from which statistics are computed."""


def averages(optimizer: Optimizer) -> bool:
    """Whether an optimizer is evaluated at another point than it trains at."""
    return callable(getattr(optimizer, "eval", None)) and callable(getattr(optimizer, "train", None))


@contextmanager
def answer_of(optimizer: Optimizer) -> Iterator[None]:
    """Within the `with`, the network has the weights that the optimizer means to be evaluated."""
    if not averages(optimizer):
        yield
        return
    optimizer.eval()  # type: ignore[attr-defined]
    try:
        yield
    finally:
        optimizer.train()  # type: ignore[attr-defined]


def _normalisations(network: nn.Module) -> list[_BatchNorm]:
    return [module for module in network.modules() if isinstance(module, _BatchNorm) and module.track_running_stats]


def refreshed_images(network: nn.Module, optimizer: Optimizer, images: int, batch_size: int) -> int:
    """Images that pass through the network for its statistics before each evaluation: 0 where none have to.

    Args:
        network: in training.
        optimizer: what trains it.
        images: number of images in the training split.
        batch_size: images per step.
    """
    return min(images, REFRESH_BATCHES * batch_size) if averages(optimizer) and _normalisations(network) else 0


@torch.no_grad()
def refresh_statistics(network: nn.Module, batches: Iterable[torch.Tensor]) -> None:
    """Set the running statistics of batch normalisation to their plain means over batches of images, at the weights as they are.

    Args:
        network: left in training mode.
        batches: of images (N, C, H, W).
    """
    momenta = {module: module.momentum for module in _normalisations(network)}
    network.train()
    for module in momenta:
        # They were gathered at the training weights, and are wrong for the weights that are evaluated.
        module.reset_running_stats()
        module.momentum = None  # the mean over all batches since the reset
    for images in batches:
        network(images)
    for module, momentum in momenta.items():
        module.momentum = momentum
