"""Detect errors that mean that the device ran out of memory or can no longer be used.

Torch reports most CUDA faults as ordinary errors, like errors of a network. They are machine faults, so the attempt is repeated.

References:
    CUDA Runtime API, 'Error Handling': errors such as an illegal address leave the process in an inconsistent state, any further CUDA work
        returns the same error, and the process must be terminated.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager

import torch

from agd_bench.errors import DeviceLostError

# Only torch's own allocator on a GPU raises OutOfMemoryError; these are plain RuntimeErrors.
OUT_OF_MEMORY = re.compile(
    r"CUDA (driver )?error: out of memory|STATUS_\w*ALLOC(ATION)?_FAILED|CUBLAS_STATUS_NOT_INITIALIZED|can't allocate memory"
)
"""Messages of the CUDA runtime, its libraries (cuBLAS reports out of memory as not initialised), and torch's CPU allocator."""


def is_out_of_memory(error: BaseException) -> bool:
    """Whether the device or the host ran out of memory."""
    return isinstance(error, torch.OutOfMemoryError | MemoryError) or OUT_OF_MEMORY.search(str(error)) is not None


def is_lost(device: torch.device) -> bool:
    """Whether the device can no longer be used in this process."""
    if device.type != "cuda":
        return False
    try:
        # such errors persist, so any call reports them; only for this stream, because others may be capturing
        torch.cuda.current_stream(device).synchronize()
    except Exception as error:
        # A capturing stream cannot be synchronised although the device is fine.
        return not is_out_of_memory(error) and "captur" not in str(error)
    return False


def describe(error: BaseException) -> str:
    """Type and first line of an error."""
    first = next(iter(str(error).splitlines()), "")
    return f"{type(error).__name__}: {first[:500]}" if first else type(error).__name__


@contextmanager
def loss_noticed(device: torch.device) -> Iterator[None]:
    """Context that converts an error of a lost device to a `DeviceLostError`.

    Raises:
        DeviceLostError: the device can no longer be used in this process.
    """
    try:
        yield
        return
    except DeviceLostError:
        raise
    except Exception as error:
        if not is_lost(device):
            raise
        description = describe(error)
    # raised here, where the original error, and with it everything its traceback refers to, has been released
    raise DeviceLostError(f"the GPU cannot be used any more in this process ({description}); run the same command again to continue")
