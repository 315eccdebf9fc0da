"""Resources of a run, from the command line or the Python API to the executor, and the resulting number of workers."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

from agd_bench.errors import ExecutorError, InputError

ExecutorName = Literal["ray", "in-process"]
DeviceName = Literal["auto", "cpu", "cuda"]
# Few, because nothing else may use the GPU while one of them is timed.
TIMED_ARCHITECTURES = 4


@dataclass(frozen=True)
class Resources:
    """Where trials run, and how many at a time.

    Attributes:
        executor: `ray` (a pool of processes), or `in-process` (one trial after the other in this process).
        device: where to train; `auto` uses a GPU if there is one.
        ray_address: HOST:PORT of a Ray cluster to join; None: start Ray on this machine.
        num_workers: number of concurrent trials; None: as many as the cores or the GPUs allow.
        gpus_per_trial: GPUs per trial, fractions allowed; None: one if there are any; 0: none.
        share_gpus: let trials share each GPU, as many as measured memory and throughput allow, instead of `gpus_per_trial`.
        in_flight: largest number of trials that each worker trains concurrently, each with its own stream and graph; the number used is
            measured.
        checkpoints: folder of this run's checkpoints, on a file system that all nodes share; None: in the run folder, and on a cluster in
            each node's own temporary folder.
        min_workers: number of workers that must fit before the run begins; it waits for them and asks an autoscaler for them. None: do not
            wait.
        timed: number of architectures per comparison whose first trials use a shared GPU exclusively, so their seconds are comparable.

    Raises:
        InputError: a value is not allowed.
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
    min_workers: int | None = None

    def __post_init__(self) -> None:
        for name, known in (("executor", get_args(ExecutorName)), ("device", get_args(DeviceName))):
            if getattr(self, name) not in known:
                raise InputError(f"{name} {getattr(self, name)!r}: allowed are {', '.join(map(repr, known))}")
        least = {"num_workers": 1, "in_flight": 1, "timed": 0, "min_workers": 1}
        for name, number in least.items():
            given = getattr(self, name)
            if given is not None and given < number:
                raise InputError(f"{name} {given}: must be at least {number}")
        if self.num_workers is not None and self.min_workers is not None and self.min_workers > self.num_workers:
            raise InputError(f"min_workers {self.min_workers}: must be at most num_workers {self.num_workers}")
        if self.share_gpus and self.executor == "in-process":
            raise InputError("--share-gpus requires one process per trial; use the executor 'ray'")
        if self.share_gpus and self.gpus_per_trial is not None:
            raise InputError(
                "--share-gpus measures how many trials fit on a GPU, so it cannot be combined with --gpus-per-trial; use only one of them"
            )


notices = logging.getLogger("agd_bench.notices")
"""Shown to people by default, unlike the log of the scheduling, which goes to a file."""
MOST_PER_GPU = 16
"""Largest number of workers on one GPU: each holds a context, and time-slicing more of them has no benefit."""


def workers_per_gpu(num_workers: int | None, cpus: float, gpus: float, threads: int) -> int:
    """Number of workers per shared GPU: as many as might be useful.

    Args:
        num_workers: requested number; None: as many as the cores allow.
        cpus: cores of the cluster.
        gpus: GPUs of the cluster.
        threads: cores of a trial.
    """
    workers = num_workers or int(cpus // threads)
    return max(1, min(MOST_PER_GPU, int(workers // max(1.0, gpus))))


def gpus_and_device(device: str, gpus_per_trial: float | None, available: float) -> tuple[float, str]:
    """The share of a GPU per trial, and the device to use.

    Args:
        device: the requested device, `cpu`, `cuda` or `auto`.
        gpus_per_trial: requested share; None: one whole GPU if there are any.
        available: number of GPUs of the cluster.

    Raises:
        ExecutorError: the requests contradict each other or exceed the available resources.
    """
    wanted = gpus_per_trial
    if wanted is None:
        wanted = 1.0 if device == "cuda" or (device == "auto" and available >= 1) else 0.0
    # Ray only accepts fractions of one GPU.
    if wanted < 0 or (wanted > 1 and wanted != int(wanted)):
        raise ExecutorError(f"{wanted:g} GPUs per trial: must be in [0, 1] or a whole number")
    if device == "cpu" and wanted:
        raise ExecutorError(f"{wanted:g} GPUs per trial were requested, but the device is 'cpu'; use device 'cuda' or 'auto'")
    if device == "cuda" and not wanted:
        raise ExecutorError("device 'cuda' was requested with 0 GPUs per trial; set a share such as 1 or 0.5")
    if wanted > available:
        raise ExecutorError(
            f"{wanted:g} GPUs per trial were requested, but Ray has {available:g}; request fewer, or use device 'cpu' or another cluster"
        )
    # Without a share, use the CPU: Ray no longer hides GPUs from such workers, and all would use the first one.
    return wanted, "cuda" if wanted else "cpu"


def refuse_silent_cpus(resources: Resources, gpu_here: bool) -> None:
    """Trials are about to run on CPUs although the device is not `cpu`: refuse it where GPUs were meant, else say it.

    Args:
        resources: as the user said.
        gpu_here: whether the driver's host has a GPU.

    Raises:
        ExecutorError: GPUs were meant, and Ray has none.
    """
    if resources.share_gpus:
        raise ExecutorError("--share-gpus needs GPUs, and Ray sees none; start Ray with --num-gpus, or leave --share-gpus out")
    if gpu_here and resources.gpus_per_trial is None:
        raise ExecutorError("this machine has a GPU, but Ray sees none; start Ray with --num-gpus, or train on CPUs with --device cpu")
    if resources.ray_address is not None:
        notices.warning("Ray at %s has no GPU: trials run on CPUs; with --device cuda they would not", resources.ray_address)


def pool_size(num_workers: int | None, cpus: float, gpus: float, threads: int, gpus_per_trial: float) -> int:
    """Number of workers to run.

    Args:
        num_workers: requested number; None: as many as fit.
        cpus: cores of the cluster.
        gpus: GPUs of the cluster.
        threads: cores of a trial.
        gpus_per_trial: GPUs per trial; 0 on CPUs.

    Raises:
        ExecutorError: none fits, or fewer than requested.
    """
    fitting = room(cpus, gpus, threads, gpus_per_trial)
    each = f"{threads} core{'s' * (threads != 1)}" + (f" and {gpus_per_trial:g} GPU" if gpus_per_trial else "")
    there = f"Ray has {cpus:g} cores and {gpus:g} GPUs"
    if num_workers is not None and num_workers < 1:
        raise ExecutorError(f"{num_workers} workers were requested; at least 1 is required")
    # Ray itself would wait forever.
    if fitting < max(1, num_workers or 1):
        raise ExecutorError(f"{num_workers or 1} workers with {each} do not fit: {there}, room for {fitting}; use fewer workers or threads")
    return num_workers or fitting


def room(cpus: float, gpus: float, threads: int, gpus_per_trial: float) -> int:
    """Number of workers that fit on the given cores and GPUs.

    Args:
        cpus: cores of a node or cluster.
        gpus: GPUs there.
        threads: cores of a worker.
        gpus_per_trial: GPUs of a worker; a share never spans two GPUs.
    """
    if not gpus_per_trial:
        return int(cpus // threads)
    # With a share such as 1 / 3, rounding must not lose a worker.
    on_gpus = int(gpus) * int(1 / gpus_per_trial + 1e-9) if gpus_per_trial < 1 else int(gpus // gpus_per_trial)
    return min(int(cpus // threads), on_gpus)
