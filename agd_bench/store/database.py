"""Open the database of a run, define its tables, and translate its errors."""

from __future__ import annotations

import logging
import os
import re
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from agd_bench.errors import RunLockedError, StorageFullError, StoreDamagedError, StoreError
from agd_bench.store.schema import OPTIONAL, TABLES, Table, columns_of

FILE = "results.sqlite"
SCHEMA_VERSION = 1
APPLICATION_ID = 0x41474442
"""Marks an SQLite file as an agd-bench store: `AGDB` in ASCII."""
BUSY_SECONDS = 30
AWAY_SECONDS = 60.0
"""Longest time that a running driver does without its database server."""
# WAL needs memory that all its processes share, which no file system provides across hosts (sqlite.org/wal.html)
LOCAL_FILE_SYSTEMS = frozenset(
    [
        "ext2",
        "ext3",
        "ext4",
        "xfs",
        "btrfs",
        "zfs",
        "bcachefs",
        "f2fs",
        "jfs",
        "nilfs2",
        "reiserfs",
        "tmpfs",
        "ramfs",
        "overlay",
        "aufs",
        "squashfs",
        "erofs",
        "iso9660",
        "vfat",
        "exfat",
        "ntfs",
        "ntfs3",
        "fuseblk",
        "fuse.fuse-overlayfs",
        "hfs",
        "hfsplus",
        "apfs",
        "ufs",
    ]
)
"""Types of file systems that one machine has for itself. Any other may be a network's, and is treated as one."""

# 64 bits on every database: PostgreSQL's INTEGER has 32, too few for FLOPs and bytes
TYPES: dict[str, type[sa.types.TypeEngine[Any]]] = {"text": sa.Text, "integer": sa.BigInteger, "real": sa.Double}
METADATA = sa.MetaData()

log = logging.getLogger(__name__)


def _table(name: Table) -> sa.Table:
    columns = [
        sa.Column(c.name, TYPES[c.type](), primary_key=c.key, nullable=c.nullable, autoincrement=False) for c in columns_of(name, False)
    ]
    return sa.Table(name, METADATA, *columns)


TRIALS, CURVES, ATTEMPTS, DIAGNOSTICS = (_table(name) for name in TABLES)
META = sa.Table("meta", METADATA, sa.Column("key", sa.Text, primary_key=True), sa.Column("value", sa.Text, nullable=False))
DRIVER = sa.Table(
    "driver",
    METADATA,
    sa.Column("id", sa.Integer, primary_key=True, autoincrement=False),  # always 1: the table has one row
    sa.Column("token", sa.Text, nullable=False),  # empty: no driver
    sa.Column("place", sa.Text, nullable=False),
    sa.Column("host", sa.Text, nullable=False),
    sa.Column("pid", sa.BigInteger, nullable=False),
    sa.Column("pid_started", sa.Text, nullable=False),
    sa.Column("heartbeat_at", sa.Double, nullable=False),
)

# Optuna adds its tables to any database that it opens. The first of them is `studies`: where an index has its name, Optuna stops there.
AGAINST_OPTUNA = sa.Index("studies", META.c.key)


def present_columns(connection: sa.Connection, table: Table) -> set[str]:
    """Return the names of the columns of a table in this database."""
    return {column["name"] for column in sa.inspect(connection).get_columns(table)}


def refuse_foreign(connection: sa.Connection, location: Path | str) -> None:
    """Check that a database is empty or holds a run.

    Raises:
        StoreError: it belongs to another program.
    """
    names = set(sa.inspect(connection).get_table_names())
    if names and META.name not in names:
        raise StoreError(
            f"{shown(location)}: the database contains tables of another program ({', '.join(sorted(names)[:4])}); "
            "give each run a database of its own, for example with `createdb`"
        )


def add_late_columns(connection: sa.Connection) -> None:
    """Add columns that an older version did not write, without values, and the index that keeps Optuna out."""
    # Optuna may have opened an older run.
    if not sa.inspect(connection).has_table(str(AGAINST_OPTUNA.name)):
        AGAINST_OPTUNA.create(connection, checkfirst=True)
    for table in TABLES:
        present = present_columns(connection, table)
        for column in columns_of(table, published=False):
            # existing rows have no value, so only nullable columns can be late
            if column.late and column.name not in present:
                kind = TYPES[column.type]().compile(connection.dialect)
                connection.exec_driver_sql(f"ALTER TABLE {table} ADD COLUMN {column.name} {kind}")


def is_url(location: Path | str) -> bool:
    """Return whether a location is the URL of a database rather than a run folder."""
    return isinstance(location, str) and "://" in location


def file_of(location: Path | str) -> Path | None:
    """Return the SQLite file of a run, whether or not it exists; None for other databases."""
    if not is_url(location):
        return Path(location) / FILE
    try:
        url = sa.make_url(str(location))
    except sa.exc.ArgumentError:
        return None  # `connect` reports the malformed URL
    # a "file:" URI may carry options of its own, such as mode=memory
    in_file = url.get_backend_name() == "sqlite" and url.database and not url.database.startswith((":memory:", "file:"))
    return Path(str(url.database)) if in_file else None


def shown(location: Path | str) -> str:
    """Return the location for messages: a URL without its password."""
    if isinstance(location, Path):
        return str(location)
    try:
        url = sa.make_url(str(location))
        secret = {name: "hidden" for name in url.query if "password" in name.lower()}
        return url.update_query_dict(secret).render_as_string(hide_password=True)
    except (sa.exc.ArgumentError, ValueError):  # what cannot be parsed, or has lost its scheme, may hold a password all the same
        return re.sub(r"(password=)[^&]*", r"\1***", re.sub(r"(//|^)[^/@]*:.*@", r"\1***@", str(location)))


def file_system_type(path: Path, mounts: Path = Path("/proc/mounts")) -> str:
    """Return the type of the file system of `path`, for example `ext4`; empty without /proc/mounts."""
    whole = str(path.resolve())  # a link may lead to another file system
    with suppress(OSError):
        os.listdir(path)  # an automounter mounts at the first look
    try:
        lines = [line.split() for line in mounts.read_text(encoding="utf-8", errors="replace").splitlines()]
    except OSError:
        return ""
    # spaces and the like are written as octal escapes, such as \\040
    points = [(re.sub(r"\\([0-7]{3})", lambda code: chr(int(code[1], 8)), line[1]), line[2]) for line in lines if len(line) > 2]
    fitting = [(point, kind) for point, kind in points if whole == point or whole.startswith(point.rstrip("/") + "/")]
    # mounts nest: the longest mount point is the one in effect, and of several on one point the last
    return max(reversed(fitting), key=lambda pair: len(pair[0]))[1] if fitting else ""


def journal_mode(path: Path) -> str:
    """Return the journal mode for a folder: `wal`, or `delete` where several hosts may see it."""
    kind = file_system_type(path)
    if not kind or kind in LOCAL_FILE_SYSTEMS:
        return "wal"
    log.warning(
        "%s is on a file system of type %r, which may be a network's: the results are written without a write-ahead log, which is slower; "
        "keep the run on a local disk, or in PostgreSQL with --store",
        path,
        kind,
    )
    return "delete"


def connect_to_file(path: Path, writing: bool) -> sa.Engine:
    """Return an engine on an SQLite file.

    Args:
        path: the file; created if it does not exist and `writing`.
        writing: whether to open it for writing.
    """
    # `immutable` skips locks and the WAL index, which SQLite cannot create in a read-only folder
    unchanging = not path.with_name(path.name + "-wal").exists() and not os.access(path.parent, os.W_OK)
    mode = "rwc" if writing else "ro&immutable=1" if unchanging else "ro"
    engine = sa.create_engine(
        # the URL has no path: `creator` opens the file by a URI, which alone can carry mode and immutable
        "sqlite://",
        creator=lambda: _connect(path, mode),
        poolclass=sa.pool.QueuePool,
        pool_size=2,  # the driver's and the heartbeat's
        max_overflow=0,
        pool_timeout=BUSY_SECONDS,
    )
    if writing:
        journal = journal_mode(path.parent)

        @sa.event.listens_for(engine, "connect")
        def _set_up(connection: sqlite3.Connection, record: object) -> None:
            _set_journal(connection, journal)
            # SQLite's NORMAL flushes a WAL only at checkpoints: a power cut would lose trials that count as done
            connection.execute("pragma synchronous=FULL")

    # take the write lock at the start: two drivers could deadlock between a read and a write
    begin = "BEGIN IMMEDIATE" if writing else "BEGIN"
    sa.event.listen(engine, "begin", lambda connection: connection.exec_driver_sql(begin))
    return engine


def _set_journal(connection: sqlite3.Connection, mode: str) -> None:
    """Set the journal mode, waiting for other connections: SQLite's own timeout does not cover a change to or from WAL."""
    deadline = time.monotonic() + BUSY_SECONDS
    while True:
        try:
            connection.execute(f"pragma journal_mode={mode}")
            return
        except sqlite3.OperationalError as error:
            if "locked" not in str(error) or time.monotonic() > deadline:
                raise
        time.sleep(0.05)


def _connect(path: Path, mode: str) -> sqlite3.Connection:
    uri = f"{path.resolve().as_uri()}?mode={mode}"
    # no isolation level: sqlite3 would begin transactions itself, deferred; the thread check is off for the heartbeat
    return sqlite3.connect(uri, uri=True, timeout=BUSY_SECONDS, isolation_level=None, check_same_thread=False)


def settle_journal(path: Path) -> None:
    """Merge the write-ahead log into the database file, unless another process has it open."""
    try:
        with closing(sqlite3.connect(path, timeout=0)) as connection:
            # leaving WAL needs exclusive access; afterwards the one file is the whole run and can be copied
            connection.execute("pragma journal_mode=delete")
    except sqlite3.OperationalError:  # a reader has it open; the log stays for now
        return


def copy_log(path: Path) -> None:
    """Copy what is committed in an SQLite database's log to its file, as far as nobody reads an older state."""
    with suppress(sqlite3.OperationalError), closing(sqlite3.connect(path, timeout=0)) as connection:
        # passive: never waits for readers, nor makes them wait
        connection.execute("pragma wal_checkpoint(passive)")


def connect(location: Path | str, writing: bool) -> sa.Engine:
    """Return an engine on the database of a run.

    Args:
        location: the run folder, or a URL.
        writing: whether the caller is the driver.

    Raises:
        StoreError: SQLAlchemy cannot use the URL.
    """
    if not is_url(location):
        return connect_to_file(Path(location) / FILE, writing)
    try:
        # readers need all tables from one moment; SQLite's transactions provide that by default
        snapshot = not writing and sa.make_url(str(location)).get_backend_name() == "postgresql"
        more = {"isolation_level": "REPEATABLE READ"} if snapshot else {}
        # servers close idle connections, and a trial can take hours
        return sa.create_engine(str(location), pool_pre_ping=True, **more)
    except (sa.exc.ArgumentError, ImportError, ValueError) as error:
        # an error of parsing quotes the part that it could not parse, which may be from a password
        why = error if isinstance(error, ImportError | sa.exc.NoSuchModuleError) else "its URL cannot be parsed"
        raise StoreError(
            f"{shown(location)}: cannot open this database: {why}; give a URL such as postgresql+psycopg://user@host/run "
            "and install agd-bench[postgres], or omit the URL to use SQLite in the run folder"
        ) from None


def reach(engine: sa.Engine) -> sa.Connection:
    """Return a connection; a database server that is away is waited for.

    Raises:
        sqlalchemy.exc.OperationalError: it was away for more than `AWAY_SECONDS`.
    """
    deadline, said = time.monotonic() + AWAY_SECONDS, False
    while True:
        try:
            return engine.connect()
        except OperationalError as error:
            if engine.dialect.name == "sqlite" or time.monotonic() > deadline:
                raise
            if not said:
                log.warning("the database server is away (%s); trying again for %.0f s", " ".join(str(error.orig).split()), AWAY_SECONDS)
                said = True
        time.sleep(1.0)


def check_file(path: Path) -> None:
    """Check that an SQLite file is an intact store of this version.

    Raises:
        StoreDamagedError: it is not.
    """
    engine = connect_to_file(path, writing=False)
    try:
        with translated(path), engine.connect() as connection:
            # 4096: one page of SQLite's default size
            if not sa.inspect(connection).get_table_names() and path.stat().st_size <= 4096:
                return  # a driver was killed before it created the tables
            read = {name: connection.exec_driver_sql(f"pragma {name}").scalar() for name in ("application_id", "user_version")}
            # a foreign database may be intact, and still must not be written to
            _check_mark(path, read["application_id"], read["user_version"])
            # quick_check would miss rows that are gone from a table and still in its index; (1): stop at the first fault
            faults = connection.exec_driver_sql("pragma integrity_check(1)").scalar()
            if faults != "ok":
                raise StoreDamagedError(
                    f"{path}: the database is damaged ({' '.join(str(faults).split())}); restore a copy or use another --out"
                )
            present = set(sa.inspect(connection).get_table_names())
    finally:
        engine.dispose()
    missing = sorted(set(METADATA.tables) - present - set(OPTIONAL))
    if missing:
        raise StoreDamagedError(f"{path}: the database has no table {missing[0]!r}; restore a copy or use another --out")


def _check_mark(path: Path, application: Any, version: Any) -> None:
    if application != APPLICATION_ID:
        raise StoreDamagedError(f"{path}: an SQLite file, but not an agd-bench store; use another --out")
    if version != SCHEMA_VERSION:
        whose = "a newer" if version > SCHEMA_VERSION else "an older"
        raise StoreDamagedError(
            f"{path}: written by {whose} agd-bench (schema {version}; this one reads {SCHEMA_VERSION}); use that version, or another --out"
        )


ADVICE = {
    "permission denied for schema": "ask the owner for GRANT CREATE ON SCHEMA, or use a database that belongs to this user",
    "no schema has been selected": "no schema of this user's search_path exists; create one, or set ?options=-csearch_path=NAME",
    "password authentication failed": "give the password in PGPASSWORD or ~/.pgpass",
    "no password supplied": "give the password in PGPASSWORD or ~/.pgpass",
}
"""What to do about errors of database servers, by text that occurs in them."""


@contextmanager
def translated(location: Path | str) -> Iterator[None]:
    """Translate database errors to agd-bench's.

    Raises:
        StorageFullError: the disk or the quota is full.
        StoreDamagedError: the file is corrupt or not a database.
        RunLockedError: another process held the lock for more than `BUSY_SECONDS`.
        StoreError: any other database error.
    """
    where = shown(location)
    try:
        yield
    except PoolTimeoutError:
        raise RunLockedError(f"{where}: no connection became available within {BUSY_SECONDS} s; is another driver running?") from None
    except (DBAPIError, sqlite3.Error) as error:
        # by message: the drivers of SQLite and PostgreSQL have no common codes
        text = str(getattr(error, "orig", None) or error)
        if "full" in text or "No space left" in text or "disk quota" in text.lower():
            raise StorageFullError(f"{where}: no space left to write results; free some space and run the same command again") from None
        if "malformed" in text or "not a database" in text or "corrupt" in text:
            raise StoreDamagedError(f"{where}: the database is damaged ({text}); restore a copy or use another --out") from None
        if "locked" in text:
            raise RunLockedError(f"{where}: another process has locked the database for over {BUSY_SECONDS} s; stop it or wait") from None
        kind = "cannot be reached or opened" if isinstance(error, OperationalError) else "rejected the statement"
        advice = next((f"; {advice}" for sign, advice in ADVICE.items() if sign in text), "")
        raise StoreError(f"{where}: the database {kind}: {' '.join(text.split())}{advice}") from None
