"""Connections to a run's database."""

from __future__ import annotations

import sqlite3
import time
from contextlib import closing
from pathlib import Path

import pytest

from agd_bench.store import database


def test_a_driver_that_starts_waits_for_a_lock_on_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Switching to WAL fails immediately on a locked file, whatever SQLite's timeout is, so the driver retries."""
    path = tmp_path / "results.sqlite"
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("create table t (x)")
        other.execute("begin immediate")
        monkeypatch.setattr(time, "sleep", lambda seconds: other.execute("rollback"))
        with closing(database.connect_to_file(path, writing=True).connect()) as connection:
            assert connection.exec_driver_sql("pragma journal_mode").scalar() == "wal"
        assert not other.in_transaction
