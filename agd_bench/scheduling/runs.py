"""Run a plan, or go on with it: the same call, which does what is still to be done."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from agd_bench.errors import DatasetError, InputError, StoreError
from agd_bench.plugins import load
from agd_bench.records import TERMINAL, Plan, Trial
from agd_bench.scheduling.driver import GRACE_SECONDS, Run
from agd_bench.scheduling.executors.in_process import InProcessExecutor
from agd_bench.scheduling.executors.protocol import Executor, RunTrial
from agd_bench.scheduling.executors.threads import ThreadExecutor
from agd_bench.scheduling.kinds import one_of_each
from agd_bench.scheduling.partition import Part, part_of
from agd_bench.scheduling.progress import Meter, Observer
from agd_bench.scheduling.queue import OptunaTuner, Tuner
from agd_bench.scheduling.resources import Resources
from agd_bench.store import Standing, Store

if TYPE_CHECKING:
    from agd_bench.trial import Workplace


def fetch_datasets(plan: Plan, workplace: Workplace) -> None:
    """Load each data set once, so that a missing one is noticed now, and a download happens once.

    Raises:
        DatasetError: one is not here and cannot be fetched.
        InputError: its plug-in is not found or broken.
    """
    folders = workplace.folders.get("datasets", ())
    for name in dict.fromkeys(trial.dataset for trial in plan.all_trials):
        try:
            load("datasets", name, folders).load(workplace.data_root)
        except InputError:
            raise
        except Exception as error:
            raise DatasetError(
                f"data set {name!r} cannot be loaded from {workplace.data_root}: {type(error).__name__}: {error}; "
                "put its files there, or set AGD_BENCH_DATA to the folder that has them"
            ) from error


@contextmanager
def _log_to(folder: Path) -> Iterator[None]:
    """Write what the scheduling says to `driver.log`."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        handler = logging.FileHandler(folder / "driver.log", encoding="utf-8")
    except OSError as error:
        raise StoreError(f"{folder}: cannot be written: {error.strerror}; give another --out") from None
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
    logger = logging.getLogger("agd_bench.scheduling")
    level, propagates = logger.level, logger.propagate
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    logger.propagate = False  # the observer speaks to the person; the log is for afterwards
    try:
        yield
    finally:
        logger.removeHandler(handler)
        logger.setLevel(level)
        logger.propagate = propagates
        handler.close()


def _at_home(workplace: Workplace, plan: Plan, out: Path) -> Workplace:
    """The workplace with whole paths, as other processes need them, and with this run's checkpoints."""
    return replace(
        workplace,
        data_root=workplace.data_root.absolute(),
        folders={kind: tuple(folder.absolute() for folder in folders) for kind, folders in workplace.folders.items()},
        checkpoints=(workplace.checkpoints or out / "checkpoints").absolute(),
        checkpoint_seconds=plan.sweep.checkpoint_seconds,
    )


def _clear_checkpoints(checkpoints: Path, standings: Mapping[str, Standing]) -> None:
    """Remove what a driver left that was killed between storing a result and removing its checkpoints."""
    for folder in checkpoints.iterdir() if checkpoints.is_dir() else ():
        if folder.name in standings and standings[folder.name].status in TERMINAL:
            shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def _executor(resources: Resources, workplace: Workplace, run_trial: RunTrial | None, warm_up: Sequence[Trial]) -> Iterator[Executor]:
    executor: Executor
    if resources.executor == "ray":
        # Here, as the other executors need not wait for the import of Ray.
        from agd_bench.scheduling.executors.ray_pool import RayExecutor

        executor = RayExecutor(workplace, resources, run_trial, warm_up)
    elif resources.in_flight > 1:
        executor = ThreadExecutor(workplace, resources.in_flight, run_trial, warm_up)
    else:
        # One attempt at a time has its device to itself, so its seconds compare.
        executor = InProcessExecutor(replace(workplace, exclusive=True), run_trial, warm_up)
    try:
        yield executor
    finally:
        executor.close()


def run_plan(
    plan: Plan,
    out: Path,
    workplace: Workplace,
    resources: Resources,
    *,
    observer: Observer | None = None,
    store_url: str | None = None,
    stop_at: float | None = None,
    part: Part | None = None,
    retry: Collection[str] = (),
    run_trial: RunTrial | None = None,
    tuner: Tuner | None = None,
    grace_seconds: float = GRACE_SECONDS,
) -> Path:
    """Do what is still to be done of a plan. Interrupt it at any moment and call it again: it goes on where it was.

    Args:
        plan: all trials.
        out: the run folder: results.sqlite, checkpoints, logs.
        workplace: data, plug-ins and device; on a cluster, paths that every node has. Its checkpoints default to those of the
            run folder, its `checkpoint_seconds` are the sweep's.
        resources: what to run trials on.
        observer: receives every event, and the progress about twice a second.
        store_url: a database that holds this run instead of the SQLite file in `out`.
        stop_at: `time.monotonic()` at which the run ends cleanly, whatever is left; the in-process executor overruns it by what is left
            of its trial. None: no limit.
        part: which part of the plan to do; the store keeps all of it. None: all.
        retry: how trials ended that are trained again (`failed`, `lost`, `refused`, `diverged`); what they cost stays charged.
        run_trial: what executes an attempt; None: `agd_bench.trial.run_trial`.
        tuner: what proposes hyperparameters; None: Optuna over the algorithms' RANGES.
        grace_seconds: how long after its deadline a worker that does not answer is ended by force.

    Returns:
        The run folder.

    Raises:
        KeyboardInterrupt: as it came, with everything put in order.
        StoreError: the run is locked, changed, damaged, or its disk full.
        ExecutorError: nothing can run the trials.
        InputError: a plug-in or a data set cannot be loaded.
    """
    # The lock of the store first: two drivers must not write one log.
    with Store.open(store_url or out, plan) as store, _log_to(out / "logs"):
        here = _at_home(workplace, plan, out)
        own = plan if part is None else part_of(plan, part)
        if retry:
            # Before the standings are read, as it changes them.
            store.retry(own.all_trials, retry)
        standings = store.standings()
        _clear_checkpoints(here.checkpoints or out / "checkpoints", standings)
        left = [trial for trial in own.all_trials if standings[trial.id].status not in TERMINAL]
        # Before data sets and workers are asked for: a finished run needs neither.
        if not left:
            if observer is not None:
                observer(None, Meter(own, standings).snapshot(1))
            return out
        # Before the workers start, which would all download at the same time.
        fetch_datasets(own, workplace)
        with _executor(resources, here, run_trial, one_of_each(left)) as pool:
            tunes = tuner or OptunaTuner(here.folders)
            Run(own, store, pool, tunes, observer, here.checkpoints, grace_seconds, stop_at, resources.timed).drive()
    return out
