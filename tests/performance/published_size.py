"""Size of the flagship's published folder, from its first slices to the end, for made-up numbers with as many digits as measured ones.

    python -m tests.performance.published_size [--networks 50 500 5044] [--publish]

The script prints the megabytes of each table of raw rows as published, and with the rows of trials that took an equal network's results
written out; and those of the published rows after gzip, about what a git repository stores. With `--publish`, it also prints those of the
tables and pages computed from them. A file in a git repository should stay under 50 MB, and must stay under 100 MB on most hosts.
"""

from __future__ import annotations

import argparse
import gzip
import json
import tempfile
import time
from pathlib import Path

import numpy as np
import pandas as pd

from agd_bench.leaderboard import publish_results
from agd_bench.planning.planner import plan
from agd_bench.records import Plan, Trial
from agd_bench.store import EVIDENCE, TABLES, Results, begun_results, condense
from agd_bench.store.equal_networks import expand
from agd_bench.store.plan_rows import meta_of, planned_row
from agd_bench.store.results import typed, without_rows
from agd_bench.store.schema import Table
from agd_bench.sweeps import open_sweep

PROVENANCE = {
    **dict.fromkeys(("agd_bench", "python", "torch", "cuda"), "3.11.7"),
    "code_digest": "0123456789abcdef",
    "code_revision": "0123456789abcdef0123456789abcdef01234567",
    "device": "NVIDIA H200",
    "device_type": "cuda",
    **{"exclusive": "no", "memory_format": "channels_last", "precision": "bfloat16", "system": "Linux x86_64"},
    **{"threads": "1", "tier": "self-tuning", "descent_guarantee": "no"},
}


def grown(planned: Plan, networks: int) -> Results:
    """Return the results of the sweep after all trials of its first `networks` networks."""
    rng = np.random.default_rng(0)
    order = {name: place for place, name in enumerate(dict.fromkeys(t.architecture for t in planned.trials if t.representative is None))}
    trained = [trial for trial in planned.trials if trial.representative is None and order[trial.architecture] < networks]
    ended = {trial.id for trial in trained}
    taken = [trial for trial in planned.trials if trial.representative in ended]
    position = {trial.id: place for place, trial in enumerate(planned.trials)}
    count, epochs = len(trained), planned.sweep.epochs
    seconds = rng.uniform(2, 40, count)

    def row(trial: Trial) -> dict[str, object]:
        return planned_row(position[trial.id], trial) | {"hyperparameters": "{}"}

    trials = pd.DataFrame([row(trial) for trial in trained]).assign(
        status="done",
        train_loss=rng.uniform(0.1, 2, count),
        train_accuracy=rng.integers(0, 45_000, count) / 45_000,
        val_loss=rng.uniform(0.5, 2, count),
        val_accuracy=rng.integers(0, 5_000, count) / 5_000,
        test_accuracy=rng.integers(0, 10_000, count) / 10_000,
        train_seconds=seconds,
        total_seconds=seconds * 1.1,
        charged_seconds=seconds * 1.1,
        flops=rng.integers(10**16, 10**17, count),
        forward_flops=rng.integers(10**7, 10**8, count),
        parameters=rng.integers(10**5, 10**6, count),
        peak_memory_bytes=rng.integers(10**9, 10**10, count),
        energy_joules=None,
        attempts=1,
    )
    ids, points = np.repeat(trials["trial_id"].to_numpy(), epochs), count * epochs
    curves = pd.DataFrame(
        {
            "trial_id": ids,
            "epoch": np.tile(np.arange(1, epochs + 1), count),
            "train_loss": rng.uniform(0.1, 2, points),
            "train_accuracy": rng.integers(0, 45_000, points) / 45_000,
            "val_loss": rng.uniform(0.5, 2, points),
            "val_accuracy": rng.integers(0, 5_000, points) / 5_000,
            "train_seconds": rng.uniform(1, 40, points),
            "learning_rate": rng.uniform(0, 0.1, points),
        }
    )
    begun = 1.8e9 + np.cumsum(seconds)
    attempts = pd.DataFrame({"trial_id": trials["trial_id"], "attempt": 1, "node": "1", "started_at": begun, "ended_at": begun + seconds})
    attempts = attempts.assign(outcome="done", seconds=seconds * 1.1, reason="", provenance=json.dumps(PROVENANCE, sort_keys=True))
    tables: dict[Table, pd.DataFrame] = {"trials": typed("trials", trials), "curves": typed("curves", curves)}
    tables |= {"attempts": typed("attempts", attempts), "diagnostics": without_rows("diagnostics")}
    equals = pd.DataFrame([row(trial) for trial in taken])[["trial_id", "position", "architecture", "representative"]]
    whole = expand(tables, typed("equals", equals))
    unbegun = [trial for trial in planned.trials if trial.id not in ended and trial.representative not in ended]
    rest = [pd.DataFrame([planned_row(position[trial.id], trial) for trial in unbegun])] if unbegun else []
    whole["trials"] = typed("trials", pd.concat([whole["trials"], *rest]))
    meta = meta_of(planned) | {"devices": json.dumps(["NVIDIA H200"])}
    meta.pop("sweep")
    return begun_results(Results(planned.sweep, **whole, meta=meta))


def main() -> None:
    """Print one row for each size."""
    parser = argparse.ArgumentParser(description="size of the flagship's published folder")
    parser.add_argument("--networks", type=int, nargs="+", default=[50, 500, 5_044])
    parser.add_argument("--publish", action="store_true")
    given = parser.parse_args()
    planned = plan(open_sweep("flagship"))
    for networks in given.networks:
        results = grown(planned, networks)
        whole: dict[Table, pd.DataFrame] = {table: getattr(results, table) for table in (*TABLES, *EVIDENCE)}
        begun = time.process_time()
        small = condense(whole)
        condensing = time.process_time() - begun
        texts = {name: table.to_csv(index=False, lineterminator="\n").encode() for name, table in small.items() if len(table)}
        before = sum(len(table.to_csv(index=False).encode()) for table in whole.values() if len(table))
        after, packed = sum(map(len, texts.values())), sum(len(gzip.compress(text, 6)) for text in texts.values())
        shares = ", ".join(f"{name} {len(text) / 1e6:.2f}" for name, text in texts.items())
        strings, rows = whole["trials"]["architecture"].nunique(), len(whole["trials"])
        print(f"{networks:,} networks, {strings:,} architectures, {rows:,} trials: {after / 1e6:.1f} MB ({shares}),", end=" ")
        print(f"written out {before / 1e6:.1f} MB, gzip {packed / 1e6:.1f} MB; condensed in {condensing:.1f} s of CPU", flush=True)
        if given.publish:
            with tempfile.TemporaryDirectory() as place:
                begun = time.process_time()
                folder = publish_results(results, Path(place) / "board")
                sizes = {path.relative_to(folder).as_posix(): path.stat().st_size for path in folder.rglob("*") if path.is_file()}
                largest = sorted(sizes, key=lambda name: -sizes[name])[:8]
                print(f"    published in {time.process_time() - begun:.0f} s of CPU: {sum(sizes.values()) / 1e6:.1f} MB, of which")
                print("    " + ", ".join(f"{name} {sizes[name] / 1e6:.2f}" for name in largest), flush=True)


if __name__ == "__main__":
    main()
