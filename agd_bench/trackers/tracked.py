"""The protocol of trackers, and what they receive about a trial."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

import pandas as pd

from agd_bench.records import TERMINAL, Scalars, Trial, TrialResult
from agd_bench.store import Results
from agd_bench.store.plan_rows import planned_row

SETTINGS = (
    *("algorithm", "search_space", "architecture", "dataset", "profile", "precision", "epochs", "batch_size", "seed", "purpose"),
    *("study", "number"),
)
"""Columns of a trial that trackers show as its settings, before its hyperparameters."""
MEASURED = ("val_accuracy", "test_accuracy", "val_loss", "train_loss", "train_accuracy", "train_seconds", "total_seconds", "flops")
"""Columns of a trial that trackers show as its result."""
CURVES = ("train_loss", "train_accuracy", "val_loss", "val_accuracy", "learning_rate")
LONGEST_NAME = 60


class Point(NamedTuple):
    """Values after an epoch.

    Attributes:
        epoch: from 1.
        time: seconds since 1970-01-01 UTC, estimated from the trial's end and its training time.
        values: finite values by name; diagnostics have the prefix `diagnostics/`.
    """

    epoch: int
    time: float
    values: dict[str, float]


@dataclass(frozen=True)
class TrackedTrial:
    """A trial that was executed and has ended.

    Attributes:
        id: the trial's id.
        attempt: number of its last attempt. A tracker replaces a trial of an earlier attempt.
        name: readable and unique; parts are separated by slashes and valid file names.
        status: how it ended.
        reason: why, unless it is `done`.
        settings: the trial's settings and hyperparameters (prefix `hyperparameters/`).
        points: the learning curve.
        result: finite measurements by name.
        started_at: start of the last attempt, seconds since 1970-01-01 UTC.
        ended_at: its end.
    """

    id: str
    attempt: int
    name: str
    status: str
    reason: str
    settings: Scalars
    points: tuple[Point, ...]
    result: dict[str, float]
    started_at: float
    ended_at: float


class Tracker(Protocol):
    """Writes trials where a tracker reads them.

    Attributes:
        show: the command that shows or uploads them.
    """

    show: str

    def write(self, trial: TrackedTrial) -> None:
        """Write a trial. Nothing changes if this attempt is already there; one that was written in part is replaced.

        Raises:
            OSError: it cannot be written.
        """


def tracked_result(trial: Trial, attempt: int, result: TrialResult, ended_at: float) -> TrackedTrial | None:
    """Convert a result as it arrives; arguments as of `_tracked`. None: the trial was not executed."""
    row = planned_row(0, trial) | {"hyperparameters": json.dumps(trial.settings)} | result.model_dump(exclude={"curve"})
    curve = [point.model_dump(exclude={"diagnostics"}) for point in result.curve]
    numbers = {point.epoch: point.diagnostics for point in result.curve}
    return _tracked(row | {"attempts": attempt}, curve, numbers, ended_at)


def tracked_results(results: Results) -> Iterator[TrackedTrial]:
    """Convert the stored trials that were executed and have ended."""
    curves: dict[str, list[Any]] = {}
    for point in _records(results.curves):
        curves.setdefault(point["trial_id"], []).append(point)
    numbers: dict[str, dict[int, dict[str, float]]] = {}
    for number in _records(results.diagnostics):
        numbers.setdefault(number["trial_id"], {}).setdefault(number["epoch"], {})[number["name"]] = number["value"]
    ends = results.attempts.groupby("trial_id")["ended_at"].max()
    for row in _records(results.trials):
        if row["status"] in TERMINAL:
            key = row["trial_id"]
            found = _tracked(row, curves.get(key, []), numbers.get(key, {}), float(ends.get(key, math.nan)))
            if found is not None:
                yield found


def _records(frame: pd.DataFrame) -> list[dict[str, Any]]:
    return frame.to_dict("records")  # type: ignore[return-value]  # columns are named by text


def _tracked(
    row: Mapping[str, Any], curve: list[dict[str, Any]], numbers: Mapping[int, Mapping[str, float]], ended_at: float
) -> TrackedTrial | None:
    """Convert a row of trials with its curve.

    Args:
        row: by column.
        curve: rows of curves.
        numbers: diagnostics by epoch and name.
        ended_at: end of the last attempt, seconds since 1970-01-01 UTC.
    """
    # Results of an equal network would appear twice, and what never ran has none.
    if not row["attempts"] or not pd.isna(row["representative"]):
        return None
    seconds = _finite(row, MEASURED)
    started_at = ended_at - seconds.get("total_seconds", 0.0)
    points = [
        Point(
            int(point["epoch"]),
            started_at + point["train_seconds"],
            _finite(point, CURVES) | _finite({f"diagnostics/{name}": value for name, value in numbers.get(point["epoch"], {}).items()}),
        )
        for point in curve
    ]
    settings: dict[str, Any] = {name: row[name] for name in SETTINGS if not pd.isna(row[name])}
    # pandas' numbers are NumPy's, which trackers write as text or not at all
    settings = {name: value.item() if hasattr(value, "item") else value for name, value in settings.items()}
    values = json.loads(row["hyperparameters"]) if isinstance(row["hyperparameters"], str) else {}
    settings |= {f"hyperparameters/{name}": value for name, value in values.items()}
    return TrackedTrial(
        row["trial_id"],
        int(row["attempts"]),
        _name(row),
        row["status"],
        row["reason"],
        settings,
        tuple(points),
        seconds,
        started_at,
        ended_at,
    )


def _finite(row: Mapping[str, Any], names: tuple[str, ...] | None = None) -> dict[str, float]:
    found = {name: row.get(name) for name in (row if names is None else names)}
    return {name: float(value) for name, value in found.items() if not pd.isna(value) and math.isfinite(value)}


def _name(row: Mapping[str, Any]) -> str:
    """Return `algorithm/search_space-dataset/architecture-seed-id`, of letters, digits and a few signs."""
    last = f"{row['architecture'][:LONGEST_NAME]}-seed{row['seed']}-{row['trial_id'][:8]}"
    parts = (row["algorithm"], f"{row['search_space']}-{row['dataset']}", last)
    return "/".join(re.sub(r"[^\w.+-]+", "_", part) for part in parts)
