"""One training: epochs of steps on data that is on the device, evaluated after each, without a host synchronisation per step.

A training resumed after an epoch equals one that was never interrupted, bit for bit on a CPU.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import nn

from agd_bench.errors import Diverged
from agd_bench.records import CurvePoint
from agd_bench.training.data import ImageSet, batches, draw
from agd_bench.training.eval_weights import answer_of
from agd_bench.training.fit import Fit
from agd_bench.training.turns import own_seconds

EVALUATION_BATCH = 512


@dataclass(frozen=True)
class Evaluation:
    """Mean cross-entropy, and share of correct answers in [0, 1], over a whole split."""

    loss: float
    accuracy: float


def evaluate(fit: Fit, images: ImageSet) -> Evaluation:
    """The network in evaluation mode on a whole split, with the weights that the optimizer means to be evaluated.

    Raises:
        Diverged: logits that are not finite.
    """
    fit.network.eval()
    order = torch.arange(len(images.labels))
    # Sums on the device: the host waits once for a split, not once for a batch.
    loss = torch.zeros((), device=images.labels.device)
    correct = torch.zeros((), device=images.labels.device)
    with answer_of(fit.optimizer), torch.inference_mode(), fit.arithmetic(images.labels.device):
        for pixels, labels in batches(images, EVALUATION_BATCH, order):
            logits = fit.network(pixels).float()
            # Cross-entropy whatever loss the algorithm trains with, so that curves can be compared.
            loss += nn.functional.cross_entropy(logits, labels, reduction="sum")
            correct += (logits.argmax(1) == labels).sum()
    fit.network.train()
    mean = float(loss) / len(order)
    if not math.isfinite(mean):
        raise Diverged("logits on the validation or test split are not finite")
    return Evaluation(mean, float(correct) / len(order))


def seed_of_epoch(seed: int, epoch: int) -> int:
    """A seed for each epoch of each trial seed; distinct while epochs stay under a million."""
    return seed * 1_000_003 + epoch


def train_epoch(fit: Fit, images: ImageSet, batch_size: int, seed: int, augment: bool) -> tuple[float, float]:
    """One pass over a split; order and augmentation follow from the seed.

    Args:
        fit: what is trained.
        images: the training split.
        batch_size: images per step.
        seed: of this epoch.
        augment: whether the data set's standard augmentation is applied.

    Returns:
        Mean loss and share of correct answers over the epoch's batches.

    Raises:
        Diverged: the mean loss is not finite.
        DeadlineExceeded: the trial's time is up.
    """
    if fit.seeded:
        torch.manual_seed(seed)  # dropout draws from torch's global generator; the trial runs inside fork_rng
    # Anew for each epoch: a resumed training draws what an uninterrupted one draws.
    generator = torch.Generator().manual_seed(seed)
    order = torch.randperm(len(images.labels), generator=generator)
    if fit.capture is not None:
        loss, correct = fit.capture.train_epoch(images, batch_size, draw(images, order, generator, augment))
    else:
        loss, correct = _eager_epoch(fit, images, batches(images, batch_size, order, generator, augment))
    mean = float(loss) / len(order)
    if not math.isfinite(mean):
        raise Diverged("the training loss is not finite")
    return mean, float(correct) / len(order)


def _eager_epoch(fit: Fit, images: ImageSet, drawn: Iterator[tuple[torch.Tensor, torch.Tensor]]) -> tuple[torch.Tensor, torch.Tensor]:
    """Summed loss and number of correct answers of steps on the batches, on the device."""
    loss = torch.zeros((), device=images.labels.device)
    correct = torch.zeros((), device=images.labels.device)
    for pixels, labels in drawn:
        batch_loss, batch_correct = fit.step(pixels, labels)
        loss += batch_loss
        correct += batch_correct
    return loss, correct


def epochs_of(
    fit: Fit,
    train: ImageSet,
    val: ImageSet,
    *,
    first: int,
    last: int,
    batch_size: int,
    seed: int,
    augment: bool,
    train_seconds: float = 0.0,
) -> Iterator[CurvePoint]:
    """Train epoch by epoch.

    Args:
        fit: what is trained, in the state after epoch `first - 1`.
        train: the training split.
        val: the validation split.
        first: the first epoch to train, from 1.
        last: the last one.
        batch_size: images per step.
        seed: the trial's.
        augment: whether the data set's standard augmentation is applied.
        train_seconds: seconds of training before `first`.

    Yields:
        One point per epoch.

    Raises:
        Diverged: a loss or a logit is not finite; the points before it were yielded.
        DeadlineExceeded: the trial's time is up.
    """
    fit.network.train()
    for epoch in range(first, last + 1):
        with fit.turn:
            begun = own_seconds()
            before = fit.seconds_aside()
            loss, accuracy = train_epoch(fit, train, batch_size, seed_of_epoch(seed, epoch), augment)
            fit.refresh(train, batch_size, seed_of_epoch(seed, epoch), augment)
            # `train_epoch` ends by reading its two sums from the device, so its work is done by now.
            train_seconds += own_seconds() - begun - (fit.seconds_aside() - before)
            point = _conclude(fit, val, epoch, loss, accuracy, train_seconds)
        yield point


def _conclude(fit: Fit, val: ImageSet, epoch: int, loss: float, accuracy: float, train_seconds: float) -> CurvePoint:
    """Evaluate after an epoch; its point of the curve.

    Raises:
        Diverged: a logit is not finite.
    """
    checked = evaluate(fit, val)
    return CurvePoint(
        epoch=epoch,
        train_loss=loss,
        train_accuracy=accuracy,
        val_loss=checked.loss,
        val_accuracy=checked.accuracy,
        train_seconds=train_seconds,
        learning_rate=fit.learning_rate(),
        diagnostics=fit.diagnostics(),
    )
