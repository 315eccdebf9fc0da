"""One training: epochs of steps on data that is on the device, evaluation after each, no host synchronisation a step.

Everything random follows from the trial's seed and the epoch: the order of the images, their augmentation, and torch's
global generator (which dropout uses), set anew for each epoch. A training that is resumed after an epoch is therefore
the training that was not interrupted, bit for bit on a CPU.
"""

from __future__ import annotations

import itertools
import math
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from agd_bench.diagnostics import Watch
from agd_bench.errors import DeadlineExceeded, Diverged
from agd_bench.records import CurvePoint, Precision
from agd_bench.training.data import ImageSet, batches, draw
from agd_bench.training.descent_check import Replay
from agd_bench.training.eval_weights import REFRESH_BATCHES, answer_of, refresh_statistics, refreshed_images

if TYPE_CHECKING:
    from agd_bench.training.cuda_graphs import Capture

EVALUATION_BATCH = 512


@dataclass
class Fit:
    """A network in training, with all that trains it.

    Attributes:
        network: maps images (N, C, H, W) to logits (N, classes).
        optimizer: updates its weights.
        scheduler: stepped once after every step; null without a schedule.
        loss: logits and labels to a scalar.
        precision: arithmetic of forward and backward.
        stop_at: `time.monotonic()` after which a step raises; null without a deadline.
        diagnosed: whether `diagnostics` reads what the optimizer says of its steps.
        tell: what the algorithm says of the optimizer, numbers by name, read once an epoch; `eta` is the rate that its steps have.
        watch: measures the network at some steps, beside the training; null: nothing does.
        replay: holds the optimizer to what it promises of each step; null: nothing does.
        capture: replays its steps as one graph; null: they are eager.
        seeded: whether each epoch sets the seed of torch's default generators; one that draws nothing from them can leave them alone.
        steps: how many were done.
    """

    network: nn.Module
    optimizer: Optimizer
    scheduler: LRScheduler | None
    loss: Callable[[torch.Tensor, torch.Tensor], torch.Tensor]
    precision: Precision = "float32"
    stop_at: float | None = None
    diagnosed: bool = False
    watch: Watch | None = None
    replay: Replay | None = None
    steps: int = 0
    tell: Callable[[Optimizer], Mapping[str, float]] | None = None
    capture: Capture | None = None
    seeded: bool = True

    def arithmetic(self, device: torch.device) -> AbstractContextManager[object]:
        """Autocast where the precision asks for it; weights and AGD's norms stay float32."""
        if self.precision == "float32":
            return nullcontext()
        return torch.autocast(device.type, dtype=torch.bfloat16)

    def step(self, images: torch.Tensor, labels: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """One update; the loss and the count of correct answers stay on the device.

        Raises:
            DeadlineExceeded: the trial's time is up.
        """
        self.check_deadline()
        if self.watch is not None:
            self.watch(self.steps)
        if self.replay is not None:
            self.replay.remember(images.device)
        loss, correct = self.update(images, labels)
        if self.scheduler is not None:
            self.scheduler.step()
        self.steps += 1
        return loss, correct

    def update(self, images: torch.Tensor, labels: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """What a step does on the device alone, and so what can be captured: forward, loss, backward and the optimizer."""
        self.optimizer.zero_grad(set_to_none=True)
        with self.arithmetic(images.device):
            logits = self.network(images)
        logits = logits.float()
        loss = self.loss(logits, labels)
        torch.autograd.backward((loss,))
        self.optimizer.step()
        if self.replay is not None:
            self.replay(images, labels, loss)
        return loss.detach() * len(labels), (logits.detach().argmax(1) == labels).sum()

    def check_deadline(self) -> None:
        """Raise `DeadlineExceeded` if the trial's time is up."""
        if self.stop_at is not None and time.monotonic() > self.stop_at:
            raise DeadlineExceeded("longer than its deadline")

    def learning_rate(self) -> float | None:
        """The rate of the last step, as the algorithm says or the optimizer keeps it; AGD keeps its automatic one there."""
        told = {} if self.tell is None else self.tell(self.optimizer)
        rate = told.get("eta", self.optimizer.param_groups[0].get("lr"))
        return None if rate is None else float(rate)

    def diagnostics(self) -> dict[str, float]:
        """What the optimizer's `diagnostics()` says of the epoch's steps, all read from the device at once, and what was measured of the
        network since the last call; empty if not asked for.
        """
        ask = getattr(self.optimizer, "diagnostics", None) if self.diagnosed else None
        said: dict[str, torch.Tensor] = {} if ask is None else ask()
        read = torch.stack([value.double() for value in said.values()]).tolist() if said else []
        told = self.tell(self.optimizer) if self.diagnosed and self.tell is not None else {}
        watched = {} if self.watch is None else self.watch.taken(self.steps)
        finite = {name: value for name, value in [*zip(said, read, strict=True), *told.items()] if math.isfinite(value)}
        replayed = {} if self.replay is None else self.replay.taken()
        return finite | watched | replayed

    def refresh(self, images: ImageSet, batch_size: int, seed: int, augment: bool) -> None:
        """Compute the statistics of batch normalisation for the weights that are evaluated, where they are not those trained at.

        Args:
            images: the training split.
            batch_size: images a step.
            seed: of the epoch: the images come as they did in its first steps.
            augment: whether the data set's standard augmentation is applied.
        """
        if refreshed_images(self.network, self.optimizer, len(images.labels), batch_size):
            generator = torch.Generator().manual_seed(seed)
            order = torch.randperm(len(images.labels), generator=generator)
            drawn = batches(images, batch_size, order, generator=generator, augment=augment)
            with answer_of(self.optimizer), self.arithmetic(images.labels.device):
                refresh_statistics(self.network, (pixels for pixels, _ in itertools.islice(drawn, REFRESH_BATCHES)))

    def seconds_aside(self) -> float:
        """Seconds so far that were no training: of what watches and replays."""
        return (0.0 if self.watch is None else self.watch.seconds) + (0.0 if self.replay is None else self.replay.seconds())


@dataclass(frozen=True)
class Evaluation:
    """Mean cross-entropy, and share of correct answers in [0, 1], over a whole split."""

    loss: float
    accuracy: float


def evaluate(fit: Fit, images: ImageSet) -> Evaluation:
    """The network in evaluation mode on a whole split, with the weights that are the optimizer's answer.

    Raises:
        Diverged: logits that are not finite.
    """
    fit.network.eval()
    order = torch.arange(len(images.labels))
    loss = torch.zeros((), device=images.labels.device)
    correct = torch.zeros((), device=images.labels.device)
    with answer_of(fit.optimizer), torch.inference_mode(), fit.arithmetic(images.labels.device):
        for pixels, labels in batches(images, EVALUATION_BATCH, order):
            logits = fit.network(pixels).float()
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
    """One pass over a split in an order, and with augmentation, that follow from the seed.

    Args:
        fit: what is trained.
        images: the training split.
        batch_size: images a step.
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
    """Train epoch by epoch and yield what each one came to.

    Args:
        fit: what is trained, in the state after epoch `first - 1`.
        train: the training split.
        val: the validation split.
        first: the first epoch to train, from 1.
        last: the last one.
        batch_size: images a step.
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
        begun = time.perf_counter()
        before = fit.seconds_aside()
        loss, accuracy = train_epoch(fit, train, batch_size, seed_of_epoch(seed, epoch), augment)
        fit.refresh(train, batch_size, seed_of_epoch(seed, epoch), augment)
        ended = time.perf_counter()
        train_seconds += ended - begun - (fit.seconds_aside() - before)
        yield conclude(fit, val, epoch, loss, accuracy, train_seconds)


def conclude(fit: Fit, val: ImageSet, epoch: int, loss: float, accuracy: float, train_seconds: float) -> CurvePoint:
    """Evaluate after an epoch, and put together what it came to.

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
