"""Result tables simulated from a known truth: architecture effect + algorithm-by-architecture interaction + seed noise."""

from __future__ import annotations

import json
from collections.abc import Sequence

import numpy as np
import pandas as pd

from agd_bench.records import Sweep, digest
from agd_bench.store import Results, columns_of

HYPERPARAMETERS = {"learning_rate": 0.1}
PROVENANCE = {"agd_bench": "0.1.0", "python": "3.11.9", "torch": "2.15.0", "device": "Test CPU", "threads": "1"}


def simulate_trials(
    architectures: int = 12,
    seeds: int = 3,
    algorithms: Sequence[str] = ("sgd", "agd"),
    interaction: float = 0.0,
    noise: float = 0.01,
    spread: float = 0.03,
    tuned: Sequence[str] = (),
    gain: float = 0.0,
    seed: int = 0,
    dataset: str = "digits",
) -> pd.DataFrame:
    """Return a table of successful trials (tuning trials may be pruned).

    Args:
        architectures: Number of architectures.
        seeds: Final trials per architecture and algorithm.
        algorithms: Labels; the first one is the reference, which has no interaction.
        interaction: Standard deviation of the algorithm-by-architecture effect of all algorithms but the first.
        noise: Standard deviation over seeds.
        spread: Standard deviation of the architecture effect.
        tuned: Labels of algorithms with two tuning trials per architecture, one of them pruned.
        gain: Added to the accuracy of all algorithms but the first.
        seed: Seed of the simulation.
        dataset: Name of the data set.
    """
    rng = np.random.default_rng(seed)
    effect = rng.normal(0.8, spread, architectures)
    rows = []
    for order, algorithm in enumerate(algorithms):
        own = effect + (order > 0) * (gain + rng.normal(0, interaction, architectures))
        for index in range(architectures):
            name = f"|conv~{index}|+|skip~{index % 3}|"
            study = digest([algorithm, name, dataset]) if algorithm in tuned else None
            for number in range(2 if study else 0):
                rows.append(_row(algorithm, name, dataset, 1_000_000, study, number, own[index], "done" if number == 0 else "pruned"))
            accuracies = np.clip(own[index] + rng.normal(0, noise, seeds), 0, 1)
            rows += [_row(algorithm, name, dataset, number, study, None, accuracies[number], "done") for number in range(seeds)]
    return with_types("trials", pd.DataFrame(rows).assign(position=range(len(rows))))


def _row(
    algorithm: str, architecture: str, dataset: str, seed: int, study: str | None, number: int | None, accuracy: float, status: str
) -> dict[str, object]:
    cost = 1 + int(digest([architecture])[:4], 16) / 65536
    row: dict[str, object] = {"purpose": "final" if number is None else "tuning", "study": study, "number": number, "seed": seed}
    row |= {"trial_id": digest([algorithm, architecture, dataset, seed, number]), "search_space": "cells", "architecture": architecture}
    row |= {"dataset": dataset, "dataset_share": 1.0, "algorithm": algorithm, "algorithm_name": algorithm, "profile": "matrix-only"}
    row |= {"precision": "float32", "epochs": 3, "batch_size": 32, "loss": None, "hyperparameters": json.dumps(HYPERPARAMETERS)}
    row |= {"status": status, "reason": "" if status == "done" else "below the median", "train_loss": 1 - accuracy}
    row |= {"train_accuracy": accuracy, "val_loss": 1.1 - accuracy, "val_accuracy": accuracy, "test_accuracy": accuracy}
    row |= {"train_seconds": 10 * cost, "total_seconds": 11 * cost, "charged_seconds": 11 * cost, "flops": int(1e12 * cost)}
    row |= {
        "forward_flops": int(1e6 * cost),
        "parameters": int(1e5 * cost),
        "peak_memory_bytes": None,
        "energy_joules": None,
        "attempts": 1,
        "representative": None,
    }
    return row


def with_types(table: str, frame: pd.DataFrame) -> pd.DataFrame:
    """Return the table with the columns and types used by the store."""
    types = {"text": "str", "real": "float64"}
    columns = columns_of(table)  # type: ignore[arg-type]
    kinds = {column.name: types.get(column.type, "Int64" if column.nullable else "int64") for column in columns}
    return frame.astype(kinds)[[column.name for column in columns]]


def spoil(trials: pd.DataFrame, algorithm: str, status: str, rows: Sequence[int], reason: str = "loss is not finite") -> pd.DataFrame:
    """Return the table with the given final trials of an algorithm (by number) set to an unsuccessful status."""
    spoilt = trials.copy()
    final = spoilt.index[(spoilt["algorithm"] == algorithm) & (spoilt["purpose"] == "final")]
    chosen = final[list(rows)]
    spoilt.loc[chosen, "status"] = status
    spoilt.loc[chosen, "reason"] = "" if status in ("pending", "running") else reason
    missing = ["train_loss", "train_accuracy", "val_loss", "val_accuracy", "test_accuracy"]
    spoilt.loc[chosen, missing] = np.nan
    if status in ("pending", "refused"):
        spoilt.loc[chosen, ["train_seconds", "total_seconds"]] = np.nan
        spoilt.loc[chosen, "charged_seconds"] = 0.0
        spoilt.loc[chosen, "flops"] = pd.NA
    if status == "pending":
        spoilt.loc[chosen, "attempts"] = 0
    return spoilt


def simulate_results(trials: pd.DataFrame, name: str = "synthetic", baseline: str = "") -> Results:
    """Return results with these trials: curves of three epochs, and one attempt for each trial that was started."""
    ended = trials[trials["status"].isin(["done", "pruned"])]
    curves = []
    for epoch in (1, 2, 3):
        reached = ended["val_accuracy"] * epoch / 3
        values = {"trial_id": ended["trial_id"], "epoch": epoch, "train_loss": 1 - reached, "train_accuracy": reached}
        values |= {"val_loss": 1.1 - reached, "val_accuracy": reached, "train_seconds": ended["train_seconds"] * epoch / 3}
        curves.append(pd.DataFrame({**values, "learning_rate": 0.1 / epoch}))
    tried = trials[trials["attempts"] > 0]
    attempts = pd.DataFrame({"trial_id": tried["trial_id"], "attempt": 1, "node": "1", "started_at": 1.7e9, "ended_at": 1.7e9 + 60})
    attempts = attempts.assign(outcome=tried["status"], seconds=tried["charged_seconds"], reason=tried["reason"])
    attempts = attempts.assign(provenance=json.dumps(PROVENANCE))
    sweep = Sweep.model_validate(
        {
            "name": name,
            "description": "Simulated.",
            "epochs": 3,
            "seeds": int(trials.loc[trials["purpose"] == "final", "seed"].nunique()),
            "baseline": baseline,
            "search_spaces": [{"name": "cells", "architectures": int(trials["architecture"].nunique())}],
            "datasets": [{"name": name} for name in trials["dataset"].unique()],
            "algorithms": [{"name": label} for label in trials["algorithm"].unique()],
        }
    )
    meta = {"created_at": "2026-11-21T00:00:00+00:00", "versions": json.dumps({"agd_bench": "0.1.0"}), "plugin_digests": "{}"}
    meta["devices"] = json.dumps(["Test CPU"])
    tables = {"curves": pd.concat(curves).sort_values(["trial_id", "epoch"]), "attempts": attempts.sort_values(["trial_id", "attempt"])}
    typed = {key: with_types(key, frame.reset_index(drop=True)) for key, frame in tables.items()}
    return Results(sweep=sweep, trials=trials, curves=typed["curves"], attempts=typed["attempts"], meta=meta)
