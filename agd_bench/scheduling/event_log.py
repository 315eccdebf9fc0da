"""What happened in a run, one JSON object a line, and what each node did, counted from them. Names of hosts are never published."""

from __future__ import annotations

import json
import time
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import pandas as pd

from agd_bench.errors import InputError
from agd_bench.scheduling.progress import Event, Snapshot

FILE = "events.jsonl"
"""In the folder `logs` of every run."""
COUNTED = ("done", "failed", "diverged", "lost")


class EventLog:
    """An observer that appends each event to a file. Use it as a context manager.

    Args:
        path: of the file; later runs append to it.

    Raises:
        InputError: it cannot be written.
    """

    def __init__(self, path: Path) -> None:
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._file = path.open("a", encoding="utf-8", newline="\n")
            # A driver that was killed may have left half a line.
            if path.stat().st_size:
                self._file.write("\n")
        except OSError as error:
            raise InputError(f"{path}: events cannot be written there: {error.strerror}") from None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        with suppress(OSError):
            self._file.close()

    def __call__(self, event: Event | None, snapshot: Snapshot) -> None:
        """Write the event down; a full disk costs the line, not the run."""
        if event is not None:
            with suppress(OSError):
                self._file.write(json.dumps(_described(event)) + "\n")
                self._file.flush()


def _described(event: Event) -> dict[str, Any]:
    """An event as JSON: seconds since 1970-01-01 UTC, what happened, to which trial, and where."""
    trial, result = event.trial, event.result
    return {
        "time": time.time(),
        "event": event.kind,
        "node": event.node,
        "trial_id": trial.id,
        "attempt": event.attempt,
        "algorithm": trial.algorithm_label,
        "architecture": trial.architecture,
        "dataset": trial.dataset_label,
        "seed": trial.seed,
        "purpose": trial.purpose,
        "status": None if result is None else result.status,
        "val_accuracy": None if result is None else result.val_accuracy,
        "message": event.message,
    }


def count_by_node(path: Path) -> pd.DataFrame:
    """Count what became of attempts, by node.

    Args:
        path: of a file that `EventLog` wrote.

    Returns:
        One row per node: `node`, `started` (attempts), `done`, `failed`, `diverged`, `lost`, `last_problem` (of a failed or lost attempt).

    Raises:
        InputError: there is no such file.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except OSError as error:
        raise InputError(f"{path}: {error.strerror}; only a run's own folder, on the driver's host, knows its nodes") from None
    nodes: dict[str, dict[str, Any]] = {}
    for line in lines:
        try:
            event = json.loads(line)
        except ValueError:  # cut off by a kill
            continue
        if not event["node"]:
            continue
        row = nodes.setdefault(event["node"], {"started": 0, **dict.fromkeys(COUNTED, 0), "last_problem": ""})
        what = event["status"] if event["event"] == "ended" else "started" if event["event"] == "retried" else event["event"]
        if what in row:
            row[what] += 1
        if what in ("failed", "lost", "set aside"):
            row["last_problem"] = event["message"]
    return pd.DataFrame([{"node": node, **row} for node, row in nodes.items()], columns=["node", "started", *COUNTED, "last_problem"])
