"""The tests' interface to the stub: whether it is loaded, its counters, and fault injection."""

from __future__ import annotations

import ctypes
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

COUNTERS = (
    "kernels",
    "to_device",
    "to_host",
    "on_device",
    "stream_waits",
    "device_waits",
    "mallocs",
    "frees",
    "captures",
    "launches",
    "graphs_alive",
    "host_copies_captured",
)
"""Counter names, in the order of `enum Counter` in runtime.cpp."""
OUT_OF_MEMORY, ECC, ILLEGAL_ADDRESS, ASSERT, LAUNCH_FAILURE = 2, 214, 700, 710, 719
"""Values of cudaError_t."""
ALLOC_FAILED = 3
"""A cublasStatus_t; cuDNN's codes are 4000 to 4999."""


def is_loaded() -> bool:
    """Return whether this process runs on the stub."""
    return hasattr(ctypes.CDLL(None), "stub_counts")


NEEDS_STUB = [
    pytest.mark.cuda_stub,
    pytest.mark.skipif(not is_loaded(), reason='needs the CUDA stub: python -m tests.cuda_stub pytest -n 0 -m "gpu or cuda_stub"'),
]


def counts() -> dict[str, int]:
    """Return the number of calls of each kind so far, and the current number of graphs as `graphs_alive`."""
    values = (ctypes.c_long * len(COUNTERS))()
    ctypes.CDLL(None).stub_counts(values)
    return dict(zip(COUNTERS, values, strict=True))


class _EqualToAll:
    def __eq__(self, other: object) -> bool:
        return True

    __hash__ = None  # type: ignore[assignment]


@contextmanager
def values_ignored() -> Iterator[None]:
    """Context in which comparisons of numbers succeed, and initial weights are computed on the CPU, where they have values."""
    import torch

    from agd_bench.optim import orthogonal

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(torch.testing, "assert_close", lambda *_given, **_options: None)
        patch.setattr(torch, "equal", lambda one, other: one.shape == other.shape)
        patch.setattr(pytest, "approx", lambda *_given, **_options: _EqualToAll())
        patch.setattr(orthogonal, "by_cholesky", lambda matrices: orthogonal.by_householder(matrices.double().cpu()).to(matrices))
        yield


@contextmanager
def memory(size: int) -> Iterator[None]:
    """Context in which the device has the given number of bytes instead of 140 GiB."""
    resize = ctypes.CDLL(None).stub_set_memory
    resize(ctypes.c_size_t(size))
    try:
        yield
    finally:
        resize(ctypes.c_size_t(140 << 30))


@contextmanager
def fault(function: str, error: int, calls: int = 1) -> Iterator[None]:
    """Context in which a call fails; after an error that destroys the CUDA context, every later call fails as well.

    Args:
        function: a function of the CUDA runtime or one of its libraries; every kernel launch is a `cudaLaunchKernel`.
        error: the error code that it returns.
        calls: which call fails, counted from now.
    """
    inject = ctypes.CDLL(None).stub_inject
    inject(function.encode(), ctypes.c_long(calls), error)
    try:
        yield
    finally:
        inject(b"", ctypes.c_long(0), 0)
