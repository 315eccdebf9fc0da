"""A slice of a training: a network that takes training steps on one rung of the ladder."""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from agd_bench import cost
from agd_bench.datasets import cifar10
from agd_bench.records import Trial
from agd_bench.training import checkpoints, loop
from agd_bench.training.concurrency import own_stream
from agd_bench.training.cuda_graphs import Capture, GraphRecorder
from agd_bench.training.data import batches, draw, resident
from agd_bench.training.fit import Fit
from agd_bench.trial import Workplace, make_fit
from tests.performance.engine import bare, plain
from tests.performance.engine.counters import PARTS, Counts, clock_of, count, parts_of, wait_for
from tests.performance.engine.rungs import Rung, Size

STEPS = 1_000_000
"""Number of steps in schedules, more than are ever taken."""
IMAGES = 8_192
"""Number of images; more would only take more memory."""
EVALUATION_IMAGES = 1_024


class Window(NamedTuple):
    """Work within a period: images, wall-clock seconds, CPU seconds of this process."""

    images: int
    seconds: float
    cpu_seconds: float


@lru_cache(maxsize=1)
def _pictures(image_size: int) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """Return noise in the shape of CIFAR-10; the content of images does not affect any time."""
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (IMAGES, cifar10.IN_CHANNELS, image_size, image_size), dtype=np.uint8)
    return images, rng.integers(0, cifar10.NUM_CLASSES, IMAGES)


def trial_of(architecture: str, rung: Rung, size: Size, seed: int) -> Trial:
    """Return the trial of which a slice trains a part."""
    algorithm = "nas_bench_201_sgd" if rung.optimizer == "sgd" else "agd"
    return Trial(
        search_space="nas_bench_201",
        search_space_label="nas_bench_201",
        search_space_options={"channels": size.channels, "cells": size.cells},
        architecture=architecture,
        dataset="cifar10",
        algorithm=algorithm,
        algorithm_label=algorithm,
        precision=rung.precision,
        epochs=size.epochs,
        batch_size=size.batch_size,
        seed=seed,
    )


@dataclass
class Slice:
    """A network in training.

    Attributes:
        rung: how it trains.
        size: sizes of network and data.
        device: device of the training.
        fit: the network with its optimizer, schedule and loss.
        start_seconds: seconds for building it, including the count of FLOPs as in every trial, by `clock_of` the device.
    """

    rung: Rung
    size: Size
    device: torch.device
    fit: Fit
    start_seconds: float

    def __post_init__(self) -> None:
        images, labels = _pictures(self.size.image_size)
        mean, std = cifar10.MEAN, cifar10.STD
        if self.rung.data == "bare":
            pictures = bare.Pictures(images, labels, mean, std, self.rung.precision, self.device)
            self._checked = bare.Pictures(
                images[:EVALUATION_IMAGES], labels[:EVALUATION_IMAGES], mean, std, self.rung.precision, self.device
            )
            self._endless = pictures.endless(self.size.batch_size, torch.Generator().manual_seed(0))
            self.fit.network.train()
            return
        if self.rung.data == "loader":
            self._loader = plain.loader(images, labels, mean, std, self.size.batch_size, augment=True)
            self._tested = plain.loader(images[:EVALUATION_IMAGES], labels[:EVALUATION_IMAGES], mean, std, self.size.batch_size, False)
        else:
            self._train = resident(images, labels, mean, std, plain.PADDING, self.device, flip=True)
            self._val = resident(images[:EVALUATION_IMAGES], labels[:EVALUATION_IMAGES], mean, std, 0, self.device)
        self._endless, self._generator = self._batches(), torch.Generator().manual_seed(0)
        self.fit.network.train()

    def _batches(self) -> Iterator[tuple[Tensor, Tensor]]:
        generator = torch.Generator().manual_seed(0)
        while True:
            if self.rung.data == "loader":
                yield from self._moved(iter(self._loader))
            else:
                order = torch.randperm(IMAGES, generator=generator)
                yield from batches(self._train, self.size.batch_size, order, generator, augment=True)

    def _moved(self, loaded: Iterator[Any]) -> Iterator[tuple[Tensor, Tensor]]:
        return ((images.to(self.device), labels.to(self.device)) for images, labels in loaded)

    def _advance(self, images: Tensor, labels: Tensor) -> None:
        if self.rung.data == "loader":
            plain.step(self.fit, images, labels)
        elif self.rung.data == "bare":
            bare.step(self.fit, images, labels)
        else:
            self.fit.step(images, labels)

    def train(self, seconds: float, own: bool = False) -> Window:
        """Train for a number of seconds, at least one step.

        Args:
            seconds: wall-clock seconds.
            own: whether to use `clock_of` the device instead, so that other load does not change the number of steps.
        """
        images, begun, cpu = 0, time.perf_counter(), time.process_time()
        over = self._over(seconds, own)
        while not images or not over():
            images += self._progress()
        wait_for(self.device)
        return Window(images, time.perf_counter() - begun, time.process_time() - cpu)

    def _progress(self) -> int:
        """Take a step, or if steps are captured, train one epoch, and return the number of images."""
        if self.fit.capture is None:
            batch, labels = next(self._endless)
            self._advance(batch, labels)
            return len(labels)
        order = torch.randperm(IMAGES, generator=self._generator)
        self.fit.capture.train_epoch(self._train, self.size.batch_size, draw(self._train, order, self._generator, augment=True))
        return IMAGES

    def _over(self, seconds: float, own: bool) -> Callable[[], bool]:
        """Return a function that says whether the seconds from now have passed."""
        clock = clock_of(self.device) if own else time.perf_counter
        end = clock() + seconds
        return lambda: clock() >= end

    def evaluate(self, seconds: float, own: bool = False) -> Window:
        """Evaluate for a number of seconds, at least once; arguments as in `train`."""
        images, begun, cpu = 0, time.perf_counter(), time.process_time()
        over = self._over(seconds, own)
        while not images or not over():
            if self.rung.data == "loader":
                plain.evaluate(self.fit, self._moved(iter(self._tested)))
            elif self.rung.data == "bare":
                bare.evaluate(self.fit, self._checked.batches(self.size.batch_size))
            else:
                loop.evaluate(self.fit, self._val)
            images += EVALUATION_IMAGES
        wait_for(self.device)
        return Window(images, time.perf_counter() - begun, time.process_time() - cpu)

    def parts(self, steps: int) -> dict[str, float]:
        """Return mean seconds of a step's parts: data, forward, backward (with the loss), optimizer, rest; by `clock_of` the device."""
        clock = clock_of(self.device)
        if self.fit.capture is not None:  # the parts of a graph cannot be timed separately
            begun, passes = clock(), max(1, steps * self.size.batch_size // IMAGES)
            for _ in range(passes):
                self._progress()
            wait_for(self.device)
            whole = (clock() - begun) * self.size.batch_size / (passes * IMAGES)
            return {part: whole if part == "rest" else 0.0 for part in PARTS}
        with parts_of(self.fit, self.device) as seconds:
            data = total = 0.0
            for _ in range(steps):
                begun = clock()
                batch, labels = next(self._endless)
                wait_for(self.device)
                data += clock() - begun
                self._advance(batch, labels)
                wait_for(self.device)
                total += clock() - begun
        parts = {"data": data, **seconds}
        return {part: value / steps for part, value in {**parts, "rest": total - sum(parts.values())}.items()}

    def counts(self) -> tuple[Counts, Counts]:
        """Return the counts for making a batch, and for a step on it."""
        if self.fit.capture is not None:  # bytes of the captured step, which the host launches with one call
            self.fit.network.train()
            eager = count(lambda: self.fit.update(*next(self._endless)))
            return Counts(0, 0, 0), Counts(1, 0, eager.bytes)
        drawn: list[tuple[Tensor, Tensor]] = []
        making = count(lambda: drawn.append(next(self._endless)))
        return making, count(lambda: self._advance(*drawn[0]))

    def checkpoint_seconds(self) -> float:
        """Return the seconds for writing one checkpoint durably."""
        state = {"network": self.fit.network.state_dict(), "optimizer": self.fit.optimizer.state_dict()}
        with tempfile.TemporaryDirectory() as folder:
            begun = time.perf_counter()
            checkpoints.save(Path(folder), 1, 1, state)
            return time.perf_counter() - begun


def begin(rung: Rung, size: Size, architecture: str, device: torch.device, seed: int) -> Slice:
    """Build a network as a trial does, and take two warm-up steps."""
    clock = clock_of(device)
    begun = clock()
    trial = trial_of(architecture, rung, size, seed)
    fit = make_fit(trial, Workplace(Path(), device=device.type), STEPS, device)
    blank = torch.zeros((), device=device).expand(size.batch_size, cifar10.IN_CHANNELS, size.image_size, size.image_size)
    cost.count_flops(fit.network, blank)
    wait_for(device)
    start_seconds = clock() - begun
    if rung.layout == "contiguous":
        fit.network.to(memory_format=torch.contiguous_format)
        fit.network.register_forward_pre_hook(lambda _, given: (given[0].contiguous(),))
    if rung.optimizer == "plain-agd":
        fit = replace(fit, optimizer=plain.PlainAGD(fit.network.parameters()))
    if rung.data == "bare":
        fit = bare.bare_fit(fit.network, rung.precision)
    if rung.captured:
        fit.capture = Capture(fit, GraphRecorder(device))
    made = Slice(rung, size, device, fit, start_seconds)
    for _ in range(2):
        made._progress()
    return made


class Flight:
    """Slices that train at the same time, each in its own thread and stream; measurements of a single slice use the first.

    Attributes:
        start_seconds: mean seconds for building one.
    """

    def __init__(self, rung: Rung, size: Size, architecture: str, device: torch.device, seed: int) -> None:
        self._device = device
        self._threads = [ThreadPoolExecutor(1) for _ in range(rung.in_flight)]
        self._slices = [
            thread.submit(self._on_own_stream, begin, rung, size, architecture, device, seed + number).result()
            for number, thread in enumerate(self._threads)
        ]
        self.start_seconds = statistics.fmean(one.start_seconds for one in self._slices)

    def _on_own_stream(self, work: Callable[..., Any], *given: Any) -> Any:
        with torch.cuda.stream(own_stream(self._device)) if self._device.type == "cuda" else nullcontext():
            return work(*given)

    def _all(self, method: str, seconds: float, own: bool) -> Window:
        """Run a method of all slices at the same time, and return their total images in the time of the slowest."""
        cpu, works = time.process_time(), [getattr(one, method) for one in self._slices]
        begun = [thread.submit(self._on_own_stream, work, seconds, own) for thread, work in zip(self._threads, works, strict=True)]
        windows = [one.result() for one in begun]
        return Window(sum(one.images for one in windows), max(one.seconds for one in windows), time.process_time() - cpu)

    def train(self, seconds: float, own: bool = False) -> Window:
        """Train all slices, as `Slice.train`."""
        return self._all("train", seconds, own)

    def evaluate(self, seconds: float, own: bool = False) -> Window:
        """Evaluate all slices, as `Slice.evaluate`."""
        return self._all("evaluate", seconds, own)

    def __getattr__(self, name: str) -> Any:
        """Return a method that measures a single slice: that of the first, run in its thread."""
        if name not in ("parts", "counts", "checkpoint_seconds"):
            raise AttributeError(name)
        return lambda *given: self._threads[0].submit(self._on_own_stream, getattr(self._slices[0], name), *given).result()
