"""The ladder from the plain way of training many small networks to this package's way, with one change per rung."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

import torch

from agd_bench.cores import usable_cores
from agd_bench.records import Precision
from agd_bench.training.fit import suited_precision

IN_FLIGHT = 4
"""Number of simultaneous trainings in one process on a GPU."""
BARE = "a bare loop for one network"


@dataclass(frozen=True)
class Size:
    """What is trained: networks of the search space `nas_bench_201`, on as many images as in CIFAR-10.

    Attributes:
        image_size: height and width, in pixels.
        channels: number of channels of the first stage; 16 as published.
        cells: number of cells in each stage; 5 as published.
        batch_size: images per step; 256 as published.
        epochs: epochs per training.
        train_images: images per epoch.
        val_images: images evaluated after each epoch.
        test_images: images evaluated once.
    """

    image_size: int = 32
    channels: int = 16
    cells: int = 5
    batch_size: int = 256
    epochs: int = 12
    train_images: int = 50_000
    val_images: int = 5_000
    test_images: int = 10_000


@dataclass(frozen=True)
class Rung:
    """One way to train.

    Attributes:
        name: what it changes compared with the previous rung.
        data: `loader`: a DataLoader with Pillow, and losses read in each step; `resident`: this package's; `bare`: a hand-written loop.
        layout: of images and kernels in memory.
        precision: of forward and backward.
        optimizer: torch's fused SGD with momentum, this package's AGD, or AGD tap by tap.
        per_core: whether one single-threaded process runs per core, instead of one process with all threads.
        captured: whether a step is one CUDA graph.
        in_flight: number of simultaneous trainings in one process, each in a thread.
        on_ladder: whether it builds on the previous rung; otherwise it is only compared with the plain way.
    """

    name: str
    data: Literal["loader", "resident", "bare"] = "loader"
    layout: Literal["contiguous", "channels-last"] = "contiguous"
    precision: Precision = "float32"
    optimizer: Literal["sgd", "agd", "plain-agd"] = "sgd"
    per_core: bool = False
    captured: bool = False
    in_flight: int = 1
    on_ladder: bool = True


def ladder(device: torch.device) -> tuple[Rung, ...]:
    """Return the rungs for a device, from the plain way to everything combined; lower precision only if it suits the device."""
    plain = Rung("plain: DataLoader, NCHW, float32, fused SGD")
    precision = suited_precision(device)
    rungs = [plain, replace(plain, name="AGD tap by tap instead", optimizer="plain-agd", on_ladder=False)]
    rungs.append(replace(plain, name=BARE, data="bare", layout="channels-last", precision=precision, on_ladder=False))
    rungs.append(replace(plain, name="+ data on the device", data="resident"))
    rungs.append(replace(rungs[-1], name="+ channels-last", layout="channels-last"))
    if precision != "float32":
        rungs.append(replace(rungs[-1], name=f"+ {precision}", precision=precision))
    if device.type == "cuda":
        rungs.append(replace(rungs[-1], name="+ whole step as a CUDA graph", captured=True))
        rungs.append(replace(rungs[-1], name=f"+ {IN_FLIGHT} in flight", in_flight=IN_FLIGHT))
    if device.type == "cpu" and usable_cores() > 1:
        rungs.append(replace(rungs[-1], name="+ one thread a training, a training a core", per_core=True))
    rungs.append(replace(rungs[-1], name="+ AGD instead of SGD", optimizer="agd"))
    return tuple(rungs)
