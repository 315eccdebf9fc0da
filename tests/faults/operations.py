"""Count what a process does to the files and the database of a run, and act before some of these operations."""

from __future__ import annotations

import errno
import os
import resource
import signal
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import sqlalchemy as sa

FILES = ("open", "os.rename", "os.remove", "os.mkdir", "os.rmdir", "shutil.rmtree")
"""Audit events of Python about files; the first argument is a path."""
ACTED = "acted"
"""The file with the names of the faults that came to pass."""
AT_EACH_STATEMENT: list[Callable[[Any], object]] = []
"""Functions of lasting faults, called with the cursor of each statement."""


class Fault(NamedTuple):
    """What happens to this process before one of its operations.

    Attributes:
        name: of its kind.
        at: before which operation, from 1.
        act: what to do, with the cursor that is at work, or None at a file or a commit.
        only: count operations whose statement or path contains this.
    """

    name: str
    at: int
    act: Callable[[Any], object]
    only: str = ""


class Operations:
    """Counts the operations of this process on one folder and on databases.

    Args:
        folder: the working directory; files outside it are not counted. A fault that comes to pass adds its name to the file `acted`.
        faults: what to do before which operations.
        counted: values of `only` to count.

    Attributes:
        seen: how many operations there were, by `only`.
    """

    def __init__(self, folder: Path, faults: Sequence[Fault] = (), counted: Iterable[str] = ("",)) -> None:
        self.seen = dict.fromkeys([*counted, *(fault.only for fault in faults)], 0)
        self._folder, self._faults = str(folder), faults
        # an audit hook cannot be removed: use this in processes that end afterwards
        sys.addaudithook(self._audit)
        sa.event.listen(sa.Engine, "before_cursor_execute", self._execute)
        sa.event.listen(sa.Engine, "commit", lambda connection: self._count("commit", None))

    def _audit(self, event: str, arguments: tuple[Any, ...]) -> None:
        # a file can also be opened by its number
        if event in FILES and isinstance(arguments[0], str | os.PathLike):
            path = os.path.abspath(arguments[0])
            if path.startswith(self._folder):
                self._count(f"{event} {path}", None)

    def _execute(self, connection: sa.Connection, cursor: Any, statement: str, *more: object) -> None:
        for act in AT_EACH_STATEMENT:
            act(cursor)
        self._count(statement, cursor)

    def _count(self, what: str, at_work: Any) -> None:
        met = [only for only in self.seen if only in what]
        for only in met:
            self.seen[only] += 1
        for fault in self._faults:
            if fault.only in met and self.seen[fault.only] == fault.at:
                note(self._folder, fault.name)
                fault.act(at_work)


def note(folder: str | Path, name: str) -> None:
    """Add a fault to those that came to pass in a folder."""
    number = os.open(f"{folder}/{ACTED}", os.O_CREAT | os.O_WRONLY | os.O_APPEND)
    os.write(number, f"{name}\n".encode())
    os.close(number)


def send(number: int, times: int = 1) -> Callable[[Any], None]:
    """Return a fault that sends this process a signal."""

    def act(at_work: Any) -> None:
        for _ in range(times):
            os.kill(os.getpid(), number)

    return act


def fill_database(at_work: Any) -> None:
    """Allow the database no more pages from now on, so that SQLite itself reports a full disk."""
    # SQLite keeps the pages it has; a separate listener cannot be added while listeners are being called
    AT_EACH_STATEMENT.append(lambda cursor: cursor.execute("pragma max_page_count=1"))


def limit_files(at_work: Any) -> None:
    """Allow no file to grow beyond 4 KiB from now on, so that writers get a real system error, EFBIG."""
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, resource.RLIM_INFINITY))


def refuse_checkpoints(number: int) -> Callable[[Any], None]:
    """Return a fault after which opening a checkpoint for writing raises the system error with this number."""

    def act(at_work: Any) -> None:
        def refuse(event: str, arguments: tuple[Any, ...]) -> None:
            if event == "open" and "/checkpoints/" in str(arguments[0]) and "w" in (arguments[1] or ""):
                raise OSError(number, os.strerror(number), arguments[0])

        sys.addaudithook(refuse)

    return act


def shift_clock(seconds: float) -> Callable[[Any], None]:
    """Return a fault that shifts the wall clock from now on, but not the monotonic clock."""

    def act(at_work: Any) -> None:
        right = time.time
        time.time = lambda: right() + seconds

    return act


def close_display(at_work: Any) -> None:
    """Make standard error a full disk from now on."""
    os.dup2(os.open("/dev/full", os.O_WRONLY), 2)


NO_SPACE, BROKEN_DISK = errno.ENOSPC, errno.EIO
