"""Tuning studies simulated from a known truth; proposals are uniform, so the expected best of k is k / (k + 1)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

BASE, GAIN = 0.5, 0.3
"""Accuracy of the worst proposal on the average architecture, and the gain of the best proposal over it."""


def simulate_studies(
    architectures: int = 24,
    proposals: int = 8,
    seeds: int = 3,
    level: float = 0.775,
    spread: float = 0.03,
    noise: float = 0.01,
    blur: float = 0.0,
    seed: int = 0,
) -> pd.DataFrame:
    """Return trials of `tuned` (random proposals on every architecture, then final trials of the best) and of the tuning-free `free`.

    Args:
        architectures: Number of architectures.
        proposals: Proposals per study.
        seeds: Final trials per algorithm and architecture.
        level: Position of the tuning-free algorithm between the worst (0) and the best (1) proposal; 0.775 is halfway between the
            expected best of 3 and of 4 proposals.
        spread: Standard deviation of the architecture effect, which both algorithms share.
        noise: Standard deviation of final trials over seeds.
        blur: Standard deviation of a proposal's validation accuracy around its test accuracy.
        seed: Seed of the simulation.
    """
    rng = np.random.default_rng(seed)
    effect = BASE + rng.normal(0, spread, architectures)
    quality = rng.uniform(size=(architectures, proposals))
    test = (effect[:, None] + GAIN * quality).clip(0, 1)
    val = (test + rng.normal(0, blur, test.shape)).clip(0, 1)
    best = test[np.arange(architectures), val.argmax(axis=1)]
    parts = [_rows("tuned", "tuning", val, test)]
    for name, centre in (("tuned", best), ("free", effect + GAIN * level)):
        reached = (centre[:, None] + rng.normal(0, noise, (architectures, seeds))).clip(0, 1)
        parts.append(_rows(name, "final", reached, reached))
    trials = pd.concat(parts, ignore_index=True)
    return trials.assign(trial_id=[f"t{row}" for row in range(len(trials))], position=range(len(trials)))


def _rows(algorithm: str, purpose: str, val: np.ndarray, test: np.ndarray) -> pd.DataFrame:
    count, runs = val.shape
    architecture = np.repeat([f"a{place}" for place in range(count)], runs)
    number = np.tile(np.arange(runs), count)
    tuning = purpose == "tuning"
    columns = {"architecture": architecture, "seed": number + 1_000_000 * tuning, "algorithm": algorithm, "purpose": purpose}
    columns |= {"study": [f"study of {name}" for name in architecture] if algorithm == "tuned" else None}
    columns |= {"number": pd.array(number if tuning else [pd.NA] * len(number), dtype="Int64"), "status": "done"}
    columns |= {"val_accuracy": val.ravel(), "test_accuracy": test.ravel(), "charged_seconds": 36.0, "total_seconds": 36.0}
    columns |= {"flops": pd.array([10**9] * len(number), dtype="Int64"), "attempts": 1, "energy_joules": np.nan}
    columns |= {"peak_memory_bytes": pd.NA, "search_space": "cells", "dataset": "digits", "profile": "matrix-only"}
    return pd.DataFrame(columns)


def end_otherwise(trials: pd.DataFrame, rows: Sequence[int], status: str, attempts: int = 1) -> pd.DataFrame:
    """Return the table with the given rows (by number) set to another status and without accuracies."""
    changed = trials.copy()
    changed.loc[list(rows), "status"] = status
    changed.loc[list(rows), ["val_accuracy", "test_accuracy"]] = np.nan
    changed.loc[list(rows), "attempts"] = attempts
    return changed
