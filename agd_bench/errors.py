"""Errors that agd-bench raises on purpose.

    AgdBenchError
    ├── InputError            invalid input                                              exit code 2
    │   ├── UnknownNameError  no such plug-in, sweep, option or column
    │   ├── SweepError        a sweep is malformed or out of range
    │   ├── PluginError       a plug-in cannot be imported or violates its protocol
    │   └── DatasetError      images are missing and cannot be downloaded
    ├── StoreError            the stored results cannot be used                          exit code 3
    │   ├── StoreDamagedError  not an agd-bench store, another version, or corrupt
    │   ├── RunChangedError    the run folder holds another sweep, or a plug-in was edited
    │   ├── RunLockedError     another driver is running this run
    │   └── StorageFullError   no space left to write results
    ├── ExecutorError         trials cannot be executed: Ray unreachable, too few GPUs   exit code 4
    │   └── EnvironmentFault   a machine could not execute an attempt; another may
    └── TrialOutcome          a trial ended early; becomes a row, never a crash
        ├── Refused           the algorithm is not defined for this network
        ├── Diverged          the loss or a weight is no longer finite
        ├── Pruned            the pruner stopped a tuning trial
        ├── DeadlineExceeded  the trial exceeded its deadline
        └── OutOfMemory       the device ran out of memory

Each message is one line: what was given, what is wrong, what is allowed, and what to do.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable

MOST_LETTERS = 1500
"""Of a message."""
MOST_LETTERS_OF_A_WORD = 300
"""More than a path usually has; whoever gave a longer name knows it from its ends."""


def shortened(text: str) -> str:
    """Cut the middle out of long words, and then of a long text, so that a message stays readable whatever it quotes."""
    words = re.sub(rf"\S{{{MOST_LETTERS_OF_A_WORD},}}", lambda word: _without_middle(word[0], MOST_LETTERS_OF_A_WORD), text)
    return _without_middle(words, MOST_LETTERS)


def _without_middle(text: str, most: int) -> str:
    return text if len(text) <= most else f"{text[: most // 2]} … {text[-most // 3 :]} ({len(text):,} letters)"


class AgdBenchError(Exception):
    """Base class of the package's errors. `exit_code` is the exit status of the command line."""

    exit_code = 1

    def __str__(self) -> str:
        """The message, shortened."""
        return shortened(super().__str__())


class InputError(AgdBenchError):
    """Input from the user is invalid."""

    exit_code = 2


class UnknownNameError(InputError):
    """A name is unknown. The message suggests the nearest known name and lists the others.

    Args:
        kind: what the name should denote, for example `algorithm`.
        given: the unknown name.
        known: the known names.
        advice: a sentence for the end of the message.
    """

    def __init__(self, kind: str, given: str, known: Iterable[str], advice: str = "") -> None:
        names = sorted(known)
        close = difflib.get_close_matches(given, names, n=5, cutoff=0.5)
        # prefer a name with the same letters: swapped letters are the more common slip
        nearest = sorted(close, key=lambda name: sorted(name) != sorted(given))
        guess = f" Did you mean {nearest[0]!r}?" if nearest else ""
        shown = ", ".join(names[:20]) + (f", … ({len(names)} in all)" if len(names) > 20 else "") or "none"
        super().__init__(f"unknown {kind} {given!r}.{guess} Known: {shown}.{' ' + advice if advice else ''}")


class SweepError(InputError):
    """A sweep is malformed, has unknown keys, or has a value out of range."""


class PluginError(InputError):
    """A plug-in cannot be imported, or violates the protocol of its kind."""


class DatasetError(InputError):
    """The files of a data set are missing and cannot be downloaded."""


class StoreError(AgdBenchError):
    """The stored results cannot be used."""

    exit_code = 3


class StoreDamagedError(StoreError):
    """The file is not an agd-bench store, was written by another version, or is corrupt."""


class RunChangedError(StoreError):
    """The run folder holds results of another sweep, or a plug-in was edited since."""


class RunLockedError(StoreError):
    """Another driver is running this run."""


class StorageFullError(StoreError):
    """No space is left to write results. Rows that were already committed are intact."""


class ExecutorError(AgdBenchError):
    """Trials cannot be executed: Ray is unreachable, or the requested resources do not exist."""

    exit_code = 4


class DeviceLostError(ExecutorError):
    """The GPU failed (illegal address, ECC error, failed launch) and cannot be used by this process any more."""


class EnvironmentFault(ExecutorError):
    """A machine could not execute an attempt, for no known fault of the trial; another machine may."""


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


TRAINING_PACKAGES = frozenset({"torch", "torchvision", "ray", "optuna", "sklearn"})
"""Modules that the extra `train` installs; results are read without them."""


def training_advice(error: BaseException) -> str:
    """Return what to install if an import failed because a package for training is missing; empty for other errors."""
    name = (error.name or "").partition(".")[0] if isinstance(error, ModuleNotFoundError) else ""
    if name not in TRAINING_PACKAGES:
        return ""
    return f"{name} is not installed; only reading results works without it; to train, run: pip install 'agd-bench[train]'"


def is_environmental(error: BaseException) -> bool:
    """Return whether an exception comes from files, an accelerator or a missing package rather than the code that raised it."""
    if isinstance(error, OSError | ImportError):
        return True
    # by name and message, to avoid importing torch
    accelerator = any(kind.__name__ == "AcceleratorError" for kind in type(error).__mro__)
    return accelerator or (isinstance(error, RuntimeError) and any(sign in str(error) for sign in ACCELERATOR_FAULTS))


class TrialOutcome(AgdBenchError):
    """A trial ended early. `status` becomes the status of its row, and the message its reason."""

    status = "failed"


class Refused(TrialOutcome):
    """The algorithm is not defined for this network. This is an outcome, not a fault."""

    status = "refused"


class Diverged(TrialOutcome):
    """The training loss or a weight is no longer finite."""

    status = "diverged"


class Pruned(TrialOutcome):
    """The pruner stopped a tuning trial."""

    status = "pruned"


class DeadlineExceeded(TrialOutcome):
    """The trial exceeded its deadline."""


class OutOfMemory(TrialOutcome):
    """The device ran out of memory."""
