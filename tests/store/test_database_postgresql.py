"""A run in a PostgreSQL database. `.ci/run` starts a server and names it in AGD_BENCH_TEST_POSTGRESQL."""

from __future__ import annotations

import os
import secrets
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
    """An empty database of its own on the server."""
    name = f"test_{secrets.token_hex(6)}"
    server = sa.create_engine(SERVER, isolation_level="AUTOCOMMIT")
    with server.connect() as connection:
        connection.exec_driver_sql(f"CREATE DATABASE {name}")
    yield sa.make_url(SERVER).set(database=name).render_as_string(hide_password=False)
    with server.connect() as connection:
        connection.exec_driver_sql(f"DROP DATABASE {name} WITH (FORCE)")
    server.dispose()


def test_a_database_holds_a_run_as_a_folder_does(url: str) -> None:
    """Locked, begun again after a loss, read, and closed to another sweep."""
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
    """An empty one, one of another program, and none at all; never with a password."""
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
