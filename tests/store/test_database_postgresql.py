"""A run in a PostgreSQL database. `.ci/run` starts a server and names it in AGD_BENCH_TEST_POSTGRESQL."""

from __future__ import annotations

import os
import secrets
import threading
from collections.abc import Iterator

import pytest
import sqlalchemy as sa

from agd_bench.errors import RunChangedError, RunLockedError, StoreError
from agd_bench.store import Store, ended_trials, load_results, status
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


def cut_connections(url: str) -> None:
    """End every connection to the database, as a restart of the server does."""
    server = sa.create_engine(SERVER, isolation_level="AUTOCOMMIT")
    with server.connect() as connection:
        name = sa.make_url(url).database
        connection.exec_driver_sql(f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}'")
    server.dispose()


def test_a_connection_that_is_lost_inside_a_transaction_costs_nothing(url: str) -> None:
    """Cut between its writes and before its commit: all of them are done again, in order, and once."""
    planned = plan()
    first, second, third, *_ = planned.trials
    with Store.open(url, planned) as store:
        with store.together():
            store.start(first, 1, "worker-0", 600.0)
            cut_connections(url)
            store.start(second, 1, "worker-1", 600.0)
        with store.together():
            store.finish(result_of(first), 1)
            store.start(third, 1, "worker-0", 600.0)
            cut_connections(url)
        store.finish(result_of(second), 1)
        store.finish(result_of(third), 1)
    results = load_results(url)
    assert list(results.attempts["outcome"]) == ["done"] * 3
    assert len(results.curves) == 6


def test_a_commit_whose_answer_is_lost_is_not_repeated(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The server had committed: the driver finds that out, and goes on."""
    planned, commit, lost = plan(), sa.Connection.commit, 0

    def commit_and_lose(connection: sa.Connection) -> None:
        nonlocal lost
        commit(connection)
        if lost == 0:
            lost += 1
            raise sa.exc.OperationalError("COMMIT", {}, Exception("the cable"), connection_invalidated=True)

    with Store.open(url, planned) as store:
        store.start(planned.trials[0], 1, "worker-0", 600.0)
        monkeypatch.setattr(sa.Connection, "commit", commit_and_lose)
        with store.together():
            store.finish(result_of(planned.trials[0]), 1)
            store.start(planned.trials[1], 1, "worker-0", 600.0)
        store.finish(result_of(planned.trials[1]), 1)
    assert lost == 1
    assert list(load_results(url).attempts["outcome"]) == ["done", "done"]


def test_databases_that_cannot_hold_a_run_are_described_and_left_alone(url: str) -> None:
    """One of another program gets no table; a user without rights and a search path without a schema get advice."""
    engine = sa.create_engine(url)
    user = f"{sa.make_url(url).database}_guest"
    with engine.begin() as connection:
        connection.exec_driver_sql(f"CREATE ROLE {user} LOGIN")
    guest = sa.make_url(url).set(username=user).render_as_string(hide_password=False)
    with pytest.raises(StoreError, match="GRANT CREATE"):
        Store.open(guest, plan())
    with pytest.raises(StoreError, match="search_path"):
        Store.open(f"{url}&options=-csearch_path%3Dnowhere", plan())
    with engine.begin() as connection:
        connection.exec_driver_sql(f"DROP ROLE {user}")
        connection.exec_driver_sql("CREATE TABLE trials (name text)")
    with pytest.raises(StoreError, match="another program"):
        Store.open(url, plan())
    for read in (status, load_results):
        with pytest.raises(StoreError, match="contains no run"):
            read(url)
    assert ended_trials(url) == ()
    assert sa.inspect(engine).get_table_names() == ["trials"]
    engine.dispose()
