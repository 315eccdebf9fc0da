"""How the work of a trial ends: as a result, or with an error that concerns more than the trial."""

from __future__ import annotations

import traceback
from collections.abc import Callable
from pathlib import Path

import torch

from agd_bench.errors import ExecutorError, InputError, OutOfMemory, StoreError, TrialOutcome


def ending(work: Callable[[], None]) -> tuple[str, str]:
    """Do the work of a trial; return the status and the reason with which it ends: `done` and no reason if it succeeds.

    Raises:
        OutOfMemory: the device ran out of memory.
        InputError: a plug-in or a data set cannot be loaded.
        StorageFullError: no space is left for a checkpoint.
        ExecutorError: the device asked for does not exist.
    """
    try:
        work()
    except TrialOutcome as outcome:
        return outcome.status, str(outcome)
    except (InputError, StoreError, ExecutorError):
        raise
    except Exception as error:
        if _is_out_of_memory(error):
            raise OutOfMemory(f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else 'out of memory'}") from None
        return "failed", f"{type(error).__name__}: {' '.join(str(error).split())[:500]}{_where(error)}"
    return "done", ""


def _is_out_of_memory(error: Exception) -> bool:
    """Torch has an error type for GPU memory, but raises a plain RuntimeError if the CPU's allocator fails."""
    return isinstance(error, torch.OutOfMemoryError | MemoryError) or "can't allocate memory" in str(error)


def _where(error: Exception) -> str:
    """The innermost frame as ` (file:line)`, without a folder of this machine."""
    frames = traceback.extract_tb(error.__traceback__)
    return f" ({Path(frames[-1].filename).name}:{frames[-1].lineno})" if frames else ""
