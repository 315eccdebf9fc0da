"""Connections to a run's database."""

from __future__ import annotations

import sqlite3
import time
from contextlib import closing
from pathlib import Path

import optuna
import pytest

from agd_bench.api import _check_url
from agd_bench.errors import InputError, StoreError
from agd_bench.store import Store, database
from tests.scheduling.plans import plan


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


def objects(file: Path) -> list[tuple[str, str]]:
    """Tables and indexes of a database."""
    with closing(sqlite3.connect(file)) as connection:
        return connection.execute("select type, name from sqlite_master order by name").fetchall()


@pytest.mark.parametrize("opened_before", [False, True])
def test_optuna_cannot_open_a_run_and_leaves_nothing_in_it(tmp_path: Path, opened_before: bool) -> None:
    """Also an older run, once its driver was started again; one that Optuna has opened can still be continued."""
    file = tmp_path / database.FILE
    Store.open(tmp_path, plan()).close()
    with closing(sqlite3.connect(file)) as connection:
        connection.execute("drop index studies")
    if opened_before:
        optuna.storages.RDBStorage(f"sqlite:///{file}").engine.dispose()
    Store.open(tmp_path, plan()).close()
    if not opened_before:
        before = objects(file)
        with pytest.raises(Exception, match="studies"):
            optuna.create_study(storage=f"sqlite:///{file}")
        assert objects(file) == before
    Store.open(tmp_path, plan()).close()


@pytest.mark.parametrize(
    "url",
    [
        "postgresql+psycopg://user:hunter2@host/run",
        "postgresql+psycopg://user@host/run?password=hunter2",
        "postgresql+psycopg://user:hunter2@host:port/run",
        "postgresql+psycopg://user@host:port/run?password=hunter2&sslmode=require",
        "nosuch://user:hunter2@host/run",
        "user:hunter2@host/run",
    ],
)
def test_no_message_contains_a_password(url: str) -> None:
    """Also where the URL cannot be used or is none."""
    assert "hunter2" not in database.shown(url)
    if "://" in url and ("port" in url or "nosuch" in url):
        with pytest.raises(StoreError) as caught:
            database.connect(url, writing=True)
        assert "hunter2" not in str(caught.value)
    with pytest.raises(InputError) as refused:
        _check_url(url.partition("://")[2] or url)
    assert "hunter2" not in str(refused.value)
