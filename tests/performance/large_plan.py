"""Time a sweep of the flagship's size, 15,625 architectures × 3 algorithms × 3 seeds: planning, start, resuming, status and joining.

Nothing is trained: trials end at once with made-up numbers, so only the overhead of the harness is timed. The script prints the CPU seconds
of this process and wall seconds, which include flushes to the disk. Targets: seconds for every step, at most 5 ms per trial.

    python -m tests.performance.large_plan
"""

from __future__ import annotations

import importlib.metadata
import os
import platform
import resource
import sqlite3
import tempfile
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import TypeVar

from agd_bench.planning.planner import plan
from agd_bench.records import Plan
from agd_bench.scheduling.driver import Run
from agd_bench.scheduling.executors.in_process import InProcessExecutor
from agd_bench.scheduling.partition import Part, part_of
from agd_bench.store import Store, join, load_results, merge_into, status
from agd_bench.store.database import FILE
from agd_bench.sweeps import open_sweep
from tests.scheduling import plans

SLICE = 2_000
"""Number of trials in the timed slice."""
Made = TypeVar("Made")


def timed(what: str, make: Callable[[], Made]) -> Made:
    """Run a step, and print its time and memory."""
    wall, used, memory = time.perf_counter(), time.process_time(), _mebibytes()
    made = make()
    wall, used, memory = time.perf_counter() - wall, time.process_time() - used, _mebibytes() - memory
    print(f"{what:60s} {used:7.2f} s of CPU, {wall:7.2f} s in all, peak memory +{memory:.0f} MiB", flush=True)
    return made


def _mebibytes() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def open_and_close(folder: Path, planned: Plan) -> None:
    """Open a run's store and close it."""
    with Store.open(folder, planned):
        pass


def prepare(folder: Path, planned: Plan) -> None:
    """Do everything that happens before the first trial is sent, except for starting the executor."""
    with Store.open(folder, planned) as store:
        Run(planned, store, InProcessExecutor(plans.workplace(folder), plans.succeed), plans.HashTuner())


def run_slice(folder: Path, planned: Plan) -> float:
    """Run a slice of empty trials, and return the CPU seconds per trial, from the first to the last."""
    with Store.open(folder, planned) as store:
        executor = InProcessExecutor(plans.workplace(folder), plans.succeed)
        run = Run(planned, store, executor, plans.HashTuner(), lambda event, snapshot: None)
        begun, used = time.perf_counter(), time.process_time()
        for _ in range(SLICE):
            run._step(executor.wait(0.0))
        run._step(executor.wait(0.0))
        used, wall = time.process_time() - used, time.perf_counter() - begun
        run._abandon("the slice is over")
    print(f"{'a trial of a slice':60s} {1e3 * used / SLICE:7.2f} ms of CPU, {1e3 * wall / SLICE:7.2f} ms in all, n = {SLICE}", flush=True)
    return used / SLICE


def finish_all(folder: Path) -> None:
    """Mark every trial as done in the database, with the measurements of one trial of the slice: only their number matters."""
    measured = ("train_loss", "val_accuracy", "test_accuracy", "train_seconds", "total_seconds", "charged_seconds", "flops", "parameters")
    with closing(sqlite3.connect(folder / FILE)) as connection, connection:
        (one,) = connection.execute("select trial_id from trials where status = 'done' limit 1").fetchone()
        values = ", ".join(f"{name} = (select {name} from trials where trial_id = '{one}')" for name in measured)
        fresh = "select trial_id from trials where status = 'pending'"
        connection.execute(f"delete from attempts where trial_id in ({fresh})")
        for table in ("attempts", "curves"):
            names = [row[1] for row in connection.execute(f"pragma table_info({table})") if row[1] != "trial_id"]
            copied = f"select t.trial_id, {', '.join(f'o.{name}' for name in names)} from ({fresh}) t, {table} o where o.trial_id = '{one}'"
            connection.execute(f"insert into {table} (trial_id, {', '.join(names)}) {copied}")
        connection.execute(f"update trials set status = 'done', attempts = 1, {values} where status = 'pending'")


def main() -> None:
    """Time each step once, in the order of a sweep."""
    versions = ", ".join(f"{name} {importlib.metadata.version(name)}" for name in ("agd-bench", "pydantic", "sqlalchemy", "pandas"))
    print(f"{versions}, Python {platform.python_version()}; {os.cpu_count()} cores, {platform.machine()}, load {os.getloadavg()[0]:.1f}")
    sweep = open_sweep("flagship")
    plan(sweep.model_copy(update={"search_spaces": (sweep.search_spaces[0].model_copy(update={"architectures": 1}),)}))  # imports
    planned = timed("plan", lambda: plan(sweep))
    print(f"{len(planned.all_trials):,} trials")
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        (folder / "run").mkdir()
        timed("make the store", lambda: open_and_close(folder / "run", planned))
        timed("open it again", lambda: open_and_close(folder / "run", planned))
        timed("all before the first trial is sent", lambda: prepare(folder / "run", planned))
        run_slice(folder / "run", planned)
        timed("status", lambda: status(folder / "run"))
        timed("take a part of the plan", lambda: part_of(planned, Part(1, 2)))
        timed("load the results of a slice", lambda: load_results(folder / "run"))
        slice_results = load_results(folder / "run")
        with Store.open(folder / "joined", planned) as store:
            timed("merge a slice", lambda: merge_into(store, planned, join([("a", slice_results)])))
        finish_all(folder / "run")
        timed("status of the whole", lambda: status(folder / "run"))
        timed("all before the first trial is sent, nothing left", lambda: prepare(folder / "run", planned))
        whole = timed("load the results of the whole", lambda: load_results(folder / "run"))
        with Store.open(folder / "whole", planned) as store:
            joined = timed("join the whole with the slice", lambda: join([("a", slice_results), ("b", whole)]))
            timed("merge the whole", lambda: merge_into(store, planned, joined))


if __name__ == "__main__":
    main()
