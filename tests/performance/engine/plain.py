"""Plain training, as in many training scripts, with which the engine is compared."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import PIL.Image
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset
from torchvision import transforms

from agd_bench.training.fit import Fit

PADDING = 4


class _Pictures(Dataset[tuple[Tensor, int]]):
    """Returns images one by one through Pillow, as torchvision's datasets do."""

    def __init__(self, images: np.ndarray[Any, Any], labels: np.ndarray[Any, Any], mean: Any, std: Any, augment: bool) -> None:
        self.images, self.labels = images.transpose(0, 2, 3, 1).copy(), labels
        moved = [transforms.RandomCrop(images.shape[-1], padding=PADDING), transforms.RandomHorizontalFlip()] if augment else []
        self.transform = transforms.Compose([*moved, transforms.ToTensor(), transforms.Normalize(mean, std)])

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, number: int) -> tuple[Tensor, int]:
        return self.transform(PIL.Image.fromarray(self.images[number])), int(self.labels[number])


def loader(
    images: np.ndarray[Any, Any], labels: np.ndarray[Any, Any], mean: Any, std: Any, batch_size: int, augment: bool
) -> DataLoader[tuple[Tensor, int]]:
    """Return a torch DataLoader that runs in this process.

    Args:
        images: uint8 (N, C, H, W).
        labels: int64 (N,).
        mean: mean of each channel, for pixels in [0, 1].
        std: standard deviation of each channel.
        batch_size: images per batch.
        augment: whether to shuffle, crop and flip.
    """
    return DataLoader(_Pictures(images, labels, mean, std, augment), batch_size, shuffle=augment, num_workers=0)


def step(fit: Fit, images: Tensor, labels: Tensor) -> tuple[float, float]:
    """Update once, and return summed loss and number of correct answers, read from the device immediately, which waits for it."""
    fit.optimizer.zero_grad()
    logits = fit.network(images)
    loss = fit.loss(logits, labels)
    torch.autograd.backward((loss,))
    fit.optimizer.step()
    if fit.scheduler is not None:
        fit.scheduler.step()
    return loss.item() * len(labels), (logits.argmax(1) == labels).sum().item()


def evaluate(fit: Fit, batches: Iterator[tuple[Tensor, Tensor]]) -> float:
    """Return the accuracy, which is read from the device after each batch."""
    fit.network.eval()
    correct, seen = 0.0, 0
    with torch.no_grad():
        for images, labels in batches:
            logits = fit.network(images)
            nn.functional.cross_entropy(logits, labels).item()
            correct += (logits.argmax(1) == labels).sum().item()
            seen += len(labels)
    fit.network.train()
    return correct / seen


class PlainAGD(torch.optim.Optimizer):
    """AGD written directly from its formulas (see `agd_bench.optim.agd`): loops over tensors and taps, and one wait for the device.

    Args:
        parameters: matrices and convolution kernels.
    """

    def __init__(self, parameters: Any) -> None:
        super().__init__(parameters, {"lr": 0.0})

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> None:  # type: ignore[override]
        """Update every parameter once."""
        weights = [weight for group in self.param_groups for weight in group["params"] if weight.grad is not None]
        summary = 0.0
        for weight in weights:
            for tap in _taps(weight.grad):
                summary += _scale(weight) * torch.linalg.norm(tap)
        eta = math.log((1 + math.sqrt(1 + 4 * float(summary) / len(weights))) / 2)
        for weight in weights:
            for values, tap in zip(_taps(weight), _taps(weight.grad), strict=True):
                values -= eta / len(weights) * _scale(weight) * torch.nan_to_num(tap / torch.linalg.norm(tap))
        for group in self.param_groups:
            group["lr"] = eta


def _scale(weight: Tensor) -> float:
    return math.sqrt(weight.shape[0] / math.prod(weight.shape[1:]))


def _taps(tensor: Tensor) -> list[Tensor]:
    """Return views of a weight's matrices, one per tap."""
    if tensor.dim() == 2:
        return [tensor]
    return [tensor[:, :, row, column] for row in range(tensor.shape[2]) for column in range(tensor.shape[3])]
