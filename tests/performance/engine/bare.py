"""A minimal hand-written loop for one network, with which the engine's best is compared.

Follows the published description of the fastest trainings on CIFAR-10, in our own code: all images on the device, normalised once, in half
precision and channels-last order; a whole epoch shifted and mirrored at once with masks, every image mirrored in every second epoch; a
network in half precision; fused SGD with Nesterov momentum; no schedule, no running sums, no synchronisation.

References:
    Keller Jordan: 94% on CIFAR-10 in 3.29 Seconds on a Single GPU. arXiv 2404.00498, 2024 (alternating flips; all work on the GPU).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.modules.batchnorm import _BatchNorm

from agd_bench.records import Precision
from agd_bench.training.fit import Fit
from tests.performance.engine.plain import PADDING

DTYPES: dict[Precision, torch.dtype] = {"float32": torch.float32, "bfloat16": torch.bfloat16}


class Pictures:
    """Images that stay on the device, in the form of the network's inputs.

    Args:
        images: uint8 (N, C, H, W).
        labels: int64 (N,).
        mean: mean of each channel, for pixels in [0, 1].
        std: standard deviation of each channel.
        precision: of the images.
        device: where to store them.
    """

    def __init__(
        self, images: np.ndarray[Any, Any], labels: np.ndarray[Any, Any], mean: Any, std: Any, precision: Precision, device: torch.device
    ) -> None:
        center, spread = (torch.tensor(values, device=device).view(1, -1, 1, 1) for values in (mean, std))
        values = (torch.from_numpy(images).to(device).float() / 255 - center) / spread
        self.images = values.to(DTYPES[precision], memory_format=torch.channels_last)
        self.labels = torch.from_numpy(labels).to(device)

    def batches(self, batch_size: int) -> Iterator[tuple[Tensor, Tensor]]:
        """Return all batches in order; the last one may be shorter."""
        return zip(torch.split(self.images, batch_size), torch.split(self.labels, batch_size), strict=True)

    def endless(self, batch_size: int, generator: torch.Generator) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield full batches of endless epochs, shifted and mirrored.

        Args:
            batch_size: images per batch.
            generator: on the CPU, for orders, shifts and the choice of images that are mirrored first.
        """
        count, device = len(self.labels), self.labels.device
        padded = functional.pad(self.images, (PADDING,) * 4)
        mirrored = torch.randint(2, (count,), generator=generator).bool().to(device)
        while True:
            shifts = torch.randint(2 * PADDING + 1, (2, count), generator=generator).to(device)
            seen = shifted(padded, shifts, self.images.shape[-1])
            seen = torch.where(mirrored.view(-1, 1, 1, 1), seen.flip(-1), seen)
            mirrored = ~mirrored
            order = torch.randperm(count, generator=generator).to(device)
            for chosen in torch.split(order, batch_size)[: count // batch_size]:
                yield seen[chosen], self.labels[chosen]


def shifted(padded: Tensor, shifts: Tensor, size: int) -> Tensor:
    """Return a window of each image, by masks: for each possible shift of the rows, then of the columns.

    Args:
        padded: (N, C, size + r, size + r).
        shifts: start of each window, vertical and horizontal, int64 (2, N) in [0, r].
        size: height and width of the windows.
    """
    for dimension, own in ((2, shifts[0]), (3, shifts[1])):
        moved = padded.narrow(dimension, 0, size)
        for shift in range(1, padded.shape[dimension] - size + 1):
            moved = torch.where((own == shift).view(-1, 1, 1, 1), padded.narrow(dimension, shift, size), moved)
        padded = moved
    return padded


def bare_fit(network: nn.Module, precision: Precision) -> Fit:
    """Convert the network to a precision, except for batch normalisation, which stays in float32, and return it with an optimizer.

    Args:
        network: on its device, in channels-last order.
        precision: of weights and images.
    """
    network.to(DTYPES[precision])
    for module in network.modules():
        if isinstance(module, _BatchNorm):
            module.float()
    optimizer = torch.optim.SGD(network.parameters(), lr=0.1, momentum=0.9, nesterov=True, weight_decay=5e-4, fused=True)
    return Fit(network, optimizer, None, nn.functional.cross_entropy)


def step(fit: Fit, images: Tensor, labels: Tensor) -> None:
    """Update the weights once."""
    loss = fit.loss(fit.network(images), labels)
    torch.autograd.backward((loss,))
    fit.optimizer.step()
    fit.optimizer.zero_grad(set_to_none=True)


@torch.no_grad()
def evaluate(fit: Fit, batches: Iterator[tuple[Tensor, Tensor]]) -> float:
    """Return the accuracy, which is read from the device once."""
    fit.network.eval()
    correct, seen = [], 0
    for images, labels in batches:
        correct.append((fit.network(images).argmax(1) == labels).sum())
        seen += len(labels)
    fit.network.train()
    return float(torch.stack(correct).sum()) / seen
