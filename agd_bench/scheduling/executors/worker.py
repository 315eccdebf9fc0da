"""Common code of all workers: prepare the process and execute attempts."""

from __future__ import annotations

import ctypes
import importlib.metadata
import platform
import sys
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from agd_bench import plugins
from agd_bench.errors import AgdBenchError, EnvironmentFault, ExecutorError, OutOfMemory, is_environmental
from agd_bench.identity import engine_identity
from agd_bench.records import Trial, TrialResult
from agd_bench.scheduling.executors.protocol import Outcome, RunTrial, Task

if TYPE_CHECKING:
    from agd_bench.trial import Workplace

# Up to 1 GiB from the heap, because memory from mmap is returned to the system when freed; the heap grows by 64 MiB.
KEEPING = {-1: -1, -3: 2**30, -2: 2**26}
"""glibc's M_TRIM_THRESHOLD (-1: never), M_MMAP_THRESHOLD and M_TOP_PAD, in bytes, by their numbers in malloc.h."""


def _import_run_trial() -> RunTrial:
    """Import `agd_bench.trial.run_trial`, and with it torch, only where trials run."""
    from agd_bench.trial import run_trial

    return run_trial


def prepare(workplace: Workplace, run_trial: RunTrial | None, warm_up: Sequence[Trial]) -> None:
    """Import everything trials need and take a step of each kind, so no trial is charged for being the first of its process.

    Args:
        workplace: location of data and plug-ins.
        run_trial: function that executes attempts; only `agd_bench.trial.run_trial` (None) is prepared.
        warm_up: one trial of each search space, data set and algorithm.
    """
    if run_trial is None:
        from agd_bench.scheduling.executors.warmup import take_a_step

        for trial in warm_up:
            take_a_step(trial, workplace)


def code_here(workplace: Workplace, warm_up: Sequence[Trial]) -> dict[str, str]:
    """Versions in this process, the digest of agd-bench's own code, and that of each plug-in.

    Args:
        workplace: location of the plug-ins.
        warm_up: one trial of each search space, data set and algorithm.
    """
    stated = {name: importlib.metadata.version(name) for name in ("agd-bench", "torch")}
    # Ignore the local part of a version, which is the build: a head node without a GPU may have a different one from its workers.
    stated = {name: version.partition("+")[0] for name, version in stated.items()}
    stated |= {"Python": ".".join(platform.python_version_tuple()[:2]), "code of agd-bench": engine_identity()}
    for trial in warm_up:
        named: dict[plugins.Kind, str] = {"search_spaces": trial.search_space, "datasets": trial.dataset, "algorithms": trial.algorithm}
        for kind, name in named.items():
            what = f"code of {kind.replace('_', ' ').removesuffix('s')} {name!r}"
            try:
                stated[what] = plugins.executed_digest(plugins.locate(kind, name, workplace.folders.get(kind, ())))
            except AgdBenchError as error:
                # Reported, not raised, so the driver can say which node does not have the plug-in.
                stated[what] = f"missing ({error})"
    return stated


def _portable(error: AgdBenchError) -> AgdBenchError:
    """Convert an error to one that survives pickling: its nearest class that can be constructed from a message."""
    # Pickle reconstructs an exception from its message, which fails if its class requires more arguments.
    nearest = next(kind for kind in type(error).__mro__ if issubclass(kind, AgdBenchError) and kind.__init__ is Exception.__init__)
    return nearest(str(error))


def perform(task: Task, workplace: Workplace, run_trial: RunTrial | None) -> Outcome:
    """Execute an attempt and return its outcome.

    Args:
        task: the attempt.
        workplace: location of data, plug-ins and checkpoints.
        run_trial: function that executes it; None: `agd_bench.trial.run_trial`, imported here.
    """
    try:
        if task.exclusive is not None:
            workplace = replace(workplace, exclusive=task.exclusive)
        result = (run_trial or _import_run_trial())(task.trial, workplace, task.attempt, task.seconds_left)
    # Before AgdBenchError, because OutOfMemory is a subclass.
    except (OutOfMemory, MemoryError) as error:
        return Outcome(task.trial.id, task.attempt, "out of memory", message=str(error) or type(error).__name__)
    except AgdBenchError as error:
        return Outcome(task.trial.id, task.attempt, "fault", message=str(error), error=_portable(error))
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # a plug-in's sys.exit() ends its trial, not the run
        # One short line, because it goes into a table.
        reason = f"{type(error).__name__}: {' '.join(str(error).split())[:500]}"
        if is_environmental(error):
            return Outcome(task.trial.id, task.attempt, "fault", message=reason, error=EnvironmentFault(reason))
        result = TrialResult(trial_id=task.trial.id, status="failed", reason=reason)
    return Outcome(task.trial.id, task.attempt, "result", result)


def limit_threads(threads: int) -> None:
    """Limit torch's threads if torch is imported, and check the result.

    Raises:
        ExecutorError: torch uses a different number of threads.
    """
    # A custom `run_trial` may not use torch.
    torch = sys.modules.get("torch")
    if torch is None:
        return
    # More threads than cores are many times slower, and the number of threads can change sums in the last digit.
    torch.set_num_threads(threads)
    if torch.get_num_threads() != threads:
        raise ExecutorError(f"torch uses {torch.get_num_threads()} threads although {threads} were requested; unset OMP_NUM_THREADS")


def keep_freed_memory() -> bool:
    """Let this process keep freed memory for its next tensors; return whether its C library (glibc) supports this."""
    if platform.libc_ver()[0] != "glibc":
        return False
    # By default, tensors of several MB are returned to the system and requested again, page by page, in every step.
    mallopt = ctypes.CDLL(None).mallopt
    return all(mallopt(option, value) == 1 for option, value in KEEPING.items())
