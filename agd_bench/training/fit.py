"""A network in training with its optimizer, schedule, loss and settings; the best precision for a device."""

from __future__ import annotations

import itertools
import math
import threading
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from typing import Any, Protocol

import torch
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from agd_bench.diagnostics import Watch
from agd_bench.errors import DeadlineExceeded
from agd_bench.records import Precision
from agd_bench.training.data import Drawn, ImageSet, batches
from agd_bench.training.descent_check import Replay
from agd_bench.training.eval_weights import REFRESH_BATCHES, answer_of, refresh_statistics, refreshed_images
from agd_bench.training.turns import own_seconds


def suited_precision(device: torch.device) -> Precision:
    """`bfloat16` if the device has instructions for it, otherwise `float32`, because emulation would be slower than float32.

    Args:
        device: GPUs of compute capability 8.0 or higher, and CPUs with AVX512-BF16 or AMX, have them.
    """
    if device.type == "cuda":
        able = torch.cuda.is_bf16_supported(including_emulation=False)
    else:
        able = device.type == "cpu" and (torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported())
    return "bfloat16" if able else "float32"


class CapturedSteps(Protocol):
    """Steps of a training that are captured once and replayed, as `cuda_graphs.Capture` does.

    Attributes:
        reason: why they remain eager; empty otherwise.
        replays: steps replayed so far.
    """

    reason: str
    replays: int

    def train_epoch(self, images: ImageSet, batch_size: int, drawn: Drawn) -> tuple[Tensor, Tensor]:
        """Train one pass over a split; return its summed loss and number of correct answers, 0-dim, on the device."""

    def evaluate(self, images: ImageSet, batch_size: int) -> tuple[Tensor, Tensor]:
        """The same without training; the loss is cross-entropy."""


@dataclass
class Fit:
    """A network in training with its optimizer, schedule, loss and settings.

    Attributes:
        network: maps images (N, C, H, W) to logits (N, classes).
        optimizer: updates its weights.
        scheduler: stepped once after every step; None without a schedule.
        loss: maps logits and labels to a scalar.
        precision: arithmetic of the forward and backward pass.
        stop_at: `own_seconds()` after which a step raises; None without a deadline.
        cancelled: once set, the next step raises; None if it cannot be cancelled.
        diagnosed: whether `diagnostics` includes the optimizer's own.
        watch: measures the network at some steps, outside the training time.
        replay: checks the decrease that the optimizer promises for each step.
        steps: number of steps done.
        tell: the algorithm's numbers about its optimizer by name, read once per epoch; `eta` is the effective learning rate.
        capture: replays the steps as one graph; None if they run eagerly.
        eager_reason: why nothing is captured.
        seeded: whether each epoch seeds torch's default generators; unnecessary for a training that never draws from them.
        turn: context for each epoch and the test; gives a training that draws random numbers its own generators if others train too.
    """

    network: nn.Module
    optimizer: Optimizer
    scheduler: LRScheduler | None
    loss: Callable[[Tensor, Tensor], Tensor]
    precision: Precision = "float32"
    stop_at: float | None = None
    cancelled: threading.Event | None = None
    diagnosed: bool = False
    watch: Watch | None = None
    replay: Replay | None = None
    steps: int = 0
    tell: Callable[[Optimizer], Mapping[str, float]] | None = None
    capture: CapturedSteps | None = None
    eager_reason: str = ""
    seeded: bool = True
    turn: AbstractContextManager[object] = field(default_factory=nullcontext)

    def arithmetic(self, device: torch.device) -> AbstractContextManager[object]:
        """Autocast if required by the precision; weights and AGD's norms stay float32."""
        if self.precision == "float32":
            return nullcontext()
        return torch.autocast(device.type, dtype=torch.bfloat16)

    def step(self, images: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        """Run one update; the loss and the number of correct answers stay on the device.

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

    def update(self, images: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        """The part of a step that runs only on the device and can be captured: forward, loss, backward and the optimizer."""
        self.optimizer.zero_grad(set_to_none=True)
        with self.arithmetic(images.device):
            logits = self.network(images)
        # bfloat16 has 8 significant bits, which is too few for a loss and its sums.
        logits = logits.float()
        loss = self.loss(logits, labels)
        torch.autograd.backward((loss,))
        self.optimizer.step()
        if self.replay is not None:
            self.replay(images, labels, loss)
        # The loss is a mean; as a sum, a shorter last batch counts by its images.
        return loss.detach() * len(labels), (logits.detach().argmax(1) == labels).sum()

    def score(self, images: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        """Summed cross-entropy and number of correct answers of a batch, on the device; the network is in evaluation mode."""
        with torch.inference_mode(), self.arithmetic(images.device):
            logits = self.network(images).float()
            # Always cross-entropy, regardless of the training loss, so curves are comparable.
            return nn.functional.cross_entropy(logits, labels, reduction="sum"), (logits.argmax(1) == labels).sum()

    def check_deadline(self) -> None:
        """Raise `DeadlineExceeded` if the trial's time is up or its executor gave it up."""
        if self.cancelled is not None and self.cancelled.is_set():
            raise DeadlineExceeded("given up by its executor")
        # Waiting for other trainings in the process does not count against the trial.
        if self.stop_at is not None and own_seconds() > self.stop_at:
            raise DeadlineExceeded("longer than its deadline")

    def learning_rate(self) -> float | None:
        """The learning rate of the last step, from the algorithm if it reports one, otherwise from the optimizer (AGD: automatic)."""
        reported = {} if self.tell is None else self.tell(self.optimizer)
        rate = reported.get("eta", self.optimizer.param_groups[0].get("lr"))
        return None if rate is None else float(rate)

    def diagnostics(self) -> dict[str, float]:
        """Finite numbers about the steps and the network since the last call, in one transfer; empty if not requested."""
        ask = getattr(self.optimizer, "diagnostics", None) if self.diagnosed else None
        own: dict[str, Tensor] = {} if ask is None else ask()
        # One transfer for all, because each `.item()` would wait for the device.
        read = torch.stack([value.double() for value in own.values()]).tolist() if own else []
        reported = self.tell(self.optimizer) if self.diagnosed and self.tell is not None else {}
        watched = {} if self.watch is None else self.watch.taken(self.steps)
        finite = {name: value for name, value in [*zip(own, read, strict=True), *reported.items()] if math.isfinite(value)}
        replayed = {} if self.replay is None else self.replay.taken()
        return finite | watched | replayed

    def refresh(self, images: ImageSet, batch_size: int, seed: int, augment: bool) -> None:
        """Recompute batch normalisation statistics at the evaluation weights, if they differ from the training weights.

        Args:
            images: the training split.
            batch_size: images per step.
            seed: seed of the epoch; the images are those of its first steps.
            augment: whether the data set's standard augmentation is applied.
        """
        if refreshed_images(self.network, self.optimizer, len(images.labels), batch_size):
            generator = torch.Generator().manual_seed(seed)
            order = torch.randperm(len(images.labels), generator=generator)
            drawn = batches(images, batch_size, order, generator=generator, augment=augment)
            with answer_of(self.optimizer), self.arithmetic(images.labels.device):
                refresh_statistics(self.network, (pixels for pixels, _ in itertools.islice(drawn, REFRESH_BATCHES)))

    def seconds_aside(self) -> float:
        """Seconds spent on measuring and checking instead of training so far."""
        return (0.0 if self.watch is None else self.watch.seconds) + (0.0 if self.replay is None else self.replay.seconds())

    def state_dict(self) -> dict[str, Any]:
        """The states of network, optimizer and schedule for a checkpoint."""
        return {
            "network": self.network.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "scheduler": {} if self.scheduler is None else self.scheduler.state_dict(),
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue from a result of `state_dict`."""
        self.network.load_state_dict(state["network"])
        self.optimizer.load_state_dict(state["optimizer"])
        if self.scheduler is not None:
            self.scheduler.load_state_dict(state["scheduler"])
