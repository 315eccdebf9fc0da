"""How the work of a trial ends: as a result, or with an error that concerns more than the trial."""

from __future__ import annotations

import traceback
from collections.abc import Callable
from pathlib import Path

import torch

from agd_bench.errors import EnvironmentFault, ExecutorError, InputError, OutOfMemory, StoreError, TrialOutcome, is_environmental
from agd_bench.training.device_faults import describe, is_lost, is_out_of_memory


def ending(work: Callable[[], None], device: torch.device) -> tuple[str, str]:
    """Do the work of a trial; return the status and the reason with which it ends: `done` and no reason if it succeeds.

    Args:
        work: what to do.
        device: where it computes.

    Raises:
        OutOfMemory: the device ran out of memory.
        InputError: a plug-in or a data set cannot be loaded.
        StoreError: the disk does not take a checkpoint, or has no space left for it.
        ExecutorError: the device asked for does not exist, or is lost.
        EnvironmentFault: files, the accelerator or a package failed; another node may not have that fault.
    """
    try:
        work()
        return "done", ""
    except TrialOutcome as outcome:
        return outcome.status, str(outcome)
    except (InputError, StoreError, ExecutorError):
        # Every other trial here would meet them too.
        raise
    except Exception as error:
        out_of_memory, description = is_out_of_memory(error), describe(error)
        if not out_of_memory:
            if is_lost(device):
                # Becomes a DeviceLostError in `loss_noticed`, around the whole attempt.
                raise
            description = f"{type(error).__name__}: {' '.join(str(error).split())[:500]}{_where(error)}"
            if not is_environmental(error):
                # A defect of the network or of a plug-in, which another node would meet as well.
                return "failed", description
    # Lack of memory is no result: the scheduler decides whether to try again alone.
    # raised out here, where the error is gone: its traceback would keep the network in memory while the trial is tried again
    raise OutOfMemory(description) if out_of_memory else EnvironmentFault(description)


def _where(error: Exception) -> str:
    """The innermost frame as ` (file:line)`, without a folder of this machine."""
    frames = traceback.extract_tb(error.__traceback__)
    return f" ({Path(frames[-1].filename).name}:{frames[-1].lineno})" if frames else ""
