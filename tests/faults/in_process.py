"""Faults of runs in one process."""

from __future__ import annotations

import itertools
import random
import signal
import sqlite3
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

from agd_bench.scheduling.executors.in_process import InProcessExecutor
from agd_bench.store import Results, load_results
from tests.faults.disturbance import KILLED, LOCKED, UNUSABLE_STORE, Disturber, Kind
from tests.faults.drivers import Driver, count_operations, leave_out_the_report, prepare, warm_up
from tests.faults.operations import (
    BROKEN_DISK,
    NO_SPACE,
    close_display,
    fill_database,
    limit_files,
    refuse_checkpoints,
    send,
    shift_clock,
)

DAY = 86_400.0


def flip_checkpoint(run: Path, rng: random.Random) -> bool:
    """Change, truncate, empty or remove a checkpoint file, or add a foreign file next to it; return False if there is none."""
    files = sorted(path for path in (run / "checkpoints").glob("*/*") if path.is_file())
    if not files:
        return False
    path = rng.choice(files)
    content = bytearray(path.read_bytes())
    how = rng.randrange(5)
    if how == 0 and content:
        content[rng.randrange(len(content))] ^= 1 << rng.randrange(8)
        path.write_bytes(bytes(content))
    elif how == 1:
        path.write_bytes(bytes(content[: rng.randrange(len(content) + 1)]))
    elif how == 2:
        path.write_bytes(b"")
    elif how == 3:
        path.unlink()
    else:
        path.with_name(rng.choice(["attempt-x.epoch-1.pt", "stray.pt", "attempt-1.epoch-99.pt", "\u65e5.tmp"])).write_bytes(b"stranger")
    return True


def cut_log(run: Path, rng: random.Random) -> bool:
    """Truncate SQLite's log, as a power failure may on a disk with a volatile cache; return False if there is no log."""
    log = run / "results.sqlite-wal"
    if not log.exists() or not log.stat().st_size:
        return False
    with log.open("r+b") as file:
        file.truncate(rng.randrange(log.stat().st_size))
    return True


def kill_before_sending() -> None:
    """Make the driver die between committing an attempt and starting it."""
    InProcessExecutor.submit = lambda *_: send(signal.SIGKILL)(None)  # type: ignore[method-assign]


def kill_before_noting() -> None:
    """Make the driver die between the end of an attempt and the commit of its result."""
    InProcessExecutor.wait = lambda *_: send(signal.SIGKILL)(None)  # type: ignore[assignment,method-assign]


def hold_lock(driver: Driver, home: Path, rng: random.Random) -> bool:
    """Keep every writer waiting for a moment; whether there was a database."""
    database = home / "run" / "results.sqlite"
    if not database.exists() or not database.stat().st_size:
        return False
    try:
        with closing(sqlite3.connect(f"file:{database}?mode=rw", uri=True, timeout=5.0, isolation_level=None)) as connection:
            connection.execute("begin immediate")
            time.sleep(0.1)
            connection.execute("rollback")
    except sqlite3.OperationalError:  # the run has just ended, or has only just begun
        return False
    return True


def kill_driver(driver: Driver, home: Path, rng: random.Random) -> bool:
    """Kill it."""
    driver.kill()
    return True


KINDS: dict[str, Kind] = {
    "kill -9": Kind(send(signal.SIGKILL), (KILLED,)),
    "kill -9 while a checkpoint is written": Kind(send(signal.SIGKILL), (KILLED,), only="checkpoints"),
    "kill -9 before a commit": Kind(send(signal.SIGKILL), (KILLED,), only="commit"),
    "kill -9 between commit and send": Kind(lambda _: kill_before_sending(), (KILLED,)),
    "kill -9 between result and commit": Kind(lambda _: kill_before_noting(), (KILLED,)),
    "SIGTERM": Kind(send(signal.SIGTERM), (143,)),
    "SIGINT": Kind(send(signal.SIGINT), (130,)),
    "SIGINT twice": Kind(send(signal.SIGINT, 2), (130,)),
    "SIGSTOP, a second driver, SIGCONT": Kind(send(signal.SIGSTOP), (LOCKED,)),
    "database full": Kind(fill_database, (UNUSABLE_STORE,)),
    "files limited to 4 KiB": Kind(limit_files, (UNUSABLE_STORE,)),
    "disk full under checkpoints": Kind(refuse_checkpoints(NO_SPACE), (UNUSABLE_STORE,), only="checkpoints"),
    "broken disk under checkpoints": Kind(refuse_checkpoints(BROKEN_DISK), (UNUSABLE_STORE,), only="checkpoints"),
    "damaged checkpoint": Kind(send(signal.SIGKILL), (KILLED,), only="checkpoints", afterwards=flip_checkpoint),
    "end of the database's log lost": Kind(send(signal.SIGKILL), (KILLED,), afterwards=cut_log),
    "clock a day ahead": Kind(shift_clock(DAY)),
    "clock a day behind": Kind(shift_clock(-DAY)),
    "standard error full": Kind(close_display),
    "kill -9 at a random time": Kind(codes=(KILLED,), outside=kill_driver),
    "database locked by a reader": Kind(outside=hold_lock),
}
"""Every kind of fault, by its name in the documentation."""


def campaign(work: Path, seed: int, first: int = 0) -> Iterator[tuple[Counter[str], list[str]]]:
    """Disturb one run after the other; of each the faults that came to pass, by kind, and what was wrong, one line each.

    Args:
        work: a folder for the runs; runs with problems are kept.
        seed: determines all choices, together with the number of a run.
        first: number of the first run.
    """
    disturber = Disturber(work, seed, KINDS, *measure_undisturbed(work))
    for number in itertools.count(first):
        yield disturber.disturb(number)


def measure_undisturbed(work: Path) -> tuple[Results, dict[str, int]]:
    """The undisturbed run's results, and how many of its operations contain each kind's `only`."""
    leave_out_the_report()
    warm_up(work / "warm-up")
    prepare(work / "undisturbed")
    operations = count_operations(work / "undisturbed", sorted({kind.only for kind in KINDS.values()}))
    return load_results(work / "undisturbed" / "run"), operations
