"""How many workers a cluster holds, and what each of them gets."""

from __future__ import annotations

from agd_bench.errors import ExecutorError

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
