"""What a run may use: one record on its way from the command line, or the Python API, to the executor."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

from agd_bench.errors import InputError

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
