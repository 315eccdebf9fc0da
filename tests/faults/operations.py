"""Count a process's operations on the files and the database of a run, and act before the n-th of them."""

from __future__ import annotations

import errno
import os
import resource
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import sqlalchemy as sa

FILES = ("open", "os.rename", "os.remove", "os.mkdir", "os.rmdir", "shutil.rmtree")
"""Python's audit events for files; the first argument is a path."""
AT_EACH_STATEMENT: list[Callable[[Any], object]] = []
"""Functions of lasting faults, called with the cursor of each statement."""


class Operations:
    """Counts the operations of this process on one folder and on databases.

    Args:
        folder: the working directory; files outside it are not counted.
        at: the operation before which to act, counted from 1; with 0, only count.
        act: what to do then; called with the cursor of a statement, or None for a commit or a file.
        only: count operations whose name or path contains this.
    """

    def __init__(self, folder: Path, at: int = 0, act: Callable[[Any], object] = lambda at_work: None, only: str = "") -> None:
        self.seen = 0
        self._folder, self._at, self._act, self._only = str(folder), at, act, only
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
        if self._only in what:
            self.seen += 1
            if self.seen == self._at:
                self._act(at_work)


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
