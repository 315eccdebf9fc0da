"""Measure the benefit of keeping freed memory in workers: CPU time and page faults of a step with and without, and peak memory.

    python -m tests.performance.kept_memory [--image-size 32] [--rounds 5] [--seconds 2]

Every measurement runs in its own process with one thread, in alternating order, since a process that has freed large blocks once behaves
differently afterwards. The network is a cell of NAS-Bench-201 (16 channels, one cell per stage, batch 128) with channels-last kernels.
"""

from __future__ import annotations

import argparse
import itertools
import platform
import resource
import statistics
import subprocess
import sys
from dataclasses import replace
from typing import Literal

import torch

from agd_bench.records import Precision
from agd_bench.scheduling.executors.worker import keep_freed_memory, limit_threads
from tests.performance.engine import slices
from tests.performance.engine.rungs import Size, ladder

Optimizer = Literal["sgd", "agd"]
CELL = "|skip_connect~0|+|nor_conv_3x3~0|nor_conv_1x1~1|+|nor_conv_1x1~0|nor_conv_1x1~1|skip_connect~2|"


def measure(image_size: int, precision: Precision, optimizer: Optimizer, seconds: float, kept: bool) -> None:
    """Train, and print CPU milliseconds and page faults per step, and peak memory in MB."""
    limit_threads(1)
    if kept and not keep_freed_memory():
        sys.exit("this C library cannot be told to keep memory: glibc alone can")
    device = torch.device("cpu")
    rung = replace(ladder(device)[-1], precision=precision, optimizer=optimizer)
    trained = slices.begin(rung, Size(image_size=image_size, cells=1, batch_size=128), CELL, device, 0)
    trained.train(seconds / 2, True)
    trained.evaluate(seconds / 2, True)  # as after every epoch: the memory freed here affects how much the process requests later
    trained.train(seconds / 4, True)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    window = trained.train(seconds, True)
    after = resource.getrusage(resource.RUSAGE_SELF)
    steps = window.images / 128
    print(1e3 * window.cpu_seconds / steps, (after.ru_minflt - before) / steps, after.ru_maxrss / 1e3)


def main() -> None:
    """Compare in both precisions."""
    parser = argparse.ArgumentParser(description="freed memory kept against given back")
    parser.add_argument("--image-size", type=int, default=32)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=2.0)
    parser.add_argument("--measure", nargs=3, metavar=("PRECISION", "OPTIMIZER", "WAY"), help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.measure:
        precision, optimizer, way = given.measure
        return measure(given.image_size, precision, optimizer, given.seconds, way == "kept")
    print(f"Python {platform.python_version()}, torch {torch.__version__}; {given.image_size} px; medians of {given.rounds} rounds")
    print("training   step ms given back / kept   ratio of CPU time   page faults a step   peak MB")
    for precision, optimizer in itertools.product(("float32", "bfloat16"), ("sgd", "agd")):
        seen: dict[str, list[list[float]]] = {"back": [], "kept": []}
        for number in range(given.rounds):
            for way in list(seen)[:: -1 if number % 2 else 1]:
                own = ["--image-size", str(given.image_size), "--seconds", str(given.seconds), "--measure", precision, optimizer, way]
                command = [sys.executable, "-m", "tests.performance.kept_memory", *own]
                told = subprocess.run(command, check=True, capture_output=True, text=True).stdout
                seen[way].append([float(value) for value in told.split()])
        ratio = statistics.median(kept[0] / back[0] for back, kept in zip(seen["back"], seen["kept"], strict=True))
        (back, back_faults, back_peak), (kept, kept_faults, kept_peak) = (
            [statistics.median(column) for column in zip(*seen[way], strict=True)] for way in ("back", "kept")
        )
        print(
            f"{precision} {optimizer}   {back:.1f} / {kept:.1f}   {ratio:.2f}   "
            f"{back_faults:,.0f} / {kept_faults:,.0f}   {back_peak:,.0f} / {kept_peak:,.0f}"
        )
    return None


if __name__ == "__main__":
    main()
