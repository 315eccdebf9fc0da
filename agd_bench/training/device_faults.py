"""Which errors say that the device ran out of memory, and whether it can still be used.

Torch reports most of CUDA's faults as plain errors, like mistakes of a network. They are faults of the machine: the attempt is repeated.

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

# Only torch's own allocator on a GPU raises OutOfMemoryError; these come as plain RuntimeErrors.
OUT_OF_MEMORY = re.compile(
    r"CUDA (driver )?error: out of memory|STATUS_\w*ALLOC(ATION)?_FAILED|CUBLAS_STATUS_NOT_INITIALIZED|can't allocate memory"
)
"""The CUDA runtime, its libraries (cuBLAS reports a handle without memory as not initialised), and torch's allocator on a CPU."""


def is_out_of_memory(error: BaseException) -> bool:
    """Whether memory ran out, on the device or on the host."""
    return isinstance(error, torch.OutOfMemoryError | MemoryError) or OUT_OF_MEMORY.search(str(error)) is not None


def is_lost(device: torch.device) -> bool:
    """Whether nothing can be computed on the device any more in this process."""
    if device.type != "cuda":
        return False
    try:
        # such errors persist, so that any call reports them; of this stream only, as others may be captured
        torch.cuda.current_stream(device).synchronize()
    except Exception as error:
        # A stream that is being captured refuses to be waited for, although the device is well.
        return not is_out_of_memory(error) and "captur" not in str(error)
    return False


def describe(error: BaseException) -> str:
    """Type and first line of an error."""
    first = next(iter(str(error).splitlines()), "")
    return f"{type(error).__name__}: {first[:500]}" if first else type(error).__name__


@contextmanager
def loss_noticed(device: torch.device) -> Iterator[None]:
    """Within the `with`, an error of a device that is lost becomes a `DeviceLostError`.

    Raises:
        DeviceLostError: the device cannot be used any more in this process.
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
    # raised out here, where the error and with it everything that its traceback refers to is gone
    raise DeviceLostError(f"the GPU cannot be used any more in this process ({description}); run the same command again to continue")
