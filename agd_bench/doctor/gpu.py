"""Measure training on this machine's GPU, and what each number decides: graphs or eager steps, trials in flight, cudnn.benchmark, hours.

Networks are NAS-Bench-201 cells in bfloat16 where the GPU has it, on noise images of CIFAR-10's shape; speed does not depend on values.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch

from agd_bench.doctor.machine import Finding
from agd_bench.errors import ExecutorError
from agd_bench.records import Trial
from agd_bench.training import loop
from agd_bench.training.concurrency import own_surroundings
from agd_bench.training.cuda_graphs import capture_steps
from agd_bench.training.data import ImageSet, resident, steps_per_epoch
from agd_bench.training.device_faults import describe
from agd_bench.training.fit import Fit, suited_precision
from agd_bench.training.turns import DEFAULT_GENERATORS
from agd_bench.trial import Workplace, make_fit

ARCHITECTURES = {
    "skips": "|skip_connect~0|+|skip_connect~0|skip_connect~1|+|skip_connect~0|skip_connect~1|skip_connect~2|",
    "mixed": "|nor_conv_3x3~0|+|skip_connect~0|nor_conv_1x1~1|+|avg_pool_3x3~0|none~1|nor_conv_3x3~2|",
    "largest": "|nor_conv_3x3~0|+|nor_conv_3x3~0|nor_conv_3x3~1|+|nor_conv_3x3~0|nor_conv_3x3~1|nor_conv_3x3~2|",
}
"""Few, some and all of the convolutions that a cell can have."""
ALGORITHMS = {"agd": "matrix-only", "nas_bench_201_sgd": "as-published", "adamw": "as-published", "nadamw": "as-published"}
"""Algorithms with captured steps, and the profile of their networks."""
IN_FLIGHT = (1, 2, 4, 8)
TIMED_EPOCHS = 2
# As in the scheduler: smaller gains are within the noise of timing.
GAIN = 1.05
BENCHMARK_GAIN = 1.15
"""Speed-up for which cudnn.benchmark would be worth results whose last digits differ from run to run."""
AGREEMENT = 1e-3
"""Largest relative difference of an epoch's loss between graph and eager steps: both add up in an order that varies."""
NETWORKS, EPOCH_IMAGES, EPOCHS = 6_466, 50_000, 12
"""Distinct networks of NAS-Bench-201, training images of CIFAR-10, and epochs of the benchmark's short training."""


@dataclass(frozen=True)
class Size:
    """What is trained: channels of the first stage, cells in each stage, images per step, and images of both splits."""

    channels: int = 16
    cells: int = 5
    batch_size: int = 256
    train_images: int = 25_600
    val_images: int = 5_120


QUICK = Size(4, 1, 64, 640, 128)


class Timing(NamedTuple):
    """Milliseconds of a training step, of the host in it, and of an evaluation; seconds of the first epoch; device memory; why eager."""

    step_ms: float
    host_ms: float
    evaluation_ms: float
    first_epoch_s: float
    peak_bytes: int
    reason: str
    loss: float


class Bench:
    """Trains networks of one size on one GPU."""

    def __init__(self, size: Size) -> None:
        """Put noise images on the GPU.

        Raises:
            ExecutorError: there is no GPU.
        """
        self.size, self._workplace = size, Workplace(Path(), device="cuda")
        self.device = self._workplace.torch_device()
        self.precision = suited_precision(self.device)
        self._train, self._val = (self._noise(count) for count in (size.train_images, size.val_images))

    def _noise(self, count: int) -> ImageSet:
        rng = np.random.default_rng(0)
        pixels, labels = rng.integers(0, 256, (count, 3, 32, 32), dtype=np.uint8), rng.integers(0, 10, count)
        return resident(pixels, labels, (0.5,) * 3, (0.25,) * 3, 4, self.device, flip=True)

    def fit(self, architecture: str, algorithm: str, *, graph: bool, precision: str = "", seed: int = 0) -> Fit:
        """Return a training that has not begun."""
        asked = {
            "search_space": "nas_bench_201",
            "search_space_label": "nas_bench_201",
            "search_space_options": {"channels": self.size.channels, "cells": self.size.cells},
            "architecture": ARCHITECTURES[architecture],
            "dataset": "cifar10",
            "algorithm": algorithm,
            "algorithm_label": algorithm,
            "profile": ALGORITHMS[algorithm],
            "precision": precision or self.precision,
            "epochs": 1 + TIMED_EPOCHS,
            "batch_size": self.size.batch_size,
            "seed": seed,
        }
        steps = steps_per_epoch(self.size.train_images, self.size.batch_size)
        with DEFAULT_GENERATORS:
            fit = make_fit(Trial.model_validate(asked), self._workplace, (1 + TIMED_EPOCHS) * steps, self.device)
        fit.seeded = False
        fit.network.train()
        if graph:
            capture_steps(fit, self.device)
        return fit

    def train(self, fit: Fit, epochs: range) -> float:
        """Train, and return the mean loss of the last epoch."""
        return [loop.train_epoch(fit, self._train, self.size.batch_size, epoch, augment=True)[0] for epoch in epochs][-1]

    def evaluate(self, fit: Fit) -> None:
        """Evaluate on the second split."""
        loop.evaluate(fit, self._val)

    def time(self, architecture: str, algorithm: str, *, graph: bool, benchmark: bool = False) -> Timing:
        """Train alone; `benchmark`: whether cuDNN chooses its kernels by timing them."""
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats(self.device)
        # cuDNN's settings inside, because trials begin with settings of their own
        with own_surroundings(1, self.device), cudnn(benchmark=benchmark):
            fit = self.fit(architecture, algorithm, graph=graph)
            first, _, _ = self._timed(lambda: self.train(fit, range(1)))
            self.evaluate(fit)
            wall, host, loss = self._timed(lambda: self.train(fit, range(1, 1 + TIMED_EPOCHS)))
            evaluation, _, _ = self._timed(lambda: self.evaluate(fit))
            reason = fit.eager_reason or ("" if fit.capture is None else fit.capture.reason)
        steps = TIMED_EPOCHS * steps_per_epoch(self.size.train_images, self.size.batch_size)
        peak = int(torch.cuda.max_memory_allocated(self.device))
        return Timing(1e3 * wall / steps, 1e3 * host / steps, 1e3 * evaluation, first, peak, reason, float(loss or 0))

    def _timed(self, work: Callable[[], float | None]) -> tuple[float, float, float | None]:
        """Seconds of the wall and of the host's cores until the device has done the work, and its result."""
        torch.cuda.synchronize(self.device)
        begun, busy = time.perf_counter(), time.process_time()
        result = work()
        torch.cuda.synchronize(self.device)
        return time.perf_counter() - begun, time.process_time() - busy, result

    def images_per_second(self, number: int) -> float:
        """Train so many networks at a time, one in each thread, and count the training images per second of all.

        Raises:
            ExecutorError: one of them failed.
        """
        ready, done, errors = threading.Barrier(number + 1), threading.Barrier(number + 1), list[str]()

        def work(seed: int) -> None:
            try:
                with own_surroundings(1, self.device):
                    fit = self.fit("mixed", "agd", graph=True, seed=seed)
                    self.train(fit, range(1))
                    ready.wait()
                    self.train(fit, range(1, 1 + TIMED_EPOCHS))
                    torch.cuda.current_stream(self.device).synchronize()
                    done.wait()
            except threading.BrokenBarrierError:
                pass  # another thread failed
            except Exception as error:
                errors.append(describe(error))
                ready.abort()
                done.abort()

        threads = [threading.Thread(target=work, args=(seed,)) for seed in range(number)]
        for thread in threads:
            thread.start()
        seconds = 0.0
        try:
            ready.wait()
            begun = time.perf_counter()
            done.wait()
            seconds = time.perf_counter() - begun
        except threading.BrokenBarrierError:
            pass
        for thread in threads:
            thread.join()
        if errors:
            raise ExecutorError(errors[0])
        return number * TIMED_EPOCHS * self.size.train_images / seconds


@contextmanager
def cudnn(**settings: bool) -> Iterator[None]:
    """Context with settings of cuDNN."""
    before = {name: getattr(torch.backends.cudnn, name) for name in settings}
    for name, value in settings.items():
        setattr(torch.backends.cudnn, name, value)
    try:
        yield
    finally:
        for name, value in before.items():
            setattr(torch.backends.cudnn, name, value)


def measure(size: Size) -> Iterator[Finding]:
    """Measure, and yield each number with what it decides.

    Args:
        size: of the networks and of the splits.

    Raises:
        ExecutorError: there is no GPU.
    """
    bench = Bench(size)
    for part in (_steps, _agreement, _in_flight, _benchmark):
        try:
            yield from part(bench)
        except Exception as error:
            yield Finding(part.__name__.strip("_").replace("_", " "), "warning", describe(error), "see agd_bench/training/README.md")


def _steps(bench: Bench) -> Iterator[Finding]:
    """Graphs or eager steps."""
    for architecture in ARCHITECTURES:
        for algorithm in ("agd", "nas_bench_201_sgd"):
            graph, eager = (bench.time(architecture, algorithm, graph=graph) for graph in (True, False))
            faster = eager.step_ms / graph.step_ms
            said = f"{graph.step_ms:.2f} ms as a graph, {eager.step_ms:.2f} ms eager ({faster:.1f} times as long)"
            detail = f"{said}; host busy {graph.host_ms:.2f} and {eager.host_ms:.2f} ms; first epoch {graph.first_epoch_s:.1f} s"
            numbers = {f"{kind}_{name}": value for kind, one in (("graph", graph), ("eager", eager)) for name, value in _values(one)}
            advice = graph.reason and f"not captured: {graph.reason}"
            if not advice and faster < 1:
                advice = "graphs are slower than eager steps here: please report this"
            yield Finding(f"step of {algorithm}, {architecture}", "warning" if advice else "ok", detail, advice, numbers)


def _values(timing: Timing) -> list[tuple[str, float]]:
    return [(name, value) for name, value in timing._asdict().items() if isinstance(value, int | float)]


def _agreement(bench: Bench) -> Iterator[Finding]:
    """Whether graphs compute what eager steps compute: the same deterministic kernels in float32."""
    for algorithm in ALGORITHMS:
        losses = []
        for graph in (True, False):
            with own_surroundings(1, bench.device), cudnn(deterministic=True):
                losses.append(bench.train(bench.fit("mixed", algorithm, graph=graph, precision="float32"), range(1)))
        difference = abs(losses[0] - losses[1]) / max(abs(losses[1]), 1e-30)
        detail = f"loss of an epoch {losses[0]:.6f} as a graph, {losses[1]:.6f} eager"
        fine = difference <= AGREEMENT
        advice = "" if fine else "do not use the results: please report this"
        yield Finding(f"agreement of {algorithm}", "ok" if fine else "warning", detail, advice, {"relative_difference": difference})


def _in_flight(bench: Bench) -> Iterator[Finding]:
    """How many trials at a time, and the hours of NAS-Bench-201 with that many."""
    speeds: dict[int, float] = {}
    for number in IN_FLIGHT:
        try:
            speeds[number] = bench.images_per_second(number)
        except ExecutorError as error:
            yield Finding(f"{number} in flight", "warning", str(error), "fewer may fit")
            break
        yield Finding(f"{number} in flight", "ok", f"{speeds[number]:,.0f} images/s", "", {"images_per_second": speeds[number]})
    if speeds:
        best = best_number(speeds)
        hours = NETWORKS * EPOCHS * EPOCH_IMAGES / speeds[best] / 3600
        yield Finding("trials in flight", "ok", f"{best} at a time", f"`agd-bench run … --in-flight {best}`", {"in_flight": best})
        said = f"{hours:,.1f} h for {NETWORKS:,} networks, {EPOCHS} epochs of CIFAR-10, one seed, by the speed of `mixed`"
        yield Finding("NAS-Bench-201", "ok", said, "", {"hours": hours})


def best_number(speeds: dict[int, float]) -> int:
    """Return the smallest number after which speed grows by less than `GAIN`, as the scheduler chooses it.

    Args:
        speeds: images per second by number of trials in flight, ascending.
    """
    best, *others = speeds
    for number in others:
        if speeds[number] < GAIN * speeds[best]:
            break
        best = number
    return best


def _benchmark(bench: Bench) -> Iterator[Finding]:
    """Whether cudnn.benchmark, which times kernels and takes the fastest, is worth results that differ in the last digits."""
    chosen, timed = (bench.time("mixed", "agd", graph=True, benchmark=benchmark).step_ms for benchmark in (False, True))
    faster = chosen / timed
    worth = faster >= BENCHMARK_GAIN
    detail = f"{timed:.2f} ms a step with it, {chosen:.2f} without ({faster:.2f} times as fast)"
    advice = "worth a setting in agd_bench/training/settings.py: please report this" if worth else "it stays off"
    yield Finding("cudnn.benchmark", "warning" if worth else "ok", detail, advice, {"speed_up": faster})
