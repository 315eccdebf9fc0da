"""How many workers fit, and which resources each one gets."""

from __future__ import annotations

import pytest

from agd_bench.errors import ExecutorError
from agd_bench.scheduling.resources import Resources, gpus_and_device, pool_size, refuse_silent_cpus


@pytest.mark.parametrize(
    ("workers", "cpus", "gpus", "threads", "share", "size"),
    [
        (None, 8, 0, 1, 0.0, 8),
        (3, 8, 0, 2, 0.0, 3),
        (None, 8, 0, 3, 0.0, 2),
        (None, 64, 4, 1, 1.0, 4),
        (None, 64, 4, 1, 0.3, 12),
        (None, 64, 5, 1, 2.0, 2),
        (None, 4, 8, 1, 0.5, 4),
    ],
)
def test_as_many_workers_as_fit(workers: int | None, cpus: float, gpus: float, threads: int, share: float, size: int) -> None:
    """Cores and GPUs both limit the pool; a fraction of a GPU never spans two devices."""
    assert pool_size(workers, cpus, gpus, threads, share) == size


@pytest.mark.parametrize(
    ("workers", "cpus", "gpus", "threads", "share"), [(9, 8, 0, 1, 0.0), (None, 2, 0, 4, 0.0), (0, 8, 0, 1, 0.0), (3, 8, 2, 1, 1.0)]
)
def test_workers_that_do_not_fit_are_refused(workers: int | None, cpus: float, gpus: float, threads: int, share: float) -> None:
    """If fewer workers fit than requested, or none at all, an error is raised instead of shrinking the pool."""
    with pytest.raises(ExecutorError):
        pool_size(workers, cpus, gpus, threads, share)


@pytest.mark.parametrize(
    ("device", "asked", "available", "expected"),
    [
        ("auto", None, 0, (0.0, "cpu")),
        ("auto", None, 4, (1.0, "cuda")),
        ("cuda", None, 1, (1.0, "cuda")),
        ("cpu", None, 4, (0.0, "cpu")),
        ("auto", 0.25, 1, (0.25, "cuda")),
        ("auto", 0, 4, (0.0, "cpu")),
    ],
)
def test_gpus_follow_the_device(device: str, asked: float | None, available: float, expected: tuple[float, str]) -> None:
    """A worker without a share of a GPU is set to use the CPU, because Ray does not hide the GPUs from it."""
    assert gpus_and_device(device, asked, available) == expected


@pytest.mark.parametrize(
    ("device", "asked", "available"), [("cuda", None, 0), ("cuda", 0, 4), ("cpu", 1, 4), ("auto", 1.5, 4), ("auto", -1, 4), ("auto", 2, 1)]
)
def test_wishes_that_contradict_are_refused(device: str, asked: float | None, available: float) -> None:
    """Contradictory requests are errors; training never silently moves to another device."""
    with pytest.raises(ExecutorError):
        gpus_and_device(device, asked, available)


def test_cpus_are_never_taken_silently_where_gpus_were_meant(caplog: pytest.LogCaptureFixture) -> None:
    """Falling back to CPUs is an error if this machine has a GPU or GPUs were to be shared; on a cluster it is a warning."""
    with pytest.raises(ExecutorError, match="--share-gpus needs GPUs"):
        refuse_silent_cpus(Resources(share_gpus=True), gpu_here=False)
    with pytest.raises(ExecutorError, match="--device cpu"):
        refuse_silent_cpus(Resources(), gpu_here=True)
    refuse_silent_cpus(Resources(gpus_per_trial=0), gpu_here=True)
    refuse_silent_cpus(Resources(), gpu_here=False)
    assert not caplog.records
    refuse_silent_cpus(Resources(ray_address="head:6379"), gpu_here=False)
    assert "head:6379" in caplog.text
