"""Write the state of trials. Every transition is one transaction:

    pending → running(attempt, node, deadline) → done | diverged | failed | refused | pruned
       ↓                ↓ the attempt was lost
    failed | unneeded   pending

A trial that takes an equal network's results goes from pending to the status of that trial.
"""

from __future__ import annotations

import json
import time
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple, Self

import sqlalchemy as sa

from agd_bench.errors import InputError, RunChangedError, StoreDamagedError, StoreError
from agd_bench.records import CurvePoint, Plan, Scalars, Status, Trial, TrialResult, canonical_json
from agd_bench.store import lock
from agd_bench.store.database import (
    APPLICATION_ID,
    ATTEMPTS,
    CURVES,
    DIAGNOSTICS,
    FILE,
    META,
    METADATA,
    SCHEMA_VERSION,
    TRIALS,
    add_late_columns,
    check_file,
    connect,
    copy_log,
    file_of,
    is_url,
    reach,
    refuse_foreign,
    settle_journal,
    shown,
    translated,
)
from agd_bench.store.failures import reopen
from agd_bench.store.plan_rows import MIXED_CODE_ADVICE, differences, meta_of, planned_row
from agd_bench.store.reader import is_published
from agd_bench.store.row_code import DIGESTS, FIRST, code_meta
from agd_bench.store.schema import LOST, OUT_OF_MEMORY, TAKEN_AS_ZERO, UNTAKEN
from agd_bench.store.transactions import Answer, Operation, Transaction

# people copy the database file alone; what only the log holds would be missing there
LOG_SECONDS = 60.0
"""Interval in seconds at which SQLite's log is copied to the database."""
DRIVER_ENDED = "the driver ended during this attempt"
DRIVERS_OWN = ("in-process", "thread-")
"""Prefixes of the names of workers in the driver's process."""
MEASURED = tuple(
    name
    for name in (column.name for column in TRIALS.columns)
    if name in TrialResult.model_fields and name not in ("trial_id", "status", "reason")
)


class Standing(NamedTuple):
    """State of a trial.

    Attributes:
        status: `pending` or a terminal status.
        attempts: executions started.
        losses: lost attempts that count towards the trial's maximum of attempts.
        out_of_memory: attempts that ran out of memory.
        proposal: values from the tuner, if any.
        val_accuracy: after the last epoch, in [0, 1].
        total_seconds: of the last attempt.
        train_loss: mean over the last epoch.
        reason: why the status is not `done`.
        forward_flops: of one image.
    """

    status: str = "pending"
    attempts: int = 0
    losses: int = 0
    out_of_memory: int = 0
    proposal: Scalars | None = None
    val_accuracy: float | None = None
    total_seconds: float | None = None
    train_loss: float | None = None
    reason: str = ""
    forward_flops: int | None = None


def _make_folder(folder: Path) -> Path:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StoreError(f"{folder}: cannot create the run folder: {error.strerror}; use another --out") from None
    return folder


def _write_meta(connection: sa.Connection, values: Mapping[str, str]) -> None:
    # databases do not share one syntax for an upsert
    connection.execute(META.delete().where(META.c.key.in_(list(values))))
    connection.execute(META.insert(), [{"key": key, "value": value} for key, value in values.items()])


class Store:
    """Results of one run, open for its driver. Create it with `Store.open`, and use it as a context manager.

    Attributes:
        location: the run folder or the URL of the database.
    """

    def __init__(self, location: Path | str, engine: sa.Engine, here: lock.Driver) -> None:
        self.location = location
        self._engine, self._here = engine, here
        self._heartbeat = lock.Heartbeat(engine, here)
        self._shared: Transaction | None = None
        self._file, self._log_copied = file_of(location), time.monotonic()

    @classmethod
    def open(cls, location: Path | str, plan: Plan, allow_mixed_code: bool = False, joined: Sequence[Mapping[str, str]] = ()) -> Store:
        """Create the store of a run, or reopen it. Reopening sets running trials to pending.

        Args:
            location: the run folder, created if it does not exist, or the URL of a database for this run only.
            plan: of the run.
            allow_mixed_code: whether to resume although plug-ins were edited; the meta data then declare it.
            joined: meta data of runs that will be merged into this one.

        Raises:
            RunChangedError: the store holds another sweep, or plug-ins were edited since.
            RunLockedError: another driver is running this run.
            StoreDamagedError: the file is not an agd-bench store, of another version, or corrupt.
            StorageFullError: no space is left.
            InputError: the location is a published folder, which is read-only.
            StoreError: the database cannot be reached or written.
        """
        if is_published(location):
            raise InputError(f"{shown(location)}: published leaderboards are read-only; use another --out, and pass this folder to --from")
        if not is_url(location):
            file = _make_folder(Path(location)) / FILE
            if file.exists():
                # before the writing connection, which would turn a foreign database's journal into a WAL
                check_file(file)
        store = cls(location, connect(location, writing=True), lock.this_driver())
        try:
            with translated(location):
                # outside the transaction, in which SQLite would take no heartbeat
                dead = lock.watch(store._engine, store._here, location)
                with store._engine.begin() as connection:
                    store._create_or_reopen(connection, plan, allow_mixed_code, joined, dead)
        # Ctrl-C too: the caller gets no store that it could close
        except BaseException:
            store._engine.dispose()
            raise
        store._heartbeat.start()  # only now is the lock ours and committed
        return store

    def _create_or_reopen(
        self,
        connection: sa.Connection,
        plan: Plan,
        allow_mixed_code: bool,
        joined: Sequence[Mapping[str, str]],
        dead: float | None,
    ) -> None:
        refuse_foreign(connection, self.location)
        # within the transaction: a driver killed here leaves an empty database, not half of the tables
        METADATA.create_all(connection)
        add_late_columns(connection)
        if not is_url(self.location):
            connection.exec_driver_sql(f"pragma application_id={APPLICATION_ID}")
            connection.exec_driver_sql(f"pragma user_version={SCHEMA_VERSION}")
        old = {row.key: row.value for row in connection.execute(sa.select(META))}
        if old and old.get("schema_version") != str(SCHEMA_VERSION):
            stored = old.get("schema_version", "unknown")
            raise StoreDamagedError(
                f"{shown(self.location)}: schema {stored}, but this agd-bench reads {SCHEMA_VERSION}; use another --out or database"
            )
        changed = differences(old, plan, allow_mixed_code) if old else []
        if changed:
            raise RunChangedError(
                f"{shown(self.location)} was made with a different sweep or code: {', '.join(changed[:4])} changed;"
                f" use another --out, or undo the change to resume this run, or {MIXED_CODE_ADVICE}"
            )
        # in one transaction with the closing of orphans, so that no driver sees one without the other
        last_sign = lock.acquire(connection, self._here, self.location, dead)
        code = code_meta([*([old] if old else []), *joined], plan)
        if old:
            # old rows without an identity were made by the first code; keep its digests before they are replaced
            first = {FIRST: old.get(FIRST, old[DIGESTS])} if FIRST in old or old[DIGESTS] != code[DIGESTS] else {}
            # the new sweep may differ in keys that do not affect results
            _write_meta(connection, {"sweep": plan.sweep.model_dump_json(), **first, **code})
            self._close_orphans(connection, last_sign)
            return
        _write_meta(connection, meta_of(plan) | code)
        rows = [planned_row(position, trial) for position, trial in enumerate(plan.all_trials)]
        if rows:
            connection.execute(TRIALS.insert(), rows)

    def _close_orphans(self, connection: sa.Connection, last_sign: float | None) -> None:
        """Close the running attempts of a killed driver as lost, charged until its last heartbeat."""
        for row in connection.execute(sa.select(ATTEMPTS).where(ATTEMPTS.c.outcome == "running")).all():
            # clocks of two machines may disagree: a charge is never negative
            ended = max(row.started_at, last_sign or row.started_at)
            # a trial in the driver's own process may have crashed it, and may do so again
            blamed = int(row.node.startswith(DRIVERS_OWN))
            seconds = ended - row.started_at
            self._close_attempt(connection, row.trial_id, row.attempt, LOST, seconds, DRIVER_ENDED, ended_at=ended, blamed=blamed)
            connection.execute(TRIALS.update().where(TRIALS.c.trial_id == row.trial_id).values(status="pending"))

    def _close_attempt(
        self, connection: sa.Connection, trial_id: str, attempt: int, outcome: str, seconds: float, reason: str, **more: Any
    ) -> None:
        this = (ATTEMPTS.c.trial_id == trial_id) & (ATTEMPTS.c.attempt == attempt) & (ATTEMPTS.c.outcome == "running")
        ended = {"outcome": outcome, "seconds": seconds, "reason": reason, "ended_at": time.time()} | more
        # no row: the attempt has ended before, and a second end would charge it twice
        if connection.execute(ATTEMPTS.update().where(this).values(**ended)).rowcount != 1:
            raise ValueError(f"trial {trial_id}: attempt {attempt} cannot end because it is not running")
        charged = TRIALS.c.charged_seconds + seconds
        connection.execute(TRIALS.update().where(TRIALS.c.trial_id == trial_id).values(charged_seconds=charged))

    @contextmanager
    def together(self) -> Iterator[None]:
        """Combine all writes inside into one commit, or none if an error is raised."""
        # a transition costs mostly its flush to disk; the end of one trial and the start of the next share it
        with translated(self.location):
            self._shared = Transaction(self._engine, lambda connection: lock.require(connection, self._here, self.location))
            try:
                yield
                self._shared.commit()
            finally:
                self._shared.close()
                self._shared = None
        if self._file is not None and time.monotonic() - self._log_copied >= LOG_SECONDS:
            # after the commit, as a checkpoint copies only what is committed
            copy_log(self._file)
            self._log_copied = time.monotonic()

    def _write(self, operation: Operation[Answer]) -> Answer:
        """Execute an operation in the transaction of `together`, or in one of its own."""
        if self._shared is not None:
            with translated(self.location):
                return self._shared.do(operation)
        with self.together():
            return self._write(operation)

    def standings(self) -> dict[str, Standing]:
        """Return the state of every trial by id, in plan order."""
        counts = sa.select(
            ATTEMPTS.c.trial_id,
            sa.func.sum(ATTEMPTS.c.blamed).label("losses"),
            sa.func.sum(sa.case((ATTEMPTS.c.outcome == OUT_OF_MEMORY, 1), else_=0)).label("out_of_memory"),
        ).group_by(ATTEMPTS.c.trial_id)
        with translated(self.location), self._engine.connect() as connection:
            counted = {row.trial_id: (int(row.losses), int(row.out_of_memory)) for row in connection.execute(counts)}
            rows = connection.execute(sa.select(TRIALS).order_by(TRIALS.c.position)).all()
        return {
            row.trial_id: Standing(
                row.status,
                row.attempts,
                *counted.get(row.trial_id, (0, 0)),
                proposal=None if row.proposal is None else json.loads(row.proposal),
                val_accuracy=row.val_accuracy,
                total_seconds=row.total_seconds,
                train_loss=row.train_loss,
                reason=row.reason,
                forward_flops=row.forward_flops,
            )
            for row in rows
        }

    def curves(self, trial_ids: Iterable[str]) -> dict[str, tuple[CurvePoint, ...]]:
        """Return the learning curves of trials by id. Trials without a curve are omitted."""
        wanted = list(trial_ids)
        found: dict[str, list[CurvePoint]] = {}
        with translated(self.location), self._engine.connect() as connection:
            for begin in range(0, len(wanted), 500):  # databases limit the number of values in a query
                some = sa.select(CURVES).where(CURVES.c.trial_id.in_(wanted[begin : begin + 500])).order_by(CURVES.c.epoch)
                for row in connection.execute(some).mappings():
                    point = CurvePoint.model_validate({key: value for key, value in row.items() if key != "trial_id"})
                    found.setdefault(row["trial_id"], []).append(point)
        return {trial_id: tuple(points) for trial_id, points in found.items()}

    def start(self, trial: Trial, attempt: int, node: str, deadline_seconds: float) -> None:
        """Set a trial from pending to running, before it is sent to a worker.

        Args:
            trial: with its proposal, if its study has one.
            attempt: number of the attempt, from 1.
            node: the worker.
            deadline_seconds: from now until the deadline.
        """
        now = time.time()
        values: dict[str, Any] = {"status": "running", "attempts": attempt, "hyperparameters": canonical_json(trial.settings)}
        values["proposal"] = None if trial.proposal is None else canonical_json(trial.proposal)
        # a lost trial is pending again: the number keeps a start that is repeated by mistake from finding it
        pending = (TRIALS.c.trial_id == trial.id) & (TRIALS.c.status == "pending") & (TRIALS.c.attempts == attempt - 1)

        def write(connection: sa.Connection) -> None:
            if connection.execute(TRIALS.update().where(pending).values(**values)).rowcount != 1:
                raise ValueError(f"trial {trial.id} is not pending after {attempt - 1} attempts, so attempt {attempt} cannot start")
            # on disk before the trial is sent: killing the driver loses at most the running attempts
            row = {"trial_id": trial.id, "attempt": attempt, "node": node, "started_at": now, "outcome": "running", "reason": ""}
            connection.execute(ATTEMPTS.insert().values(**row, deadline_at=now + deadline_seconds, blamed=0))

        self._write(write)

    def finish(self, result: TrialResult, attempt: int, seconds: float | None = None) -> None:
        """Set a trial from running to the status of its result, and store the measurements.

        Args:
            result: of the attempt.
            attempt: number of the attempt.
            seconds: to charge. None: the attempt's `total_seconds`.
        """

        def write(connection: sa.Connection) -> None:
            charged = result.total_seconds if seconds is None else seconds
            provenance = canonical_json(result.provenance) if result.provenance else None
            self._close_attempt(connection, result.trial_id, attempt, result.status, charged, result.reason, provenance=provenance)
            self._end(connection, result, "running", {name: getattr(result, name) for name in MEASURED})

        self._write(write)

    def settle(self, trial_id: str, status: Status, reason: str) -> None:
        """Set a trial from pending to a terminal status without executing it (again)."""
        result = TrialResult(trial_id=trial_id, status=status, reason=reason)
        self._write(lambda connection: self._end(connection, result, "pending", {}))

    def pass_on(self, trial: Trial) -> TrialResult:
        """Give a pending trial the results of its representative, at no charge.

        Args:
            trial: with a `representative` that has ended.

        Returns:
            The result, without its curve.
        """

        def write(connection: sa.Connection) -> TrialResult:
            trained = connection.execute(sa.select(TRIALS).where(TRIALS.c.trial_id == trial.representative)).mappings().one()
            # all costs lie with the trial that was trained, so that sums count them once
            taken = {name: trained[name] for name in MEASURED} | dict.fromkeys(UNTAKEN)
            taken |= {name: None if taken[name] is None else 0 for name in TAKEN_AS_ZERO}
            values = taken | {name: trained[name] for name in ("hyperparameters", "proposal")}
            # seconds of a result cannot be None, so what is missing takes its default
            given = {name: value for name, value in taken.items() if value is not None}
            result = TrialResult.model_validate({"trial_id": trial.id, "status": trained["status"], "reason": trained["reason"], **given})
            self._end(connection, result, "pending", values)
            for table in (CURVES, DIAGNOSTICS):
                rows = connection.execute(sa.select(table).where(table.c.trial_id == trial.representative)).mappings().all()
                if rows:
                    connection.execute(table.insert(), [{**row, "trial_id": trial.id} for row in rows])
            return result

        return self._write(write)

    def _end(self, connection: sa.Connection, result: TrialResult, before: str, measured: dict[str, Any]) -> None:
        values = {**measured, "status": result.status, "reason": result.reason}
        this = (TRIALS.c.trial_id == result.trial_id) & (TRIALS.c.status == before)
        if connection.execute(TRIALS.update().where(this).values(**values)).rowcount != 1:
            raise ValueError(f"trial {result.trial_id} is not {before}, so it cannot end as {result.status}")
        this_trial = {"trial_id": result.trial_id}
        points = [{**this_trial, **point.model_dump(exclude={"diagnostics"})} for point in result.curve]
        numbers = [(point.epoch, name, value) for point in result.curve for name, value in point.diagnostics.items()]
        said = [{**this_trial, "epoch": epoch, "name": name, "value": value} for epoch, name, value in numbers]
        for table, rows in ((CURVES, points), (DIAGNOSTICS, said)):
            if rows:
                connection.execute(table.insert(), rows)

    def lose(self, trial_id: str, attempt: int, seconds: float, reason: str, outcome: str = LOST, blamed: bool = True) -> None:
        """Set a trial from running back to pending after its attempt was lost, and charge the attempt.

        Args:
            trial_id: id of the trial.
            attempt: its attempt.
            seconds: from its start until the loss was noticed.
            reason: what happened.
            outcome: `lost` or `out of memory`.
            blamed: whether it counts towards the trial's maximum of attempts.
        """

        def write(connection: sa.Connection) -> None:
            # the scheduler limits "out of memory" by itself, so only other losses count here
            self._close_attempt(connection, trial_id, attempt, outcome, seconds, reason, blamed=int(blamed and outcome == LOST))
            connection.execute(TRIALS.update().where(TRIALS.c.trial_id == trial_id).values(status="pending"))

        self._write(write)

    def retry(self, trials: Sequence[Trial], endings: Collection[str]) -> int:
        """Set ended trials with given outcomes back to pending and return their number; arguments and errors as for `failures.reopen`."""
        return self._write(lambda connection: reopen(connection, trials, endings))

    def take_in(
        self, trials: list[dict[str, Any]], attempts: list[dict[str, Any]], curves: list[dict[str, Any]], numbers: list[dict[str, Any]]
    ) -> None:
        """Insert rows of another run of this sweep in one transaction; see `merge`.

        Args:
            trials: full rows of planned trials. They replace status, measurements and attempts.
            attempts: all attempts at these trials, none of them running.
            curves: of the trials that had not ended here.
            numbers: diagnostics of the same trials.
        """
        if not trials:
            return
        taken = ("status", "reason", "hyperparameters", "proposal", "attempts", "charged_seconds", *MEASURED)
        this = TRIALS.c.trial_id == sa.bindparam("this")

        def write(connection: sa.Connection) -> None:
            named = [{"this": row["trial_id"]} for row in trials]
            values = [one | {f"new_{name}": row[name] for name in taken} for one, row in zip(named, trials, strict=True)]
            connection.execute(TRIALS.update().where(this).values({name: sa.bindparam(f"new_{name}") for name in taken}), values)
            # merging renumbers attempts by their start, so the old rows would collide
            connection.execute(ATTEMPTS.delete().where(ATTEMPTS.c.trial_id == sa.bindparam("this")), named)
            # there are none, unless a commit whose answer was lost had succeeded
            for table, rows in ((CURVES, curves), (DIAGNOSTICS, numbers)):
                if rows:
                    connection.execute(
                        table.delete().where(table.c.trial_id == sa.bindparam("this")), [{"this": row["trial_id"]} for row in rows]
                    )
            # neither column is published; losses elsewhere do not use up this run's attempts
            closed = [{**row, "deadline_at": row["ended_at"], "blamed": 0} for row in attempts]
            for table, rows in ((ATTEMPTS, closed), (CURVES, curves), (DIAGNOSTICS, numbers)):
                if rows:
                    connection.execute(table.insert(), rows)

        self._write(write)

    def close(self) -> None:
        """Release the lock and close the database.

        Raises:
            StoreError: the lock cannot be released; it then expires when this process ends.
        """
        if self._heartbeat.is_alive():
            self._heartbeat.stop()
        try:
            with translated(self.location), reach(self._engine) as connection, connection.begin():
                lock.release(connection, self._here)
        finally:
            self._engine.dispose()
        if not is_url(self.location):
            # after `dispose`, as SQLite leaves WAL only without other connections
            settle_journal(Path(self.location) / FILE)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        try:
            self.close()
        except StoreError:
            if error is None:
                raise  # otherwise the first error is the one to report
