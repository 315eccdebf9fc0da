"""A bare loop for one network, written by hand: what the engine is compared with at its best.

After the published description of the fastest trainings of CIFAR-10, in code of our own: all images on the device, normalised once, in
half precision and channels-last order; a whole epoch shifted and mirrored at once, by masks, every image mirrored in every second epoch;
a network in half precision; fused SGD with Nesterov's momentum; no schedule, no sums, no wait.

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
    """Images that stay on the device as the network takes them.

    Args:
        images: uint8 (N, C, H, W).
        labels: int64 (N,).
        mean: of each channel, of pixels in [0, 1].
        std: standard deviation of each channel.
        precision: of the images.
        device: where they live.
    """

    def __init__(
        self, images: np.ndarray[Any, Any], labels: np.ndarray[Any, Any], mean: Any, std: Any, precision: Precision, device: torch.device
    ) -> None:
        center, spread = (torch.tensor(values, device=device).view(1, -1, 1, 1) for values in (mean, std))
        values = (torch.from_numpy(images).to(device).float() / 255 - center) / spread
        self.images = values.to(DTYPES[precision], memory_format=torch.channels_last)
        self.labels = torch.from_numpy(labels).to(device)

    def batches(self, batch_size: int) -> Iterator[tuple[Tensor, Tensor]]:
        """All in their order; a last batch may be shorter."""
        return zip(torch.split(self.images, batch_size), torch.split(self.labels, batch_size), strict=True)

    def endless(self, batch_size: int, generator: torch.Generator) -> Iterator[tuple[Tensor, Tensor]]:
        """Whole batches of epoch after epoch, shifted and mirrored.

        Args:
            batch_size: images a batch.
            generator: on the CPU, for orders, shifts and who is mirrored first.
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
    """A window of each image, by masks: all rows for one shift after the other, then all columns.

    Args:
        padded: (N, C, size + r, size + r).
        shifts: where the windows begin, down and across, int64 (2, N) in [0, r].
        size: of the windows.
    """
    for dimension, own in ((2, shifts[0]), (3, shifts[1])):
        moved = padded.narrow(dimension, 0, size)
        for shift in range(1, padded.shape[dimension] - size + 1):
            moved = torch.where((own == shift).view(-1, 1, 1, 1), padded.narrow(dimension, shift, size), moved)
        padded = moved
    return padded


def bare_fit(network: nn.Module, precision: Precision) -> Fit:
    """The network in half precision with its optimizer; normalisation keeps its statistics in float32.

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
    """One update."""
    loss = fit.loss(fit.network(images), labels)
    torch.autograd.backward((loss,))
    fit.optimizer.step()
    fit.optimizer.zero_grad(set_to_none=True)


@torch.no_grad()
def evaluate(fit: Fit, batches: Iterator[tuple[Tensor, Tensor]]) -> float:
    """Share of correct answers, read from the device once."""
    fit.network.eval()
    correct, seen = [], 0
    for images, labels in batches:
        correct.append((fit.network(images).argmax(1) == labels).sum())
        seen += len(labels)
    fit.network.train()
    return float(torch.stack(correct).sum()) / seen
