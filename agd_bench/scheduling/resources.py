"""What a run may use: one record from the command line or the Python API to the executor, and how many workers that makes."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

from agd_bench.errors import ExecutorError, InputError

ExecutorName = Literal["ray", "in-process"]
DeviceName = Literal["auto", "cpu", "cuda"]
# Few, as nothing else may use the GPU while one of them is timed.
TIMED_ARCHITECTURES = 4


@dataclass(frozen=True)
class Resources:
    """What trials run on, and how many at a time.

    Attributes:
        executor: `ray` (a pool of processes), or `in-process`: one trial after the other, here.
        device: where to train; `auto`: a GPU where there is one.
        ray_address: HOST:PORT of a Ray cluster to join; None: a Ray of our own on this machine.
        num_workers: trials at a time; None: as many as the cores or the GPUs allow.
        gpus_per_trial: GPUs of a trial, fractions allowed; None: one where there are any; 0: none.
        share_gpus: let trials share each GPU, as many as measured memory and throughput allow, instead of `gpus_per_trial`.
        in_flight: trials that each worker trains at a time, at most, each with a stream and a graph of its own; how many is measured.
        checkpoints: folder of this run's checkpoints, on a file system that all nodes share; None: in the run folder, and on a cluster in
            each node's own temporary folder.
        timed: architectures of each comparison whose first trials have a shared GPU to themselves, so that their seconds compare.

    Raises:
        InputError: a value that is not allowed.
    """

    executor: ExecutorName = "ray"
    device: DeviceName = "auto"
    ray_address: str | None = None
    num_workers: int | None = None
    gpus_per_trial: float | None = None
    share_gpus: bool = False
    in_flight: int = 1
    timed: int = TIMED_ARCHITECTURES
    checkpoints: Path | None = None

    def __post_init__(self) -> None:
        for name, known in (("executor", get_args(ExecutorName)), ("device", get_args(DeviceName))):
            if getattr(self, name) not in known:
                raise InputError(f"{name} {getattr(self, name)!r}: allowed are {', '.join(map(repr, known))}")
        least = {"num_workers": 1, "in_flight": 1, "timed": 0}
        for name, number in least.items():
            given = getattr(self, name)
            if given is not None and given < number:
                raise InputError(f"{name} {given}: give at least {number}")
        if self.share_gpus and self.executor == "in-process":
            raise InputError("--share-gpus needs a process for each trial; use the executor 'ray'")
        if self.share_gpus and self.gpus_per_trial is not None:
            raise InputError("--share-gpus measures how many trials fit on a GPU; give either it or --gpus-per-trial, not both")


MOST_PER_GPU = 16
"""Workers on one GPU at most: each holds a context, and time-slicing more of them brings nothing."""


def workers_per_gpu(num_workers: int | None, cpus: float, gpus: float, threads: int) -> int:
    """How many workers each GPU gets where they share: as many as may turn out to pay.

    Args:
        num_workers: as the user said; None: as many as the cores allow.
        cpus: cores of the cluster.
        gpus: GPUs of the cluster.
        threads: cores of a trial.
    """
    workers = num_workers or int(cpus // threads)
    return max(1, min(MOST_PER_GPU, int(workers // max(1.0, gpus))))


def gpus_and_device(device: str, gpus_per_trial: float | None, available: float) -> tuple[float, str]:
    """How much of a GPU a trial gets, and the device that it is told.

    Args:
        device: `cpu`, `cuda` or `auto`, as the user said.
        gpus_per_trial: as the user said; None: one whole GPU where there are some.
        available: GPUs of the cluster.

    Raises:
        ExecutorError: the wishes contradict each other or what there is.
    """
    wanted = gpus_per_trial
    if wanted is None:
        wanted = 1.0 if device == "cuda" or (device == "auto" and available >= 1) else 0.0
    # Ray takes fractions of one GPU only.
    if wanted < 0 or (wanted > 1 and wanted != int(wanted)):
        raise ExecutorError(f"{wanted:g} GPUs per trial: give a share of one in [0, 1], or a whole number")
    if device == "cpu" and wanted:
        raise ExecutorError(f"{wanted:g} GPUs per trial were asked for, but the device is 'cpu'; use device 'cuda' or 'auto'")
    if device == "cuda" and not wanted:
        raise ExecutorError("device 'cuda' was asked for with 0 GPUs per trial; give a share such as 1 or 0.5")
    if wanted > available:
        raise ExecutorError(
            f"{wanted:g} GPUs per trial were asked for, but Ray sees {available:g}; ask for less, use 'cpu' or another cluster"
        )
    # Without a share, the CPU: Ray no longer hides GPUs from such workers, and all would crowd on the first.
    return wanted, "cuda" if wanted else "cpu"


def pool_size(num_workers: int | None, cpus: float, gpus: float, threads: int, gpus_per_trial: float) -> int:
    """How many workers to keep.

    Args:
        num_workers: as the user said; None: as many as fit.
        cpus: cores of the cluster.
        gpus: GPUs of the cluster.
        threads: cores of a trial.
        gpus_per_trial: of a trial; 0 on CPUs.

    Raises:
        ExecutorError: fewer than one fits, or fewer than asked for.
    """
    fitting = room(cpus, gpus, threads, gpus_per_trial)
    each = f"{threads} core{'s' * (threads != 1)}" + (f" and {gpus_per_trial:g} GPU" if gpus_per_trial else "")
    there = f"Ray has {cpus:g} cores and {gpus:g} GPUs"
    if num_workers is not None and num_workers < 1:
        raise ExecutorError(f"{num_workers} workers were asked for; give at least 1")
    # Ray itself would wait for ever.
    if fitting < max(1, num_workers or 1):
        raise ExecutorError(
            f"{num_workers or 1} workers of {each} do not fit: {there}, room for {fitting}; ask for fewer workers or threads"
        )
    return num_workers or fitting


def room(cpus: float, gpus: float, threads: int, gpus_per_trial: float) -> int:
    """How many workers fit on so many cores and GPUs.

    Args:
        cpus: cores of a node or cluster.
        gpus: GPUs there.
        threads: cores of a worker.
        gpus_per_trial: GPUs of a worker; a share never spans two.
    """
    if not gpus_per_trial:
        return int(cpus // threads)
    # A share such as 1 / 3 must not lose a worker to rounding.
    on_gpus = int(gpus) * int(1 / gpus_per_trial + 1e-9) if gpus_per_trial < 1 else int(gpus // gpus_per_trial)
    return min(int(cpus // threads), on_gpus)
