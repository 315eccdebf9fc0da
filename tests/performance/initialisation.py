"""Compare orthogonal initialisation batched over taps, by QR and by Cholesky, with torch's, tap by tap.

    OMP_NUM_THREADS=1 python -m tests.performance.initialisation [--rounds 15] [--device cpu]

All methods draw the weights of one network anew and alternate in one process. They are timed in CPU time on a CPU, and elsewhere in wall
time, including a wait for the device. The script prints torch's milliseconds, and medians and quartiles over rounds of the other methods'
ratios to torch's.
Target on a CPU: QR at most 0.75 times on NAS-Bench-201, 1.05 elsewhere; at most 1 % of a training everywhere.
"""

from __future__ import annotations

import argparse
import os
import platform
import statistics
import time
from collections.abc import Callable
from unittest import mock

import torch
from torch import nn

from agd_bench.optim import orthogonal
from agd_bench.optim.agd import initialise
from agd_bench.training.profiles import apply_profile
from agd_bench.trial.provenance import device_name
from search_spaces import fcn, nas_bench_201, preact_resnet

CELL = "|nor_conv_3x3~0|+|nor_conv_3x3~0|nor_conv_3x3~1|+|skip_connect~0|nor_conv_3x3~1|nor_conv_1x1~2|"


def networks() -> dict[str, nn.Module]:
    """Return networks with many small taps, with matrices, and with large taps."""
    built = {
        "nas_bench_201": nas_bench_201.build(CELL, 3, 10),
        "fcn 10x256": fcn.build("10x256", 3, 10, size=32),
        "preact_resnet-18": preact_resnet.build("basic-2-2-2-2-w64", 3, 10),
    }
    return {name: apply_profile(network, "matrix-only") for name, network in built.items()}


def tap_by_tap(network: nn.Module) -> None:
    """Initialise each tap separately with torch."""
    generator = torch.Generator().manual_seed(0)
    for weights in network.parameters():
        for tap in weights.detach().reshape(*weights.shape[:2], -1).unbind(-1):
            nn.init.orthogonal_(tap, generator=generator)


def batched(network: nn.Module, way: str, device: torch.device) -> None:
    """Initialise with this package, by one factorisation."""
    chosen = getattr(orthogonal, way)
    with mock.patch.multiple(orthogonal, by_householder=chosen, by_cholesky=chosen):
        initialise(network, torch.Generator().manual_seed(0), device)


def main() -> None:
    """Measure and print one row for each network."""
    parser = argparse.ArgumentParser(description="orthogonal initialisation")
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--device", default="cpu")
    given = parser.parse_args()
    torch.set_num_threads(1)
    device = torch.device(given.device)
    clock = time.process_time if device.type == "cpu" else time.perf_counter

    def milliseconds(work: Callable[[], None]) -> float:
        begun = clock()
        work()
        if device.type == "cuda":
            torch.cuda.synchronize()
        return 1e3 * (clock() - begun)

    print(f"{device_name(device)}, {os.cpu_count()} cores, 1 thread; Python {platform.python_version()}, torch {torch.__version__}")
    print(f"n = {given.rounds} alternating rounds, after one to warm up")
    print(f"{'network':18} {'tensors':>7} {'taps':>6} {'tap by tap, ms':>15} {'QR':>6} {'quartiles':>13} {'Cholesky':>9} {'quartiles':>13}")
    for name, network in networks().items():
        ways: dict[str, Callable[[], None]] = {
            "tap by tap": lambda network=network: tap_by_tap(network),  # type: ignore[misc]
            "QR": lambda network=network: batched(network, "by_householder", device),  # type: ignore[misc]
            "Cholesky": lambda network=network: batched(network, "by_cholesky", device),  # type: ignore[misc]
        }
        taken: dict[str, list[float]] = {way: [] for way in ways}
        for number in range(given.rounds + 1):
            for way in list(ways)[:: 1 if number % 2 else -1]:
                spent = milliseconds(ways[way])
                taken[way] += [spent] if number else []
        cells = []
        for way in ("QR", "Cholesky"):
            low, middle, high = statistics.quantiles([a / b for a, b in zip(taken[way], taken["tap by tap"], strict=True)], n=4)
            cells.append(f"{middle:{6 if way == 'QR' else 9}.2f} {f'{low:.2f} to {high:.2f}':>13}")
        weights = list(network.parameters())
        taps = sum(weight[0, 0].numel() for weight in weights)
        print(f"{name:18} {len(weights):7} {taps:6} {statistics.median(taken['tap by tap']):15.1f} {' '.join(cells)}", flush=True)


if __name__ == "__main__":
    main()
