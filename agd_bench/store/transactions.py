"""Transactions that survive the loss of their connection to a database server, by doing all their writes again."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import TypeVar

import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError

from agd_bench.store.database import reach

Answer = TypeVar("Answer")
Operation = Callable[[sa.Connection], Answer]
MOST_LOSSES = 5
"""Lost connections after which a transaction is given up: something other than a restart is at work."""

log = logging.getLogger(__name__)


class Transaction:
    """Operations that are committed together.

    Repeated on the state before the transaction, an operation must have the same effect. On the state after it, it must change nothing or
    raise `ValueError`, which shows that a commit whose answer was lost had succeeded.

    Args:
        engine: of the database.
        require: run first on each connection; raises if this driver may not write.
    """

    def __init__(self, engine: sa.Engine, require: Callable[[sa.Connection], None]) -> None:
        self._engine, self._require = engine, require
        self._done: list[Operation[object]] = []
        self._connection: sa.Connection | None = None
        self._losses = 0

    def do(self, operation: Operation[Answer]) -> Answer:
        """Execute an operation and return what it returns. The transaction begins with the first one."""
        while True:
            try:
                answer = operation(self._begun())
            except DBAPIError as error:
                self._forget(error)
                continue
            self._done.append(operation)
            return answer

    def commit(self) -> None:
        """Commit what was done, if anything."""
        while self._connection is not None:
            try:
                self._connection.commit()
                self.close()
            except DBAPIError as error:
                self._forget(error)
                try:
                    self._begun()
                except ValueError:
                    # It had been committed: on its own result, the first operation is not possible.
                    self.close()

    def close(self) -> None:
        """Roll back what is not committed, and return the connection."""
        if self._connection is not None:
            connection, self._connection = self._connection, None
            connection.close()

    def _begun(self) -> sa.Connection:
        """A connection on which all earlier operations were executed."""
        while self._connection is None:
            self._connection = reach(self._engine)
            try:
                # First, so that a driver that lost its lock writes nothing.
                self._require(self._connection)
                for operation in self._done:
                    operation(self._connection)
            except DBAPIError as error:
                self._forget(error)
        return self._connection

    def _forget(self, error: DBAPIError) -> None:
        """Give up a lost connection.

        Raises:
            sqlalchemy.exc.DBAPIError: the error, if it is another one, or one too many.
        """
        self.close()
        self._losses += 1
        if not error.connection_invalidated or self._losses > MOST_LOSSES:
            raise error
        log.warning("the connection to the database was lost (%s); its transaction is repeated", " ".join(str(error.orig).split()))
