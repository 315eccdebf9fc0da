"""The loss of a step's own batch after the step, to check an optimizer that promises a decrease.

An optimizer that supports it defines `compare(before, after)` for two 0-dim losses on the device. It is enabled only by the diagnostics
`optimizer`, costs an additional forward pass per step, and does not change the training: no weights, running statistics or generators.
"""

from __future__ import annotations

import time
from collections.abc import Callable

import torch
from torch import Tensor, nn

Loss = Callable[[Tensor, Tensor], Tensor]
Compare = Callable[[Tensor, Tensor], None]


class Replay:
    """Evaluates the loss of a step's batch again with the new weights, everything else equal, and reports it to the optimizer.

    Normalisation uses the statistics of the batch, and dropout draws the same numbers. After a loss that cannot be evaluated again, no
    further evaluation is attempted.

    Attributes:
        reason: why the losses were not compared; empty if they were.
    """

    def __init__(self, network: nn.Module, loss: Loss, compare: Compare) -> None:
        """Watch the steps of a network.

        Args:
            network: maps images (N, C, H, W) to logits (N, classes).
            loss: maps logits and labels to a scalar; the loss of the steps.
            compare: receives the losses before and after each step.
        """
        self.network, self.loss, self._compare = network, loss, compare
        self.reason = ""
        self._seconds = self._told = 0.0
        self._events: list[tuple[torch.cuda.Event, torch.cuda.Event]] = []
        self._generators: tuple[Tensor, Tensor | None] | None = None

    def remember(self, device: torch.device) -> None:
        """Call before the forward pass of a step to record the state from which dropout will draw."""
        self._generators = torch.get_rng_state(), torch.cuda.get_rng_state(device) if device.type == "cuda" else None

    def __call__(self, images: Tensor, labels: Tensor, before: Tensor) -> None:
        """Call after the step.

        Args:
            images: its batch, (N, C, H, W).
            labels: (N,).
            before: the loss whose gradient it used, 0-dim.
        """
        if self.reason:
            return
        try:
            self._evaluate(images, labels, before)
        except Exception as error:
            # A diagnostic must not end the training.
            self.reason = f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"

    @torch.no_grad()
    def _evaluate(self, images: Tensor, labels: Tensor, before: Tensor) -> None:
        device = images.device
        begun = time.perf_counter()
        # On a GPU, two events in its stream, read at the end of the epoch, because the host's clock would have to wait for the device.
        started = _mark(device)
        # Batch normalisation updates its running statistics in copies, which are discarded.
        copies = {name: buffer.clone() for name, buffer in self.network.named_buffers()}
        # The next step must draw as if the second pass had not happened.
        with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
            self._recall(device)
            logits = torch.func.functional_call(self.network, copies, (images,))
        self._compare(before.detach(), self.loss(logits, labels))
        ended = _mark(device)
        if started is None or ended is None:
            self._seconds += time.perf_counter() - begun
        else:
            self._events.append((started, ended))

    def _recall(self, device: torch.device) -> None:
        if self._generators is None:
            return
        host, gpu = self._generators
        torch.set_rng_state(host)
        if gpu is not None:
            torch.cuda.set_rng_state(gpu, device)

    def seconds(self) -> float:
        """Seconds spent on replaying so far, to be excluded from training time; waits for the device."""
        for started, ended in self._events:
            ended.synchronize()
            # elapsed_time is in milliseconds.
            self._seconds += started.elapsed_time(ended) / 1000
        self._events.clear()
        return self._seconds

    def taken(self) -> dict[str, float]:
        """`compared_seconds`: seconds spent on replaying since the last call."""
        told, self._told = self._told, self.seconds()
        return {"compared_seconds": self._told - told}


def _mark(device: torch.device) -> torch.cuda.Event | None:
    """A time stamp in the stream of a GPU; None on a CPU, where the host's clock is used."""
    if device.type != "cuda":
        return None
    event = torch.cuda.Event(enable_timing=True)  # type: ignore[no-untyped-call]
    event.record()
    return event
