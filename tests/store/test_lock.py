"""One driver at a time: live and stale drivers, and what a driver can do after another took over."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from agd_bench.errors import RunLockedError
from agd_bench.store import Store, load_results, lock
from agd_bench.store.database import DRIVER
from tests.scheduling.plans import plan

HOLD = """
import sys, time
from pathlib import Path
from agd_bench.store import Store
from tests.scheduling.plans import plan
planned = plan()
store = Store.open(Path(sys.argv[1]), planned)
store.start(planned.trials[0], 1, "worker-0", 600.0)
print("held", flush=True)
time.sleep(600)
"""


def hold(folder: Path) -> subprocess.Popen[str]:
    """Start another process that drives the run and has one attempt in progress."""
    process = subprocess.Popen([sys.executable, "-c", HOLD, str(folder)], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    return process


def change(store: Store, **values: object) -> None:
    """Change the values of the lock's row."""
    with store._engine.begin() as connection:
        connection.execute(DRIVER.update().values(**values))


def test_a_killed_driver_leaves_a_run_that_goes_on_at_once(tmp_path: Path) -> None:
    """The lock of a dead process on this machine is ignored; its attempt is lost and charged until its last heartbeat."""
    process = hold(tmp_path)
    with pytest.raises(RunLockedError, match=f"process {process.pid} on"):
        Store.open(tmp_path, plan())
    process.send_signal(signal.SIGKILL)
    process.communicate()
    with Store.open(tmp_path, plan()) as store:
        standing = store.standings()[plan().trials[0].id]
    assert (standing.status, standing.attempts, standing.losses) == ("pending", 1, 0)
    results = load_results(tmp_path)
    attempt = results.attempts.iloc[0]
    assert (attempt["outcome"], attempt["reason"]) == ("lost", "the driver ended during this attempt")
    assert 0 <= attempt["seconds"] <= lock.HEARTBEAT_SECONDS + 60
    assert attempt["ended_at"] == pytest.approx(attempt["started_at"] + attempt["seconds"])
    assert results.trials.loc[0, "charged_seconds"] == attempt["seconds"]


def test_a_stopped_driver_of_this_machine_keeps_its_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A missing heartbeat alone does not free the lock if the process can be seen to exist."""
    process = hold(tmp_path)
    try:
        process.send_signal(signal.SIGSTOP)
        monkeypatch.setattr(lock, "STALE_SECONDS", -1.0)
        with pytest.raises(RunLockedError, match=f"process {process.pid}"):
            Store.open(tmp_path, plan())
    finally:
        process.kill()
        process.communicate()


@pytest.fixture
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    """Shorten the times after which a driver counts as stale."""
    monkeypatch.setattr(lock, "STALE_SECONDS", 0.5)
    monkeypatch.setattr(lock, "WATCH_SECONDS", 0.05)


@pytest.mark.parametrize("clock", [-600.0, 0.0, 600.0])
def test_a_silent_driver_elsewhere_is_waited_out_whatever_its_clock_says(
    tmp_path: Path, hasty: None, caplog: pytest.LogCaptureFixture, clock: float
) -> None:
    """The next driver reports that it waits, takes over, and blocks later writes of the previous driver."""
    planned = plan()
    late = Store.open(tmp_path, planned)
    late._heartbeat.stop()
    change(late, place="another host", host="far", heartbeat_at=time.time() + clock)
    with Store.open(tmp_path, planned) as store:
        assert "on far was running" in caplog.text
        with pytest.raises(RunLockedError, match="took over this run"):
            late.start(planned.trials[0], 1, "worker-0", 600.0)
        late.close()
        with pytest.raises(RunLockedError):
            Store.open(tmp_path, planned)
        assert store.standings()[planned.trials[0].id].status == "pending"


@pytest.mark.parametrize("clock", [-600.0, 600.0])
def test_a_driver_elsewhere_that_beats_keeps_its_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, clock: float) -> None:
    """A driver that still sends heartbeats keeps its run, however wrong its clock is; the error names its host."""
    monkeypatch.setattr(lock, "WATCH_SECONDS", 0.05)
    monkeypatch.setattr(lock, "ENDING_SECONDS", 0.2)
    planned = plan()
    with Store.open(tmp_path, planned) as alive:
        alive._heartbeat.stop()
        change(alive, place="another host", host="far", heartbeat_at=time.time() + clock)
        over = threading.Event()

        def beat() -> None:
            while not over.wait(0.02):
                change(alive, heartbeat_at=DRIVER.c.heartbeat_at + 1)

        heart = threading.Thread(target=beat)
        heart.start()
        with pytest.raises(RunLockedError, match="on far is running"):
            Store.open(tmp_path, planned)
        over.set()
        heart.join()
        alive.start(planned.trials[0], 1, "worker-0", 600.0)


def test_a_driver_elsewhere_that_releases_is_followed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The next driver waits while a job that is ending writes its last rows."""
    monkeypatch.setattr(lock, "WATCH_SECONDS", 0.05)
    planned = plan()
    ending = Store.open(tmp_path, planned)
    change(ending, place="another host", host="far")
    threading.Timer(0.5, ending.close).start()
    with Store.open(tmp_path, planned) as store:
        store.start(planned.trials[0], 1, "worker-0", 600.0)


def test_a_lock_of_yesterday_is_not_waited_for(tmp_path: Path) -> None:
    """A lock whose last heartbeat is hours old is stale at once: clocks do not differ by that much."""
    left = Store.open(tmp_path, plan())
    left._heartbeat.stop()
    change(left, place="another host", host="far", heartbeat_at=time.time() - 7200)
    begun = time.monotonic()
    Store.open(tmp_path, plan()).close()
    assert time.monotonic() - begun < lock.STALE_SECONDS
    left._engine.dispose()


def test_a_reused_pid_is_not_taken_for_the_driver() -> None:
    """A process is identified by its pid and its start time."""
    here = lock.this_driver()
    assert lock._process_lives(here.pid, here.pid_started)
    assert not lock._process_lives(here.pid, "1")
    assert not lock._process_lives(2**22 + 1, here.pid_started)


def test_the_heart_beats_while_the_driver_is_busy(tmp_path: Path) -> None:
    """A thread updates the heartbeat, so that a driver can train a trial itself."""
    with Store.open(tmp_path, plan()) as store:
        change(store, heartbeat_at=0.0)
        heartbeat = lock.Heartbeat(store._engine, store._here, seconds=0.01)
        heartbeat.start()
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline:
            with store._engine.connect() as connection:
                if connection.execute(DRIVER.select()).one().heartbeat_at > 0:
                    break
            time.sleep(0.01)
        else:
            pytest.fail("no beat within 20 s")
        heartbeat.stop()
        assert not heartbeat.is_alive()


def test_a_driver_knows_where_it_is() -> None:
    """Two drivers in one process have the same place but different tokens."""
    first, second = lock.this_driver(), lock.this_driver()
    assert first.place == second.place
    assert first.token != second.token
    assert first.pid == os.getpid()
