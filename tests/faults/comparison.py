"""Checks that a disturbed run equals an undisturbed one, has and charges every attempt, and leaves no files behind."""

from __future__ import annotations

import re
import sqlite3
from contextlib import closing
from pathlib import Path

import pandas as pd

from agd_bench.records import TERMINAL
from agd_bench.store import Results, export, load_results

TIMES = {"attempts", "train_seconds", "total_seconds", "charged_seconds", "peak_memory_bytes", "energy_joules"}
"""Columns in which even two undisturbed runs differ."""


def find_differences(run: Path, expected: Results, log_is_whole: bool = True) -> list[str]:
    """Return a line for each problem of a run that has been disturbed and has ended.

    Args:
        run: the run's folder.
        expected: the results of the undisturbed run.
        log_is_whole: whether every logged attempt must have a row; False after the loss of committed data.
    """
    found = load_results(run)
    export(found, run / "export")
    exported = load_results(run / "export")
    lines = [line for results in (found, exported) for line in _unequal_tables(results, expected)]
    parquet = pd.read_parquet(run / "export" / "trials.parquet")
    if not parquet["test_accuracy"].equals(expected.trials["test_accuracy"]):
        lines.append("trials.parquet: other accuracies")
    return [*lines, *_attempt_faults(run, found, log_is_whole), *_leftovers(run)]


def _unequal_tables(found: Results, expected: Results) -> list[str]:
    lines = []
    for name in ("trials", "curves", "diagnostics"):
        ours, theirs = getattr(found, name), getattr(expected, name)
        columns = [column for column in theirs if column not in TIMES]
        try:
            pd.testing.assert_frame_equal(ours[columns], theirs[columns], check_exact=True)
        except AssertionError as error:
            lines.append(f"{name}: {' '.join(str(error).split())[:300]}")
    return lines


def _attempt_faults(run: Path, found: Results, log_is_whole: bool) -> list[str]:
    """Return a line for attempts that are lost, numbered wrongly, still running, or not charged."""
    lines = []
    attempts = found.attempts
    for trial_id, own in attempts.groupby("trial_id"):
        ended = own["outcome"].isin(TERMINAL)
        if list(own["attempt"]) != list(range(1, len(own) + 1)) or ended.sum() != 1 or not ended.iloc[-1]:
            lines.append(f"attempts of {trial_id}: {list(own['outcome'])}")
        if not (own["seconds"] >= 0).all():
            lines.append(f"attempts of {trial_id}: seconds {list(own['seconds'])}")
    charged = found.trials.set_index("trial_id")["charged_seconds"]
    if charged.sub(attempts.groupby("trial_id")["seconds"].sum(), fill_value=0.0).abs().max() > 1e-6:
        lines.append("charged seconds are not the sums of attempts")
    log = (run / "logs" / "driver.log").read_text(encoding="utf-8", errors="replace")
    known = set(zip(attempts["trial_id"], attempts["attempt"], strict=True))
    begun = {(name, int(number)) for name, number in re.findall(r"(?:started|retried) ([0-9a-f]{16}) attempt (\d+)", log)}
    if log_is_whole and begun - known:
        lines.append(f"attempts without a row: {sorted(begun - known)}")
    return lines


def _leftovers(run: Path) -> list[str]:
    """Return a line for each file that a finished run should not have, and for a damaged database."""
    left = [path for pattern in ("results.sqlite-*", "checkpoints/*", "**/*.tmp", "**/.writing-*") for path in run.glob(pattern)]
    with closing(sqlite3.connect(run / "results.sqlite")) as connection:
        sound = connection.execute("pragma integrity_check").fetchone()[0]
    return [f"left behind: {path.relative_to(run)}" for path in left] + ([] if sound == "ok" else [f"integrity_check: {sound}"])
