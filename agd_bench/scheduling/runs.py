"""Run or resume a plan; the same call executes the remaining trials."""

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
from agd_bench.scheduling.event_log import FILE, EventLog
from agd_bench.scheduling.executors.in_process import InProcessExecutor
from agd_bench.scheduling.executors.protocol import Executor, RunTrial
from agd_bench.scheduling.executors.threads import ThreadExecutor
from agd_bench.scheduling.kinds import one_of_each
from agd_bench.scheduling.partition import Part, part_of
from agd_bench.scheduling.progress import Meter, Observer, both
from agd_bench.scheduling.queue import OptunaTuner, Tuner
from agd_bench.scheduling.resources import Resources
from agd_bench.store import Standing, Store

if TYPE_CHECKING:
    from agd_bench.trial import Workplace


def fetch_datasets(plan: Plan, workplace: Workplace) -> None:
    """Load each data set once, so a missing one is noticed early and a download happens only once.

    Raises:
        DatasetError: a data set is missing and cannot be downloaded.
        InputError: a plug-in is missing or broken.
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
                "put its files there, or set AGD_BENCH_DATA to the folder that contains them"
            ) from error


@contextmanager
def _log_to(folder: Path) -> Iterator[None]:
    """Log the scheduling to `driver.log`."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        handler = logging.FileHandler(folder / "driver.log", encoding="utf-8")
    except OSError as error:
        raise StoreError(f"{folder}: cannot be written: {error.strerror}; choose another --out") from None
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
    logger = logging.getLogger("agd_bench.scheduling")
    level, propagates = logger.level, logger.propagate
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    logger.propagate = False  # the observer informs the user; the log is for later
    try:
        yield
    finally:
        logger.removeHandler(handler)
        logger.setLevel(level)
        logger.propagate = propagates
        handler.close()


def _at_home(workplace: Workplace, plan: Plan, out: Path) -> Workplace:
    """The workplace with absolute paths, which other processes need, and with this run's checkpoints."""
    return replace(
        workplace,
        data_root=workplace.data_root.absolute(),
        folders={kind: tuple(folder.absolute() for folder in folders) for kind, folders in workplace.folders.items()},
        checkpoints=(workplace.checkpoints or out / "checkpoints").absolute(),
        checkpoint_seconds=plan.sweep.checkpoint_seconds,
    )


def _clear_checkpoints(checkpoints: Path, standings: Mapping[str, Standing]) -> None:
    """Remove checkpoints left by a driver that was killed after storing a result."""
    for folder in checkpoints.iterdir() if checkpoints.is_dir() else ():
        if folder.name in standings and standings[folder.name].status in TERMINAL:
            shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def _executor(resources: Resources, workplace: Workplace, run_trial: RunTrial | None, warm_up: Sequence[Trial]) -> Iterator[Executor]:
    executor: Executor
    if resources.executor == "ray":
        # Here, so the other executors do not wait for the import of Ray.
        from agd_bench.scheduling.executors.ray_pool import RayExecutor

        executor = RayExecutor(workplace, resources, run_trial, warm_up)
    elif resources.in_flight > 1:
        executor = ThreadExecutor(workplace, resources.in_flight, run_trial, warm_up)
    else:
        # A single attempt at a time uses its device exclusively, so its seconds are comparable.
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
    """Execute the remaining trials of a plan. It can be interrupted at any time; the next call resumes it.

    Args:
        plan: all trials.
        out: the run folder: results.sqlite, checkpoints, logs.
        workplace: data, plug-ins and device; on a cluster, paths that every node has. Its checkpoints default to those of the
            run folder, its `checkpoint_seconds` are the sweep's.
        resources: resources for the trials.
        observer: receives every event, and the progress about twice per second.
        store_url: URL of a database for this run instead of the SQLite file in `out`.
        stop_at: `time.monotonic()` at which the run ends cleanly even if trials remain; the in-process executor first finishes its current
            trial. None: no limit.
        part: part of the plan to execute; the store holds the whole plan. None: all.
        retry: outcomes of trials to train again (`failed`, `lost`, `refused`, `diverged`); their cost stays charged.
        run_trial: function that executes an attempt; None: `agd_bench.trial.run_trial`.
        tuner: proposes hyperparameters; None: Optuna over the algorithms' RANGES.
        grace_seconds: time after its deadline at which a worker without a report is ended by force.

    Returns:
        The run folder.

    Raises:
        KeyboardInterrupt: passed on after cleaning up.
        StoreError: the run is locked, changed or damaged, or the disk is full.
        ExecutorError: the trials cannot be executed.
        InputError: a plug-in or a data set cannot be loaded.
    """
    # Lock the store first: two drivers must not write the same log.
    with Store.open(store_url or out, plan) as store, _log_to(out / "logs"), EventLog(out / "logs" / FILE) as events:
        here = _at_home(workplace, plan, out)
        own = plan if part is None else part_of(plan, part)
        if retry:
            # Before the standings are read, because it changes them.
            store.retry(own.all_trials, retry)
        standings = store.standings()
        _clear_checkpoints(here.checkpoints or out / "checkpoints", standings)
        left = [trial for trial in own.all_trials if standings[trial.id].status not in TERMINAL]
        # Before loading data sets and starting workers: a finished run needs neither.
        if not left:
            if observer is not None:
                observer(None, Meter(own, standings).snapshot(1))
            return out
        # Before the workers start, because they would all download at the same time.
        fetch_datasets(own, workplace)
        with _executor(resources, here, run_trial, one_of_each(left)) as pool:
            tunes = tuner or OptunaTuner(here.folders)
            Run(own, store, pool, tunes, both(events, observer), here.checkpoints, grace_seconds, stop_at, resources.timed).drive()
    return out
