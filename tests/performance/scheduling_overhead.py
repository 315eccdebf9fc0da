"""Scheduling overhead of an empty trial: our queue on Ray actors, with two flushed commits per trial, against Ray Tune.

Both sides run in one process on one Ray instance, in alternating rounds, with equally many workers. Ours is timed from the
first trial sent to the last result stored; Tune from the call of `fit` to its return, which includes its fixed cost, as in a sweep.
Targets: at most 5 ms per trial, and at most a tenth of Ray Tune with `reuse_actors=True`.

    python -m tests.performance.scheduling_overhead
"""

from __future__ import annotations

import contextlib
import importlib.metadata
import io
import os
import platform
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

from agd_bench.scheduling.driver import Run
from agd_bench.scheduling.executors import ray_cluster, ray_pool
from agd_bench.scheduling.progress import Event, Snapshot
from agd_bench.scheduling.resources import Resources
from agd_bench.store import Store, load_results
from tests.scheduling import plans

ROUNDS = 3
OURS, REUSED, FRESH = 300, 30, 4
WORKERS = 2
TARGET_MILLISECONDS, TARGET_RATIO = 5.0, 0.1


def time_ours(executor: ray_pool.RayExecutor) -> float:
    """Return the seconds per trial for a plan of empty trials on a running pool."""
    planned = plans.plan(architectures=OURS, seeds=1, rounds=0)
    stamps: list[float] = []

    def observe(event: Event | None, snapshot: Snapshot) -> None:
        if event is not None:
            stamps.append(time.perf_counter())

    with tempfile.TemporaryDirectory() as folder:
        with Store.open(Path(folder), planned) as store:
            Run(planned, store, executor, plans.HashTuner(), observe).drive()
        if not (load_results(folder).trials["status"] == "done").all():
            raise SystemExit("not every trial was done, so there is nothing to time")
    return (stamps[-1] - stamps[0]) / OURS


def empty(config: dict[str, Any]) -> None:
    """Run an empty trial of Ray Tune."""
    from ray import tune

    tune.report({"value": config["x"]})


def time_tune(trials: int, reuse: bool) -> float:
    """Return the seconds per trial for a Ray Tune sweep of empty trials."""
    from ray import tune

    with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        tuner = tune.Tuner(
            tune.with_resources(empty, {"cpu": 1}),
            param_space={"x": tune.uniform(0.0, 1.0)},
            tune_config=tune.TuneConfig(num_samples=trials, reuse_actors=reuse, max_concurrent_trials=WORKERS),
            run_config=tune.RunConfig(storage_path=folder, verbose=0),
        )
        begun = time.perf_counter()
        results = tuner.fit()
        taken = time.perf_counter() - begun
        if len(results) != trials or results.errors:
            raise SystemExit("Ray Tune did not do every trial, so there is nothing to compare with")
    return taken / trials


def main() -> None:
    """Time both sides in alternating rounds and print medians and ratios."""
    os.environ.setdefault("TUNE_DISABLE_AUTO_CALLBACK_LOGGERS", "1")
    ray_cluster.connect("local")
    ours, reused = [], []
    with tempfile.TemporaryDirectory() as folder:
        for _ in range(ROUNDS):
            # The pool releases its cores in each round, because Tune would wait for them.
            executor = ray_pool.RayExecutor(plans.workplace(Path(folder)), Resources(num_workers=WORKERS), plans.succeed)
            while len(executor.idle) < WORKERS:
                executor.wait(1.0)
            ours.append(1e3 * time_ours(executor))
            executor.close()
            reused.append(1e3 * time_tune(REUSED, reuse=True))
        fresh = [1e3 * time_tune(FRESH, reuse=False)]
    versions = ", ".join(f"{name} {importlib.metadata.version(name)}" for name in ("agd-bench", "ray", "sqlalchemy"))
    print(f"{versions}, Python {platform.python_version()}; {os.cpu_count()} cores, {WORKERS} workers, {platform.machine()}")
    print(f"load of the machine: {os.getloadavg()[0]:.1f}")
    middle = statistics.median(ours)
    for name, values, count in (
        ("agd-bench", ours, OURS),
        ("Ray Tune, reuse_actors=True", reused, REUSED),
        ("Ray Tune, default", fresh, FRESH),
    ):
        rounds = ", ".join(f"{value:.1f}" for value in values)
        typical = statistics.median(values)
        print(f"{name:30s} median {typical:8.1f} ms a trial (rounds of {count}: {rounds}), {typical / middle:.1f} times ours")
    ratio = middle / statistics.median(reused)
    print(f"target at most {TARGET_MILLISECONDS:.0f} ms: {'met' if middle <= TARGET_MILLISECONDS else 'MISSED'}")
    print(f"target at most {TARGET_RATIO:.2f} of reuse_actors: {ratio:.3f}, {'met' if ratio <= TARGET_RATIO else 'MISSED'}")


if __name__ == "__main__":
    main()
