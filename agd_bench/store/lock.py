"""One driver at a time: a row that says who drives, a heartbeat that says that it lives, a token that fences off a late one.

On its own machine a driver is alive while its process is, however long it was silent; on another machine it is taken
for dead when its heartbeat is older than `STALE_SECONDS`. A driver that was taken for dead notices at its next write
that the token is no longer its own, and stops.
"""

from __future__ import annotations

import os
import secrets
import socket
import threading
import time
from dataclasses import dataclass
from pathlib import Path

import sqlalchemy as sa

from agd_bench.errors import RunLockedError, StoreError
from agd_bench.store.database import DRIVER, shown, translated

STALE_SECONDS = 60.0
HEARTBEAT_SECONDS = 5.0


@dataclass(frozen=True)
class Driver:
    """A process that drives a run.

    Attributes:
        token: drawn anew by each driver.
        place: where its pid means something: host, start of the machine and process namespace.
        host: name of the host, for messages.
        pid: of the process.
        pid_started: when the process began, in the system's own count, so that a re-used pid is not taken for it.
    """

    token: str
    place: str
    host: str
    pid: int
    pid_started: str


def _read(path: str) -> str:
    try:
        return Path(path).read_text(encoding="utf-8").strip()
    except OSError:
        return ""


def _namespace() -> str:
    try:
        return os.readlink("/proc/self/ns/pid")
    except OSError:
        return ""


def start_of(pid: int) -> str:
    """When a process of this machine began, in clock ticks; empty where it is gone or the system does not say."""
    fields = _read(f"/proc/{pid}/stat").rpartition(")")[2].split()
    return fields[19] if len(fields) > 19 and fields[0] not in ("Z", "X") else ""


def this_driver() -> Driver:
    """This process as a driver."""
    host = socket.gethostname()
    place = f"{host} {_read('/proc/sys/kernel/random/boot_id')} {_namespace()}"
    return Driver(secrets.token_hex(8), place, host, os.getpid(), start_of(os.getpid()))


def _process_lives(pid: int, started: str) -> bool:
    if started or start_of(os.getpid()):
        return bool(started) and start_of(pid) == started
    try:
        os.kill(pid, 0)  # no /proc here: a pid that is in use must do
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def is_alive(row: sa.Row[tuple[object, ...]], here: Driver, now: float) -> bool:
    """Whether the driver in the lock's row is to be respected.

    Args:
        row: of the table `driver`.
        here: the process that asks.
        now: seconds since 1970.
    """
    if not row.token:
        return False
    if row.place == here.place:
        return _process_lives(row.pid, row.pid_started)
    return now - float(row.heartbeat_at) < STALE_SECONDS


def acquire(connection: sa.Connection, here: Driver, location: Path | str) -> float | None:
    """Take the lock.

    Args:
        connection: in a transaction.
        here: this process.
        location: for messages.

    Returns:
        Last sign of life of the driver before; null if there was none.

    Raises:
        RunLockedError: another driver is alive.
    """
    now = time.time()
    row = connection.execute(sa.select(DRIVER)).one_or_none()
    mine = {**vars(here), "heartbeat_at": now}
    if row is None:
        connection.execute(DRIVER.insert().values(id=1, **mine))
        return None
    if is_alive(row, here, now):
        raise RunLockedError(
            f"{shown(location)}: process {row.pid} on {row.host} is working on this run (last sign {max(0.0, now - row.heartbeat_at):.0f} s"
            " ago); wait for it, stop it, or use another --out"
        )
    taken = connection.execute(DRIVER.update().where(DRIVER.c.token == row.token).values(**mine))
    if taken.rowcount != 1:
        raise RunLockedError(f"{shown(location)}: another driver began on this run at this moment; wait for it or use another --out")
    return float(row.heartbeat_at)


def release(connection: sa.Connection, here: Driver) -> None:
    """Give the lock back, if it is still ours."""
    connection.execute(DRIVER.update().where(DRIVER.c.token == here.token).values(token="", heartbeat_at=time.time()))


def require(connection: sa.Connection, here: Driver, location: Path | str) -> None:
    """Make sure, within a transaction that writes, that the lock is still ours.

    Raises:
        RunLockedError: another driver took the run over, because this one was silent for too long.
    """
    held = connection.execute(DRIVER.update().where(DRIVER.c.token == here.token).values(heartbeat_at=time.time()))
    if held.rowcount != 1:
        raise RunLockedError(
            f"{shown(location)}: another driver took this run over; this one was silent for {STALE_SECONDS:.0f} s and stops"
        )


class Heartbeat(threading.Thread):
    """Refreshes the lock's row every few seconds, also while the driver itself trains a trial.

    A beat that the database refuses is left out: the driver's own next write meets the same fault and reports it.
    """

    def __init__(self, engine: sa.Engine, here: Driver, seconds: float = HEARTBEAT_SECONDS) -> None:
        super().__init__(name="agd-bench heartbeat", daemon=True)
        self._engine, self._here, self._seconds = engine, here, seconds
        self._over = threading.Event()

    def run(self) -> None:
        """Beat until stopped."""
        mine = DRIVER.c.token == self._here.token
        while not self._over.wait(self._seconds):
            try:
                with translated("heartbeat"), self._engine.begin() as connection:
                    connection.execute(DRIVER.update().where(mine).values(heartbeat_at=time.time()))
            except StoreError:
                continue

    def stop(self) -> None:
        """Stop, and wait for a beat under way."""
        self._over.set()
        self.join()
