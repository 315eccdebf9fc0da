"""One training: epochs of steps on data on the device, with an evaluation after each epoch and no host synchronisation per step.

On a CPU, a training resumed after an epoch is bit-identical to an uninterrupted one.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from agd_bench.errors import Diverged
from agd_bench.records import CurvePoint
from agd_bench.training.data import ImageSet, batches, draw
from agd_bench.training.eval_weights import answer_of
from agd_bench.training.fit import Fit
from agd_bench.training.turns import own_seconds

EVALUATION_BATCH = 512
Sums = tuple[Tensor, Tensor]
"""Summed loss and number of correct answers, 0-dim, on the device."""


@dataclass(frozen=True)
class Evaluation:
    """Mean cross-entropy, and share of correct answers in [0, 1], over a whole split."""

    loss: float
    accuracy: float


def evaluate(fit: Fit, images: ImageSet) -> Evaluation:
    """Evaluate the network on a whole split with the optimizer's evaluation weights.

    Raises:
        Diverged: logits are not finite.
    """
    fit.network.eval()
    count = len(images.labels)
    with answer_of(fit.optimizer):
        if fit.capture is not None:
            loss, correct = fit.capture.evaluate(images, EVALUATION_BATCH)
        else:
            # Sums on the device, so the host waits once per split, not once per batch.
            loss, correct = _summed(fit.score, images, batches(images, EVALUATION_BATCH, torch.arange(count)))
    fit.network.train()
    mean = float(loss) / count
    if not math.isfinite(mean):
        raise Diverged("logits on the validation or test split are not finite")
    return Evaluation(mean, float(correct) / count)


def seed_of_epoch(seed: int, epoch: int) -> int:
    """A seed for each epoch of each trial seed; distinct for fewer than a million epochs."""
    return seed * 1_000_003 + epoch


def train_epoch(fit: Fit, images: ImageSet, batch_size: int, seed: int, augment: bool) -> tuple[float, float]:
    """Train one pass over a split; order and augmentation follow from the seed.

    Args:
        fit: the training.
        images: the training split.
        batch_size: images per step.
        seed: seed of this epoch.
        augment: whether the data set's standard augmentation is applied.

    Returns:
        Mean loss and share of correct answers over the epoch's batches.

    Raises:
        Diverged: the mean loss is not finite.
        DeadlineExceeded: the trial's time is up.
    """
    if fit.seeded:
        torch.manual_seed(seed)  # dropout draws from torch's global generator; the trial runs inside fork_rng
    # Reseed for each epoch, so a resumed training draws the same numbers as an uninterrupted one.
    generator = torch.Generator().manual_seed(seed)
    order = torch.randperm(len(images.labels), generator=generator)
    if fit.capture is not None:
        loss, correct = fit.capture.train_epoch(images, batch_size, draw(images, order, generator, augment))
    else:
        loss, correct = _summed(fit.step, images, batches(images, batch_size, order, generator, augment))
    mean = float(loss) / len(order)
    if not math.isfinite(mean):
        raise Diverged("the training loss is not finite")
    return mean, float(correct) / len(order)


def _summed(
    work: Callable[[Tensor, Tensor], tuple[Tensor, Tensor]], images: ImageSet, drawn: Iterable[tuple[Tensor, Tensor]]
) -> tuple[Tensor, Tensor]:
    """Sums over the batches of the loss and of the number of correct answers, on the device."""
    loss, correct = (torch.zeros((), device=images.labels.device) for _ in range(2))
    for pixels, labels in drawn:
        batch_loss, batch_correct = work(pixels, labels)
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
        fit: the training, in the state after epoch `first - 1`.
        train: the training split.
        val: the validation split.
        first: the first epoch to train, from 1.
        last: the last one.
        batch_size: images per step.
        seed: seed of the trial.
        augment: whether the data set's standard augmentation is applied.
        train_seconds: seconds of training before `first`.

    Yields:
        One point per epoch.

    Raises:
        Diverged: a loss or a logit is not finite; earlier points have been yielded.
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
    """Evaluate after an epoch and return its point of the curve.

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
