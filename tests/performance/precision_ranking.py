"""Check whether bfloat16 ranks architectures as float32 does: the rankings of one sweep in both precisions, compared with seed noise.

    OMP_NUM_THREADS=1 python tests/performance/precision_ranking.py [--architectures 12] [--seeds 4] [--out DIR]

A small sweep of nas_bench_201 on Fashion-MNIST (its files under AGD_BENCH_DATA) or on digits is trained in each precision, with
the same architectures, seeds, batches and initial weights. For each algorithm, the script prints tau between the two rankings, its noise
ceiling, the gap with its 95 % interval, the p-value of 'no shift beyond noise', and the mean accuracy in both. After an interruption, a run
with the same --out resumes.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path
from typing import Any

import pandas as pd

from agd_bench import Sweep, run
from agd_bench.analysis import accuracy_table, kendall_tau


def sweep(precision: str, given: argparse.Namespace) -> Sweep:
    """Return the sweep in one precision."""
    asked: dict[str, Any] = {
        "name": f"precision-{precision}",
        "search_spaces": [
            {"name": "nas_bench_201", "architectures": given.architectures, "options": {"channels": given.channels, "cells": 1}}
        ],
        "datasets": [{"name": given.dataset, "share": given.share}],
        "algorithms": [{"name": "agd"}, {"name": "nas_bench_201_sgd"}],
        "epochs": given.epochs,
        "batch_size": 128,
        "seeds": given.seeds,
        "precision": precision,
    }
    return Sweep.model_validate(asked)


def main() -> None:
    """Train in both precisions and compare."""
    parser = argparse.ArgumentParser(description="Rankings in bfloat16 against rankings in float32")
    parser.add_argument("--architectures", type=int, default=12)
    parser.add_argument("--seeds", type=int, default=4)
    parser.add_argument("--epochs", type=int, default=6)
    parser.add_argument("--channels", type=int, default=8)
    parser.add_argument("--dataset", default="fashion_mnist")
    parser.add_argument("--share", type=float, default=0.05)
    parser.add_argument("--out", type=Path, default=None)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        root = given.out or Path(temporary)
        tables = []
        for precision in ("float32", "bfloat16"):
            trials = run(sweep(precision, given), root / precision, executor="in-process", device="cpu").trials
            tables.append(trials.assign(algorithm=trials["algorithm"] + f" in {precision}"))
    trials = pd.concat(tables)
    print(f"{given.dataset}, share {given.share:g}; {given.architectures} architectures of {given.channels} channels, {given.seeds} seeds")
    means = accuracy_table(trials).set_index("algorithm")["mean_accuracy"]
    taus = kendall_tau(trials, resamples=1000)
    for algorithm in ("agd", "nas_bench_201_sgd"):
        names = [f"{algorithm} in {precision}" for precision in ("float32", "bfloat16")]
        row = taus[taus["algorithm"].isin(names) & taus["other"].isin(names) & (taus["algorithm"] != taus["other"])].iloc[0]
        print(
            f"{algorithm:18} n = {row['architectures']:.0f}: tau {row['kendall_tau']:.3f}, ceiling {row['noise_ceiling']:.3f}, "
            f"gap {row['gap']:+.3f} ({row['gap_low']:+.3f} to {row['gap_high']:+.3f}), p = {row['shift_p']:.2f}; "
            f"mean test accuracy {' and '.join(f'{means.loc[name]:.4f}' for name in names)}"
        )


if __name__ == "__main__":
    main()
