"""Every error that agd-bench raises on purpose.

    AgdBenchError
    ├── InputError            what the user gave cannot be used                          exit code 2
    │   ├── UnknownNameError  no such plug-in, sweep, option or column
    │   ├── SweepError        a sweep file that is malformed or out of range
    │   ├── PluginError       a plug-in that does not import or does not keep its protocol
    │   └── DatasetError      images that are not here and cannot be fetched
    ├── StoreError            the stored results cannot be used as they are              exit code 3
    │   ├── StoreDamagedError  not a store of ours, another version, or corrupt
    │   ├── RunChangedError    the same run folder, but another sweep or edited plug-ins
    │   ├── RunLockedError     another driver works on this run
    │   └── StorageFullError   no space left to write results
    ├── ExecutorError         nothing can run the trials: Ray unreachable, too few GPUs  exit code 4
    │   └── EnvironmentFault   a machine could not execute an attempt; another may
    └── TrialOutcome          how a trial can end other than well; becomes a row, never a crash
        ├── Refused           this algorithm cannot train this network, by its definition
        ├── Diverged          the loss or a weight is no longer finite
        ├── Pruned            a tuning trial stopped by the pruner
        ├── DeadlineExceeded  the trial took longer than it may
        └── OutOfMemory       the device's memory did not suffice

A message is one line that says what was given, what is wrong with it, what is allowed, and what to do.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class AgdBenchError(Exception):
    """Base of all errors of this package; `exit_code` is what the command line returns for it."""

    exit_code = 1


class InputError(AgdBenchError):
    """What the user gave cannot be used."""

    exit_code = 2


class UnknownNameError(InputError):
    """A name that nothing answers to; the message offers the nearest one and lists the rest."""

    def __init__(self, kind: str, given: str, known: Iterable[str], advice: str = "") -> None:
        names = sorted(known)
        close = difflib.get_close_matches(given, names, n=5, cutoff=0.5)
        # Of equally near ones, that which has the same letters: people swap two more often than they type another.
        nearest = sorted(close, key=lambda name: sorted(name) != sorted(given))
        guess = f" Did you mean {nearest[0]!r}?" if nearest else ""
        shown = ", ".join(names[:20]) + (f", … ({len(names)} in all)" if len(names) > 20 else "") or "none"
        super().__init__(f"unknown {kind} {given!r}.{guess} Known: {shown}.{' ' + advice if advice else ''}")


class SweepError(InputError):
    """A sweep that is malformed, has unknown keys, or asks for something out of range."""


class PluginError(InputError):
    """A plug-in that raises on import or does not define what its kind must define."""


class DatasetError(InputError):
    """A data set whose files are not on this machine and cannot be fetched."""


class StoreError(AgdBenchError):
    """The stored results cannot be used as they are."""

    exit_code = 3


class StoreDamagedError(StoreError):
    """The file is no store of ours, was written by another version, or is corrupt."""


class RunChangedError(StoreError):
    """The run folder holds results of another sweep, or of plug-ins that were edited since."""


class RunLockedError(StoreError):
    """Another driver is working on this run."""


class StorageFullError(StoreError):
    """No space is left to write results; what was committed before is intact."""


class ExecutorError(AgdBenchError):
    """Nothing can run the trials: Ray is not reachable or the resources asked for do not exist."""

    exit_code = 4


class DeviceLostError(ExecutorError):
    """A fault of the GPU (illegal address, ECC, failed launch) that ends all work on it in this process."""


class EnvironmentFault(ExecutorError):
    """A machine could not execute an attempt, through no fault of the trial that is known; another machine may."""


ACCELERATOR_FAULTS = (
    "CUDA error",
    "CUDA driver",
    "cuDNN error",
    "CUBLAS_STATUS",
    "CUSOLVER_STATUS",
    "CUFFT error",
    "NCCL error",
    "HIP error",
)


def is_environmental(error: BaseException) -> bool:
    """Whether an exception tells of files, an accelerator or a missing package rather than of the code that raised it."""
    if isinstance(error, OSError | ImportError):
        return True
    # torch is not imported here; its AcceleratorError and the plain RuntimeErrors of its libraries are known by name and text.
    accelerator = any(kind.__name__ == "AcceleratorError" for kind in type(error).__mro__)
    return accelerator or (isinstance(error, RuntimeError) and any(sign in str(error) for sign in ACCELERATOR_FAULTS))


class TrialOutcome(AgdBenchError):
    """How a trial can end other than well. `status` is the row's status; the message is its reason."""

    status = "failed"


class Refused(TrialOutcome):
    """The algorithm cannot train this network, by its definition: an outcome, not a fault."""

    status = "refused"


class Diverged(TrialOutcome):
    """The training loss or a weight is no longer finite."""

    status = "diverged"


class Pruned(TrialOutcome):
    """A tuning trial that the pruner stopped."""

    status = "pruned"


class DeadlineExceeded(TrialOutcome):
    """The trial took longer than its deadline."""


class OutOfMemory(TrialOutcome):
    """The device's memory did not suffice."""
