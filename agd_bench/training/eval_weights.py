"""Evaluate an optimizer's evaluation weights, with matching batch normalisation statistics.

Schedule-free optimizers and iterate averaging use different weights for training and evaluation. Such an optimizer has two methods:
`eval()` switches the network to the evaluation weights, `train()` to the training weights.

References:
    Defazio, Yang, Khaled, Mishchenko, Mehta, Cutkosky: The Road Less Scheduled. NeurIPS 2024, arXiv 2405.15682; the authors' package
        recommends 50 training batches before each evaluation of a network with batch normalisation.
    Wu, Johnson: Rethinking 'Batch' in BatchNorm. arXiv 2105.07576, 2021 (plain means over the batches instead of moving ones).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.optim import Optimizer

# Recommended by the authors of schedule-free optimizers (arXiv 2405.15682).
REFRESH_BATCHES = 50
"""Largest number of training batches from which statistics are computed."""


def averages(optimizer: Optimizer) -> bool:
    """Whether an optimizer has separate evaluation weights."""
    return callable(getattr(optimizer, "eval", None)) and callable(getattr(optimizer, "train", None))


@contextmanager
def answer_of(optimizer: Optimizer) -> Iterator[None]:
    """Context in which the network has the optimizer's evaluation weights."""
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
    """Number of images that pass through the network for its statistics before each evaluation; 0 if not needed.

    Args:
        network: in training.
        optimizer: its optimizer.
        images: number of images in the training split.
        batch_size: images per step.
    """
    return min(images, REFRESH_BATCHES * batch_size) if averages(optimizer) and _normalisations(network) else 0


@torch.no_grad()
def refresh_statistics(network: nn.Module, batches: Iterable[torch.Tensor]) -> None:
    """Set the running statistics of batch normalisation to their means over batches of images at the current weights.

    Args:
        network: left in training mode.
        batches: of images (N, C, H, W).
    """
    momenta = {module: module.momentum for module in _normalisations(network)}
    network.train()
    for module in momenta:
        # They were collected at the training weights and are wrong for the evaluation weights.
        module.reset_running_stats()
    for number, images in enumerate(batches, start=1):
        for module in momenta:
            # The mean over all batches since the reset, as with momentum None, for which torch reads its count from the device.
            module.momentum = 1 / number
        network(images)
    for module, momentum in momenta.items():
        module.momentum = momentum
