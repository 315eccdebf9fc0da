"""What every worker does, whatever executor it belongs to: prepare its process, and execute attempts."""

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

# Up to 1 GiB from the heap, as memory from mmap goes back to the system when freed; the heap grows by 64 MiB.
KEEPING = {-1: -1, -3: 2**30, -2: 2**26}
"""glibc's M_TRIM_THRESHOLD (-1: never), M_MMAP_THRESHOLD and M_TOP_PAD, in bytes, by their numbers in malloc.h."""


def _import_run_trial() -> RunTrial:
    """`agd_bench.trial.run_trial`, and with it torch: only where trials run."""
    from agd_bench.trial import run_trial

    return run_trial


def prepare(workplace: Workplace, run_trial: RunTrial | None, warm_up: Sequence[Trial]) -> None:
    """Import all that trials need and take a step of each kind, so that no trial is charged for being the first of its process.

    Args:
        workplace: where data and plug-ins are.
        run_trial: what executes attempts; only `agd_bench.trial.run_trial` (None) is prepared for.
        warm_up: one trial of each search space, data set and algorithm.
    """
    if run_trial is None:
        from agd_bench.scheduling.executors.warmup import take_a_step

        for trial in warm_up:
            take_a_step(trial, workplace)


def code_here(workplace: Workplace, warm_up: Sequence[Trial]) -> dict[str, str]:
    """What this process trains with: versions, the digest of agd-bench's own code, and that of each plug-in.

    Args:
        workplace: where the plug-ins are.
        warm_up: one trial of each search space, data set and algorithm.
    """
    stated = {name: importlib.metadata.version(name) for name in ("agd-bench", "torch")}
    # The local part of a version is the build: a head node without a GPU has another one than its workers.
    stated = {name: version.partition("+")[0] for name, version in stated.items()}
    stated |= {"Python": ".".join(platform.python_version_tuple()[:2]), "code of agd-bench": engine_identity()}
    for trial in warm_up:
        named: dict[plugins.Kind, str] = {"search_spaces": trial.search_space, "datasets": trial.dataset, "algorithms": trial.algorithm}
        for kind, name in named.items():
            what = f"code of {kind.replace('_', ' ').removesuffix('s')} {name!r}"
            try:
                stated[what] = plugins.executed_digest(plugins.locate(kind, name, workplace.folders.get(kind, ())))
            except AgdBenchError as error:
                # Stated, not raised, so that the driver can say which node is without the plug-in.
                stated[what] = f"missing ({error})"
    return stated


def _portable(error: AgdBenchError) -> AgdBenchError:
    """The error as one that survives pickling: of its nearest class that is made from a message alone."""
    # Pickle makes an exception from its message alone, which fails where a class wants more.
    nearest = next(kind for kind in type(error).__mro__ if issubclass(kind, AgdBenchError) and kind.__init__ is Exception.__init__)
    return nearest(str(error))


def perform(task: Task, workplace: Workplace, run_trial: RunTrial | None) -> Outcome:
    """Execute an attempt here, and put what comes of it into an outcome.

    Args:
        task: what to do.
        workplace: where data, plug-ins and checkpoints are.
        run_trial: what executes it; None: `agd_bench.trial.run_trial`, imported here, where it runs.
    """
    try:
        if task.exclusive is not None:
            workplace = replace(workplace, exclusive=task.exclusive)
        result = (run_trial or _import_run_trial())(task.trial, workplace, task.attempt, task.seconds_left)
    # Before AgdBenchError, as OutOfMemory is one.
    except (OutOfMemory, MemoryError) as error:
        return Outcome(task.trial.id, task.attempt, "out of memory", message=str(error) or type(error).__name__)
    except AgdBenchError as error:
        return Outcome(task.trial.id, task.attempt, "fault", message=str(error), error=_portable(error))
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # a plug-in's sys.exit() is its trial's end, not the run's
        # One short line, as it goes into a table.
        reason = f"{type(error).__name__}: {' '.join(str(error).split())[:500]}"
        if is_environmental(error):
            return Outcome(task.trial.id, task.attempt, "fault", message=reason, error=EnvironmentFault(reason))
        result = TrialResult(trial_id=task.trial.id, status="failed", reason=reason)
    return Outcome(task.trial.id, task.attempt, "result", result)


def limit_threads(threads: int) -> None:
    """Hold torch to so many threads, if it is imported, and make sure that it obeys.

    Raises:
        ExecutorError: it does not obey.
    """
    # A custom `run_trial` may do without torch.
    torch = sys.modules.get("torch")
    if torch is None:
        return
    # More threads than cores are many times slower, and their number can change sums in the last digit.
    torch.set_num_threads(threads)
    if torch.get_num_threads() != threads:
        raise ExecutorError(f"torch uses {torch.get_num_threads()} threads although {threads} were asked for; unset OMP_NUM_THREADS")


def keep_freed_memory() -> bool:
    """Let this process keep the memory that it frees, for its next tensors; whether its C library (glibc) can be told to."""
    if platform.libc_ver()[0] != "glibc":
        return False
    # By default tensors of some MB go back to the system and are asked of it again, page by page, in every step.
    mallopt = ctypes.CDLL(None).mallopt
    return all(mallopt(option, value) == 1 for option, value in KEEPING.items())
