"""Coverage of the intervals and bands of charged cost in simulations with a known truth, and the time of the tables at field size.

    python -m tests.performance.charged_cost [simulations]

The truth: uniform proposals, whose expected best of k is k / (k + 1), and a self-tuning algorithm between k = 3 and k = 4 (3.5 trainings).
"""

from __future__ import annotations

import resource
import sys
import time
from collections.abc import Callable

import numpy as np
import pandas as pd

from agd_bench import analysis
from tests.analysis.studies import BASE, GAIN, simulate_studies

ALGORITHMS, ARCHITECTURES, SEEDS, EPOCHS = 10, 15_625, 3, 12


def coverage(simulations: int) -> None:
    """Print how often the crossover's interval and the curve's band contain the truth."""
    sizes = np.arange(1, 13)
    truth = BASE + GAIN * sizes / (sizes + 1)
    for architectures in (8, 16, 24, 60):
        for random in (True, False):
            crossings = bands = 0
            for seed in range(simulations):
                trials = simulate_studies(architectures, 12, 3, seed=seed)
                labels = ["tuned"] * random
                row = analysis.find_crossovers(trials, "tuned", "free", random_algorithms=labels, resamples=500).iloc[0]
                crossings += bool(row["trainings_low"] <= 3.5 <= row["trainings_high"])
                curve = analysis.anytime_curves(trials, random_algorithms=labels, resamples=500)
                bands += bool(((curve["low"] <= truth) & (truth <= curve["high"])).all())
            kind = "random" if random else "adaptive"
            shares = f"crossover {crossings / simulations:.3f}, band {bands / simulations:.3f}"
            print(f"coverage at 95 %, {architectures} architectures, {kind} search, n = {simulations}: {shares}", flush=True)


def study_coverage(simulations: int) -> None:
    """Print how often the distribution-free band of a single study contains the whole true tuning curve."""
    for proposals in (3, 6, 12, 24):
        bands = analysis.search_bands(simulate_studies(simulations, proposals, 1, spread=0.0), ["tuned"])
        curve = BASE + GAIN * bands["proposals"] / (bands["proposals"] + 1)
        held = ((bands["low"] <= curve) & (curve <= bands["high"])).groupby(bands["study"]).all().mean()
        print(f"coverage at 95 % of one study's band, {proposals} proposals, n = {simulations}: {held:.4f}", flush=True)


def field() -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return the trials of ten algorithms, one tuned with 12 proposals each, on all of NAS-Bench-201 with three seeds; and all curves."""
    rng = np.random.default_rng(0)
    one = simulate_studies(ARCHITECTURES, 12, SEEDS)
    free = one[one["algorithm"] == "free"]
    more = [free.assign(algorithm=f"free{place}") for place in range(ALGORITHMS - 2)]
    trials = pd.concat([one, *more], ignore_index=True)
    accuracy = (trials["test_accuracy"] + rng.normal(0, 0.005, len(trials))).clip(0, 1)
    trials = trials.assign(trial_id=[f"t{row}" for row in range(len(trials))], test_accuracy=accuracy, val_accuracy=accuracy)
    final = trials[trials["purpose"] == "final"]
    epoch = np.tile(np.arange(1, EPOCHS + 1), len(final))
    columns = {"trial_id": np.repeat(final["trial_id"].to_numpy(), EPOCHS), "epoch": epoch, "train_seconds": 3.0 * epoch}
    reached = np.repeat(final["val_accuracy"].to_numpy(), EPOCHS) * (1 - np.exp(-epoch / 3))
    return trials, pd.DataFrame({**columns, "val_accuracy": reached})


def timings() -> None:
    """Print the time of every table at field size."""
    trials, curves = field()
    targets = analysis.reference_targets(trials, "free", by_architecture=False)
    targets["target"] *= 0.97
    times: list[pd.DataFrame] = []
    steps: dict[str, Callable[[], object]] = {
        "charged_cost": lambda: analysis.charged_cost(trials, "free"),
        "cost_views": lambda: analysis.cost_views(trials, "tuned", "free", random_algorithms=["tuned"]),
        "crossover": lambda: analysis.find_crossovers(trials, "tuned", "free", random_algorithms=["tuned"]),
        "anytime_curves": lambda: analysis.anytime_curves(trials, random_algorithms=["tuned"]),
        "search_bands": lambda: analysis.search_bands(trials, ["tuned"]),
        "time_to_target": lambda: times.append(analysis.measure_time_to_target(trials, curves, targets)),
        "performance_profiles": lambda: analysis.profile_performance(times[0]),
        "speed_ups": lambda: analysis.speed_ups(times[0], "free"),
        "critical_difference": lambda: analysis.critical_difference(trials),
    }
    print(f"{len(trials)} trials, {len(curves)} curve points, n = 1 each")
    for name, step in steps.items():
        begun, spent = time.perf_counter(), time.process_time()
        step()
        print(f"{name}: {time.perf_counter() - begun:.2f} s (CPU {time.process_time() - spent:.2f} s)", flush=True)
    print(f"largest memory {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20:.2f} GiB")


if __name__ == "__main__":
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 200
    if count:
        coverage(count)
        study_coverage(20 * count)
    timings()
