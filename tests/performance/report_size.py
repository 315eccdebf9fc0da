"""Time each part of a report at field size: loading, aggregating, wording and drawing a million rows.

The rows are synthetic: 15,625 architectures × 16 algorithms × 4 seeds, accuracies from an architecture effect, an
interaction and seed noise, with one point of the learning curve and one attempt each, read from a published folder.
Target: load, aggregates and page together in under a minute on two cores.

    python -m tests.performance.report_size [--architectures 15625] [--algorithms 16] [--seeds 4] [--profile]
"""

from __future__ import annotations

import argparse
import cProfile
import importlib.metadata
import itertools
import json
import os
import platform
import pstats
import resource
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import numpy as np
import pandas as pd

from agd_bench.records import Sweep
from agd_bench.report import build_report, first_screen
from agd_bench.store import Results, columns_of, load_results
from agd_bench.tables import aggregates
from tests.analysis.synthetic import PROVENANCE, with_types

TARGET_SECONDS = 60.0
OPERATIONS = ("none", "skip_connect", "nor_conv_1x1", "nor_conv_3x3", "avg_pool_3x3")
CELL = "|{}~0|+|{}~0|{}~1|+|{}~0|{}~1|{}~2|"
"""Format of the 15,625 cells of NAS-Bench-201; the number of different words determines the cost of looking for drivers."""
Value = TypeVar("Value")


def simulate(architectures: int, algorithms: int, seeds: int) -> Results:
    """Return final trials that all succeeded, with one curve point and one attempt each."""
    rng = np.random.default_rng(0)
    labels = [f"algorithm_{number:02d}" for number in range(algorithms)]
    cells = itertools.islice(itertools.product(OPERATIONS, repeat=6), architectures)
    names = np.array([CELL.format(*operations) for operations in cells], dtype=object)
    shape = (algorithms, architectures, seeds)
    algorithm, architecture, seed = (part.ravel() for part in np.indices(shape))
    accuracy = rng.normal(0.8, 0.03, architectures)[architecture] + rng.normal(0, 0.01, shape[:2])[algorithm, architecture]
    accuracy = np.clip(accuracy + rng.normal(0, 0.005, len(architecture)), 0, 1)
    count = len(accuracy)
    cost = 1 + architecture / architectures
    trials = pd.DataFrame({column.name: [None] * count for column in columns_of("trials")})
    values = {
        "trial_id": [f"{number:016x}" for number in range(count)],
        "position": np.arange(count),
        "purpose": "final",
        "seed": seed,
        "search_space": "cells",
        "architecture": names[architecture],
        "dataset": "digits",
        "dataset_share": 1.0,
        "algorithm": np.array(labels, dtype=object)[algorithm],
        "algorithm_name": "sgd",
        "profile": "matrix-only",
        "precision": "float32",
        "epochs": 1,
        "batch_size": 128,
        "hyperparameters": "{}",
        "status": "done",
        "reason": "",
        **{f"{split}_accuracy": accuracy for split in ("train", "val", "test")},
        **{f"{split}_loss": 1 - accuracy for split in ("train", "val")},
        **{f"{part}_seconds": 10 * cost for part in ("train", "total", "charged")},
        "flops": (1e12 * cost).astype("int64"),
        "forward_flops": (1e6 * cost).astype("int64"),
        "parameters": (1e5 * cost).astype("int64"),
        "attempts": 1,
    }
    trials = with_types("trials", trials.assign(**values))
    curves = trials.assign(epoch=1, learning_rate=0.1)
    attempts = trials.assign(attempt=1, node="1", started_at=1.7e9, ended_at=1.7e9 + 11, outcome="done", seconds=trials["charged_seconds"])
    attempts = attempts.assign(provenance=json.dumps(PROVENANCE))
    sweep = Sweep.model_validate(
        {
            "name": "field_size",
            "epochs": 1,
            "seeds": seeds,
            "search_spaces": [{"name": "cells", "architectures": architectures}],
            "datasets": [{"name": "digits"}],
            "algorithms": [{"name": label} for label in labels],
        }
    )
    meta = {"created_at": "2026-01-01T00:00:00+00:00", "versions": "{}", "plugin_digests": "{}", "devices": "[]"}
    return Results(sweep, trials, with_types("curves", curves), with_types("attempts", attempts), meta)


def write(results: Results, folder: Path) -> None:
    """Write the raw rows as in a published folder."""
    (folder / "sweep.json").write_text(results.sweep.model_dump_json(), encoding="utf-8")
    (folder / "meta.json").write_text(json.dumps(results.meta), encoding="utf-8")
    for table in ("trials", "curves", "attempts"):
        getattr(results, table).to_csv(folder / f"{table}.csv", index=False, lineterminator="\n")


def timed(what: str, work: Callable[[], Value], spent: dict[str, float]) -> Value:
    """Run `work`, record its wall-clock seconds in `spent`, and print them with its CPU seconds."""
    wall, processor = time.perf_counter(), time.process_time()
    value = work()
    spent[what] = time.perf_counter() - wall
    print(f"{what:<12} {spent[what]:7.1f} s wall-clock, {time.process_time() - processor:7.1f} s of the processor", flush=True)
    return value


def main() -> None:
    """Time a report, and print hardware, versions, n and the time of each part."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--architectures", type=int, default=15_625)
    parser.add_argument("--algorithms", type=int, default=16)
    parser.add_argument("--seeds", type=int, default=4)
    parser.add_argument("--profile", action="store_true", help="print what took longest")
    asked = parser.parse_args()
    versions = ", ".join(f"{name} {importlib.metadata.version(name)}" for name in ("numpy", "pandas", "scipy", "matplotlib"))
    print(f"{platform.machine()}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}; Python {platform.python_version()}, {versions}")
    size = (asked.architectures, asked.algorithms, asked.seeds)
    print(f"n = {np.prod(size):,} rows: {size[0]:,} architectures × {size[1]} algorithms × {size[2]} seeds, once", flush=True)
    profile, spent = cProfile.Profile(), dict[str, float]()
    with tempfile.TemporaryDirectory() as name:
        write(simulate(*size), Path(name))
        if asked.profile:
            profile.enable()
        results = timed("load", lambda: load_results(name), spent)
        tables = timed("aggregates", lambda: aggregates(results), spent)
        timed("finding", lambda: list(first_screen(results, tables)), spent)
        page = timed("page", lambda: build_report(results, Path(name) / "report", tables), spent)
        profile.disable()
        print(f"page of {page.stat().st_size / 1e3:.0f} kB; peak memory {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6:.1f} GB")
    total = sum(spent.values())
    print(f"in all       {total:7.1f} s: {'within' if total <= TARGET_SECONDS else 'over'} the target of {TARGET_SECONDS:.0f} s")
    if asked.profile:
        pstats.Stats(profile).sort_stats("cumulative").print_stats(45)


if __name__ == "__main__":
    main()
