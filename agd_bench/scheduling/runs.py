"""Run a plan, or go on with it: the same call, which does what is still to be done."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from agd_bench.errors import DatasetError, InputError, StoreError
from agd_bench.plugins import load
from agd_bench.records import TERMINAL, Plan
from agd_bench.scheduling.driver import GRACE_SECONDS, Run
from agd_bench.scheduling.executors.protocol import Executor, InProcessExecutor, RunTrial
from agd_bench.scheduling.executors.threads import ThreadExecutor
from agd_bench.scheduling.gpu_sharing import TIMED_ARCHITECTURES
from agd_bench.scheduling.partition import Part, part_of
from agd_bench.scheduling.progress import Meter, Observer
from agd_bench.scheduling.queue import OptunaTuner, Tuner
from agd_bench.store import Standing, Store

if TYPE_CHECKING:
    from agd_bench.trial import Workplace

ExecutorName = Literal["ray", "in-process"]


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
                "put its files there or give another --data"
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
def _executor(
    name: ExecutorName,
    workplace: Workplace,
    run_trial: RunTrial | None,
    num_workers: int | None,
    gpus_per_trial: float | None,
    ray_address: str | None,
    share_gpus: bool,
    in_flight: int,
) -> Iterator[Executor]:
    executor: Executor
    if name == "in-process":
        if share_gpus:
            raise InputError("--share-gpus needs a process for each trial; use the executor 'ray'")
        alone = InProcessExecutor(replace(workplace, exclusive=True), run_trial) if in_flight == 1 else None
        executor = alone or ThreadExecutor(workplace, in_flight, run_trial)
    elif name == "ray":
        from agd_bench.scheduling.executors.ray_pool import RayExecutor

        executor = RayExecutor(workplace, run_trial, num_workers, gpus_per_trial, ray_address or "local", share_gpus, in_flight)
    else:
        raise InputError(f"executor {name!r}: allowed are 'ray' and 'in-process'")
    try:
        yield executor
    finally:
        executor.close()


def run(
    plan: Plan,
    out: Path,
    workplace: Workplace,
    executor: ExecutorName = "ray",
    num_workers: int | None = None,
    gpus_per_trial: float | None = None,
    ray_address: str | None = None,
    observer: Observer | None = None,
    store_url: str | None = None,
    *,
    run_trial: RunTrial | None = None,
    tuner: Tuner | None = None,
    grace_seconds: float = GRACE_SECONDS,
    stop_at: float | None = None,
    part: Part | None = None,
    share_gpus: bool = False,
    timed: int = TIMED_ARCHITECTURES,
    in_flight: int = 1,
) -> Path:
    """Do what is still to be done of a plan. Interrupt it at any moment and call it again: it goes on where it was.

    Args:
        plan: all trials.
        out: the run folder: results.sqlite, checkpoints, logs.
        workplace: data, plug-ins and device; on a cluster, paths that every node has. Its checkpoints default to those of the
            run folder, its `checkpoint_seconds` are the sweep's.
        executor: `ray` (a pool of processes) or `in-process` (one trial at a time, here).
        num_workers: processes of the pool; null: as many as the cores or GPUs allow.
        gpus_per_trial: share of a GPU for each; null: a whole one where there are some; 0: CPUs.
        ray_address: HOST:PORT of a running Ray head; null: a Ray of our own on this machine.
        observer: told of every event, and of the progress about twice a second.
        store_url: a database that holds this run instead of the SQLite file in `out`.
        run_trial: what runs an attempt; null: `agd_bench.trial.run_trial`.
        tuner: what proposes hyperparameters; null: Optuna over the algorithms' RANGES.
        grace_seconds: how long after its deadline a worker that does not answer is ended by force.
        stop_at: `time.monotonic()` at which the run ends cleanly, whatever is left; the in-process executor overruns it by what is left
            of its trial. Null: no limit.
        part: which part of the plan to do; the store keeps all of it. Null: all.
        share_gpus: with Ray, let trials share each GPU, as many as measured memory and throughput allow, instead of `gpus_per_trial`.
        timed: architectures of each comparison whose trials from the first seed have a shared GPU to themselves, for their seconds.
        in_flight: trials that each worker trains at a time, in threads, at most; as many as measured memory and throughput allow.

    Returns:
        The run folder.

    Raises:
        KeyboardInterrupt: as it came, with everything put in order.
        StoreError: the run is locked, changed, damaged, or its disk full.
        ExecutorError: nothing can run the trials.
        InputError: a plug-in or a data set cannot be loaded.
    """
    if in_flight < 1:
        raise InputError(f"{in_flight} trials in flight: give at least 1")
    with Store.open(store_url or out, plan) as store, _log_to(out / "logs"):
        here = _at_home(workplace, plan, out)
        standings = store.standings()
        _clear_checkpoints(here.checkpoints or out / "checkpoints", standings)
        own = plan if part is None else part_of(plan, part)
        if all(standings[trial.id].status in TERMINAL for trial in own.all_trials):
            if observer is not None:
                observer(None, Meter(own, standings).snapshot(1))
            return out
        fetch_datasets(own, workplace)
        with _executor(executor, here, run_trial, num_workers, gpus_per_trial, ray_address, share_gpus, in_flight) as pool:
            Run(own, store, pool, tuner or OptunaTuner(here.folders), observer, here.checkpoints, grace_seconds, stop_at, timed).drive()
    return out
