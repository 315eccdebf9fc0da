"""A run in a PostgreSQL database. `.ci/run` starts a server and names it in AGD_BENCH_TEST_POSTGRESQL."""

from __future__ import annotations

import os
import secrets
import threading
from collections.abc import Iterator

import pytest
import sqlalchemy as sa

from agd_bench.errors import RunChangedError, RunLockedError, StoreError
from agd_bench.store import Store, load_results, status
from tests.scheduling.plans import plan, result_of

SERVER = os.environ.get("AGD_BENCH_TEST_POSTGRESQL", "")
pytestmark = [
    pytest.mark.postgresql,
    pytest.mark.skipif(not SERVER, reason="AGD_BENCH_TEST_POSTGRESQL gives no URL of a PostgreSQL server"),
]


@pytest.fixture
def url() -> Iterator[str]:
    """Create an empty database on the server and drop it after the test."""
    name = f"test_{secrets.token_hex(6)}"
    server = sa.create_engine(SERVER, isolation_level="AUTOCOMMIT")
    with server.connect() as connection:
        connection.exec_driver_sql(f"CREATE DATABASE {name}")
    yield sa.make_url(SERVER).set(database=name).render_as_string(hide_password=False)
    with server.connect() as connection:
        connection.exec_driver_sql(f"DROP DATABASE {name} WITH (FORCE)")
    server.dispose()


def test_a_database_holds_a_run_as_a_folder_does(url: str) -> None:
    """A run in a database is locked, continued after a lost attempt, read, and refused to a different sweep."""
    planned = plan()
    first = planned.trials[0]
    with Store.open(url, planned) as store:
        store.start(first, 1, "worker-0", 600.0)
        with pytest.raises(RunLockedError):
            Store.open(url, planned)
    with Store.open(url, planned) as store:
        assert store.standings()[first.id].status == "pending"
        store.start(first, 2, "worker-0", 600.0)
        store.finish(result_of(first), 2)
    results = load_results(url)
    assert list(results.attempts["outcome"]) == ["lost", "done"]
    assert results.trials.loc[0, "flops"] == 2**40
    assert status(url).loc["free", "done"] == 1
    with pytest.raises(RunChangedError, match="epochs"):
        Store.open(url, plan(epochs=9))


def test_databases_without_a_run_are_described(url: str) -> None:
    """An empty, foreign or missing database gets its own error message, without the password."""
    with pytest.raises(StoreError, match="empty"):
        load_results(url)
    engine = sa.create_engine(url)
    with engine.begin() as connection:
        connection.exec_driver_sql("CREATE TABLE invoices (id int)")
    engine.dispose()
    with pytest.raises(StoreError, match="invoices"):
        load_results(url)
    missing = sa.make_url(url).set(database="no_such_database", password="secret").render_as_string(hide_password=False)
    with pytest.raises(StoreError, match="no_such_database") as caught:
        load_results(missing)
    assert "secret" not in str(caught.value)


def test_a_server_that_is_away_for_a_while_is_waited_for(url: str, caplog: pytest.LogCaptureFixture) -> None:
    """If connections are closed and new ones refused, the next transition waits, reports it, and succeeds."""
    name, planned = sa.make_url(url).database, plan()
    server = sa.create_engine(SERVER, isolation_level="AUTOCOMMIT")

    def allow(allowed: bool) -> None:
        with server.connect() as connection:
            connection.exec_driver_sql(f"ALTER DATABASE {name} ALLOW_CONNECTIONS {allowed}")
            connection.exec_driver_sql(f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}'")

    with Store.open(url, planned) as store:
        store.start(planned.trials[0], 1, "worker-0", 600.0)
        allow(False)
        threading.Timer(2.0, allow, [True]).start()
        store.finish(result_of(planned.trials[0]), 1)
    assert "the database server is away" in caplog.text
    assert load_results(url).trials.loc[0, "status"] == "done"
    server.dispose()


def test_a_server_that_stays_away_ends_the_run(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The driver gives up after a time limit; committed data is kept."""
    from agd_bench.store import database

    monkeypatch.setattr(database, "AWAY_SECONDS", 0.5)
    engine = sa.create_engine(sa.make_url(url).set(database="no_such_database"))
    with pytest.raises(sa.exc.OperationalError):
        database.reach(engine)
    engine.dispose()
