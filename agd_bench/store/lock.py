"""Lock a run for one driver at a time: a row with the owner's token and heartbeat.

Clocks of different hosts are never compared. Whether a driver on another host is alive shows in whether its heartbeat changes while this
process watches.
"""

from __future__ import annotations

import logging
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
"""A driver of another host whose heartbeat does not change for so long, while another one watches, is taken for dead. Twelve heartbeats:
the thread that sends them waits for the database, and for the interpreter while a trial trains in its process."""
HEARTBEAT_SECONDS = 5.0
ENDING_SECONDS = 15.0
"""How long a stopping driver may still send heartbeats before it is considered to be running."""
ABANDONED_SECONDS = 3600.0
"""A heartbeat that is older by this host's clock is dead without watching: clocks of hosts do not differ by so much."""
WATCH_SECONDS = 1.0

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Driver:
    """A process that drives a run.

    Attributes:
        token: random, new for each driver.
        place: scope of the pid: host name, boot id and pid namespace.
        host: name of the host, for messages.
        pid: of the process.
        pid_started: start of the process in clock ticks since boot, which detects a reused pid.
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
        # in two containers of one host, different processes can have equal pids
        return os.readlink("/proc/self/ns/pid")
    except OSError:
        return ""


def start_of(pid: int) -> str:
    """Return the start of a process of this machine in clock ticks since boot; empty if it has ended or without /proc."""
    # the name is in parentheses and may itself contain spaces and ")", so the fields start after the last one
    # fields of proc(5) stat after the name: 0 is the state (Z: zombie, X: dead), 19 is starttime
    fields = _read(f"/proc/{pid}/stat").rpartition(")")[2].split()
    return fields[19] if len(fields) > 19 and fields[0] not in ("Z", "X") else ""


def this_driver() -> Driver:
    """Return this process as a driver, with a new token."""
    host = socket.gethostname()
    # with the boot id: after a reboot, another process may have both the pid and the start in ticks
    place = f"{host} {_read('/proc/sys/kernel/random/boot_id')} {_namespace()}"
    return Driver(secrets.token_hex(8), place, host, os.getpid(), start_of(os.getpid()))


def _process_lives(pid: int, started: str) -> bool:
    if started or start_of(os.getpid()):
        # a pid alone is no proof: the kernel reuses it after the driver has died
        return bool(started) and start_of(pid) == started
    try:
        os.kill(pid, 0)  # without /proc, only whether the pid is in use is known
    except ProcessLookupError:
        return False
    except PermissionError:  # it exists, but belongs to another user
        return True
    return True


def _is_over(row: sa.Row[tuple[object, ...]], here: Driver) -> bool:
    """Return whether nobody owns the lock, or a process that is known to have ended."""
    # on the same machine the process itself is the evidence; from another one there is only the heartbeat
    if not row.token or (row.place == here.place and not _process_lives(row.pid, row.pid_started)):
        return True
    return row.place != here.place and time.time() - float(row.heartbeat_at) > ABANDONED_SECONDS


def _locked(row: sa.Row[tuple[object, ...]], location: Path | str) -> RunLockedError:
    return RunLockedError(
        f"{shown(location)}: process {row.pid} on {row.host} is running this run; wait for it, stop it, or use another --out"
    )


def watch(engine: sa.Engine, here: Driver, location: Path | str) -> float | None:
    """Watch a driver on another host until it releases the lock or is known to be dead.

    Args:
        engine: of the database, whose tables may not exist yet.
        here: this process.
        location: of the run, for messages.

    Returns:
        The last heartbeat of a driver that sent none for `STALE_SECONDS`; None if the lock can be acquired without.

    Raises:
        RunLockedError: another driver is alive.
    """
    beat, began = None, time.monotonic()
    changed = began
    while True:
        with engine.connect() as connection:
            row = connection.execute(sa.select(DRIVER)).one_or_none() if sa.inspect(connection).has_table(DRIVER.name) else None
        now = time.monotonic()
        if row is None or _is_over(row, here):
            return None
        if row.place == here.place:
            raise _locked(row, location)
        if beat is None:
            log.warning(
                "%s: process %d on %s was running this run; waiting up to %.0f s to see whether it still does",
                shown(location),
                row.pid,
                row.host,
                STALE_SECONDS,
            )
        elif row.heartbeat_at != beat:
            changed = now
            # not at the first change, because a stopping driver releases the lock seconds later
            if now - began > ENDING_SECONDS:
                raise _locked(row, location)
        elif now - changed > STALE_SECONDS:
            return float(row.heartbeat_at)
        beat = row.heartbeat_at
        time.sleep(WATCH_SECONDS)


def acquire(connection: sa.Connection, here: Driver, location: Path | str, dead: float | None = None) -> float | None:
    """Acquire the lock.

    Args:
        connection: in a transaction.
        here: this process.
        location: of the run, for messages.
        dead: what `watch` returned.

    Returns:
        Last heartbeat of the previous driver, seconds since 1970-01-01 UTC by its own clock; None if there was none.

    Raises:
        RunLockedError: another driver is alive.
    """
    row = connection.execute(sa.select(DRIVER)).one_or_none()
    mine = {**vars(here), "heartbeat_at": time.time()}
    if row is None:
        connection.execute(DRIVER.insert().values(id=1, **mine))
        return None
    # a heartbeat since `watch` looked is a sign of life, of that driver or of one that was faster than this
    if row.heartbeat_at != dead and not _is_over(row, here):
        raise _locked(row, location)
    # compare and swap: of two drivers that find a stale lock, one gets it
    stale = (DRIVER.c.token == row.token) & (DRIVER.c.heartbeat_at == row.heartbeat_at)
    if connection.execute(DRIVER.update().where(stale).values(**mine)).rowcount != 1:
        raise RunLockedError(f"{shown(location)}: another driver started this run at the same moment; wait for it or use another --out")
    return float(row.heartbeat_at)


def release(connection: sa.Connection, here: Driver) -> None:
    """Release the lock, if this process still owns it."""
    connection.execute(DRIVER.update().where(DRIVER.c.token == here.token).values(token="", heartbeat_at=time.time()))


def require(connection: sa.Connection, here: Driver, location: Path | str) -> None:
    """Check in a writing transaction that this process still owns the lock.

    Raises:
        RunLockedError: another driver took over the run because this one sent no heartbeat.
    """
    # the token fences off a driver that was wrongly declared dead: it must not write next to its successor
    held = connection.execute(DRIVER.update().where(DRIVER.c.token == here.token).values(heartbeat_at=time.time()))
    if held.rowcount != 1:
        raise RunLockedError(
            f"{shown(location)}: another driver took over this run after {STALE_SECONDS:.0f} s without a heartbeat; this one stops"
        )


class Heartbeat(threading.Thread):
    """Thread that renews the heartbeat every few seconds, also while the driver itself trains a trial."""

    def __init__(self, engine: sa.Engine, here: Driver, seconds: float | None = None) -> None:
        # daemon: a crashed main thread must not leave a process that keeps the lock alive
        super().__init__(name="agd-bench heartbeat", daemon=True)
        self._engine, self._here, self._seconds = engine, here, seconds or HEARTBEAT_SECONDS
        self._over = threading.Event()

    def run(self) -> None:
        """Send heartbeats until stopped."""
        mine = DRIVER.c.token == self._here.token
        # wait instead of sleep, so that `stop` need not wait for the interval to pass
        while not self._over.wait(self._seconds):
            try:
                with translated("heartbeat"), self._engine.begin() as connection:
                    connection.execute(DRIVER.update().where(mine).values(heartbeat_at=time.time()))
            except StoreError:  # the driver's next write fails for the same reason, and reports it
                continue

    def stop(self) -> None:
        """Stop, and wait for the thread to end."""
        self._over.set()
        self.join()
