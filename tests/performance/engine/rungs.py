"""The ladder from the plain way of training many small networks to this package's: one change a rung."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

import torch

from agd_bench.cores import usable_cores
from agd_bench.records import Precision
from agd_bench.training.fit import suited_precision

IN_FLIGHT = 4
"""Trainings at a time in one process on a GPU."""
BARE = "a bare loop for one network"


@dataclass(frozen=True)
class Size:
    """What is trained: networks of the search space `nas_bench_201` on images of CIFAR-10's number.

    Attributes:
        image_size: height and width, in pixels.
        channels: of the first stage; 16 as published.
        cells: in each stage; 5 as published.
        batch_size: images a step; 256 as published.
        epochs: of a training.
        train_images: of an epoch.
        val_images: evaluated after each epoch.
        test_images: evaluated once.
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
        name: what it changes, against the rung before.
        data: `loader`: a DataLoader with Pillow, whose losses are read each step; `resident`: this package's; `bare`: a loop by hand.
        layout: of images and kernels in memory.
        precision: of forward and backward.
        optimizer: torch's fused SGD with momentum; AGD as this package steps it; or AGD tap by tap.
        per_core: one thread a process and as many processes as cores, instead of one process with all threads.
        captured: whether a step is one CUDA graph.
        in_flight: trainings at a time in one process, in threads.
        on_ladder: whether it builds on the rung before, or stands beside the plain way for comparison.
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
    """The rungs on a device, the plain way first and everything together last; faster arithmetic only where the device has it."""
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
