"""K trainings of one fully connected network at once against one after the other: time a step, on one thread.

    OMP_NUM_THREADS=1 python tests/performance/replicas.py [--rounds 15] [--device cpu]

Both sides take the same steps (batches, forward, loss, backward, optimizer), alternate in one process, and are timed by CPU time on a CPU,
by wall time with a wait for the device elsewhere. Printed are medians and quartiles over rounds of the ratio one after the other /
together (above 1: together is faster), of K together / one alone: what K seeds cost, and of steps of a pack that draws a batch for each
replica / one for all, as tuning runs of one seed have it, both with the drawing.
"""

from __future__ import annotations

import argparse
import itertools
import os
import platform
import statistics
import time
from typing import Any

import numpy as np
import torch
from torch import nn

from agd_bench import cost
from agd_bench.algorithms import agd, nas_bench_201_sgd
from agd_bench.training.data import resident
from agd_bench.training.loop import Fit
from agd_bench.training.profiles import apply_profile
from agd_bench.training.replicas import Pack, streams
from search_spaces import fcn

BATCH, SIZE, CLASSES = 64, 28, 10


def fit(algorithm: Any, architecture: str, seed: int, device: torch.device) -> Fit:
    """A training of one network."""
    torch.manual_seed(seed)
    network: nn.Module = apply_profile(fcn.build(architecture, 1, CLASSES, size=SIZE), "matrix-only")
    network = algorithm.prepare(network, torch.Generator().manual_seed(seed)).to(device)
    built = algorithm.build(network, 1_000_000)
    optimizer, scheduler = built if isinstance(built, tuple) else (built, None)
    return Fit(network, optimizer, scheduler, algorithm.loss)


def main() -> None:
    """Measure and print one row for each network, algorithm and K."""
    parser = argparse.ArgumentParser(description="K replicas in one set of kernels")
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--device", default="cpu")
    given = parser.parse_args()
    torch.set_num_threads(1)
    device = torch.device(given.device)
    clock = time.process_time if device.type == "cpu" else time.perf_counter

    def seconds(work: Any, repeats: int) -> float:
        for wait in (True, False):
            if device.type == "cuda":
                torch.cuda.synchronize()
            if wait:
                begun = clock()
                for _ in range(repeats):
                    work()
        return (clock() - begun) / repeats

    print(f"{cost.device_name(device)}, {os.cpu_count()} cores, 1 thread; Python {platform.python_version()}, torch {torch.__version__}")
    print(f"fcn, images {SIZE} x {SIZE}, batch {BATCH}, n = {given.rounds} alternating rounds")
    print("network  algorithm            K  apart / together   quartiles   together / one   own / shared batches")
    pixels = np.random.default_rng(0).integers(0, 256, (6_400, 1, SIZE, SIZE), dtype=np.uint8)
    images = resident(pixels, np.zeros(len(pixels), dtype=np.int64), (0.5,), (0.25,), 4, device, flip=True)
    for architecture in ("4x64", "4x256", "10x256"):
        for algorithm in (agd, nas_bench_201_sgd):
            for count in (1, 3, 8, 16):
                generator = torch.Generator().manual_seed(0)
                batches = [
                    (
                        torch.randn(BATCH, 1, SIZE, SIZE, generator=generator).to(device),
                        torch.randint(CLASSES, (BATCH,), generator=generator).to(device),
                    )
                    for _ in range(count)
                ]
                pack = Pack([fit(algorithm, architecture, seed, device) for seed in range(count)])
                fits = [fit(algorithm, architecture, seed, device) for seed in range(count)]
                drawn = {
                    way: itertools.chain.from_iterable(streams(images, BATCH, seeds, augment=True) for _ in itertools.count())
                    for way, seeds in (("own", range(count)), ("shared", [0] * count))
                }
                sides = {
                    "together": lambda pack=pack, batches=batches: pack.step(batches),
                    "apart": lambda fits=fits, batches=batches: [one.step(*own) for one, own in zip(fits, batches, strict=True)],
                    "one": lambda fits=fits, batches=batches: fits[0].step(*batches[0]),
                    **{way: lambda pack=pack, stream=stream: pack.step(next(stream)) for way, stream in drawn.items()},
                }
                repeats = max(1, round(0.03 / seconds(sides["together"], 3)))
                taken: dict[str, list[float]] = {name: [] for name in sides}
                for number in range(given.rounds):
                    for name in list(sides)[:: 1 if number % 2 else -1]:
                        taken[name].append(seconds(sides[name], repeats))
                ratios = [a / b for a, b in zip(taken["apart"], taken["together"], strict=True)]
                low, middle, high = statistics.quantiles(ratios, n=4)
                own = statistics.median(a / b for a, b in zip(taken["together"], taken["one"], strict=True))
                shared = statistics.median(a / b for a, b in zip(taken["own"], taken["shared"], strict=True))
                name = algorithm.__name__.rpartition(".")[2]
                said = f"{architecture:8} {name:18} {count:3} {middle:16.2f} {f'{low:.2f} to {high:.2f}':>13} {own:14.2f} {shared:14.2f}"
                print(said, flush=True)


if __name__ == "__main__":
    main()
