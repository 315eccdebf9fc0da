"""Read a run or a published leaderboard: three tables, the sweep and what is known of its making. No torch, no Ray."""

from __future__ import annotations

import html
import json
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import sqlalchemy as sa
from pyarrow import csv

from agd_bench.errors import InputError, StoreDamagedError, StoreError, SweepError
from agd_bench.records import TERMINAL, Sweep, parse_sweep
from agd_bench.store.database import (
    FILE,
    META,
    METADATA,
    SCHEMA_VERSION,
    TRIALS,
    check_file,
    connect,
    file_of,
    is_url,
    present_columns,
    shown,
    translated,
)
from agd_bench.store.equal_networks import expand
from agd_bench.store.schema import EQUALS, EVIDENCE, OPTIONAL, SORTING, TABLES, Column, Table, columns_of, dictionary_text

PUBLISHED_FILES = ("sweep.json", "meta.json", *(f"{table}.csv" for table in TABLES if table not in OPTIONAL))
PLANNED = "planned_trials"
"""Key of the meta data that says how many trials were planned, where rows of those not begun were left out."""
COUNTED = ["search_space", "dataset", "profile", "algorithm", "purpose"]
STATUSES = ("done", "running", "diverged", "failed", "refused", "pruned", "unneeded", "missing")


@dataclass(frozen=True, repr=False)
class Results:
    """Everything that a run or a published folder says.

    Attributes:
        sweep: what was asked.
        trials: one row per planned trial, in plan order.
        curves: one row per trial and epoch.
        attempts: one row per execution of a trial.
        meta: strings by key: `created_at`, `versions`, `plugin_digests`, `devices` (JSON) and what a publisher added.
        diagnostics: one row per trial, epoch and number that its optimizer reports; without rows where none does.
        published: one row per architecture and published training; without rows where none was gathered (`gathering`).
        rate_factors: one row per architecture and algorithm that scales a base rate to it; likewise.
        features: one row per architecture and number that its search space's plug-in states of it; likewise.

    Columns:
    """

    sweep: Sweep
    trials: pd.DataFrame
    curves: pd.DataFrame
    attempts: pd.DataFrame
    meta: dict[str, str]
    diagnostics: pd.DataFrame = field(default_factory=lambda: without_rows("diagnostics"))
    published: pd.DataFrame = field(default_factory=lambda: without_rows("published"))
    rate_factors: pd.DataFrame = field(default_factory=lambda: without_rows("rate_factors"))
    features: pd.DataFrame = field(default_factory=lambda: without_rows("features"))

    def __repr__(self) -> str:
        counts = self.trials["status"].value_counts()
        statuses = ", ".join(f"{count} {status}" for status, count in counts.items())
        architectures = self.trials[["search_space", "architecture"]].drop_duplicates()
        return f"Results({self.sweep.name}: {len(self.trials)} trials ({statuses}), {len(architectures)} architectures)"

    def _repr_html_(self) -> str:
        """Trials by algorithm and status, for notebooks."""
        counts = pd.crosstab(self.trials["algorithm"], self.trials["status"])
        return f"<p><code>{html.escape(repr(self))}</code></p>{counts.to_html(escape=True)}"


Results.__doc__ = f"{Results.__doc__}\n{dictionary_text()}\n"


def _dtype(column: Column) -> str:
    """The pandas type of a column: missing integers need the nullable one, missing reals are NaN."""
    if column.type == "integer":
        return "Int64" if column.nullable else "int64"
    return "float64" if column.type == "real" else "str"


def typed(table: Table, frame: pd.DataFrame) -> pd.DataFrame:
    """A table with its columns in their order and types, rows sorted; late columns that it lacks have no values."""
    frame = frame.assign(**{column.name: None for column in columns_of(table) if column.late and column.name not in frame})
    for column in columns_of(table):
        if column.type == "integer" and column.nullable and not pd.api.types.is_numeric_dtype(frame[column.name]):
            missing = frame[column.name].isna().to_numpy(dtype=bool)
            numbers = np.zeros(len(frame), dtype=np.int64)
            numbers[~missing] = frame.loc[~missing, column.name].astype("int64")
            frame[column.name] = pd.arrays.IntegerArray(numbers, missing)
    frame = frame.astype({column.name: _dtype(column) for column in columns_of(table)})
    return frame[[column.name for column in columns_of(table)]].sort_values(SORTING[table], ignore_index=True)


def without_rows(table: Table) -> pd.DataFrame:
    """A table with its columns, of their types, and nothing in them."""
    return typed(table, pd.DataFrame(columns=[column.name for column in columns_of(table)]))


def read_csv(table: Table, path: Path) -> pd.DataFrame:
    """A table as it was exported: only a missing value is empty, and `NA`, `null` or `nan` are texts like others.

    Raises:
        StoreDamagedError: not such a table.
    """
    kinds = {"text": pa.large_string(), "integer": pa.int64(), "real": pa.float64()}
    columns = _columns_in(table, path)
    options = csv.ConvertOptions(
        column_types={column.name: kinds[column.type] for column in columns},
        include_columns=[column.name for column in columns],
        null_values=[""],
        strings_can_be_null=True,
    )
    try:
        # Arrow reads numbers to the nearest float in all its versions, as they were written; pandas does not by default.
        read = csv.read_csv(path, convert_options=options, parse_options=csv.ParseOptions(newlines_in_values=True))
        values: dict[str, Any] = {}
        for column in columns:
            given = read.column(column.name)
            if column.type == "text":
                values[column.name] = pd.array(given if column.nullable else given.fill_null(""), dtype="str")
            elif given.null_count and not column.nullable:
                raise ValueError(f"column {column.name} has an empty field")
            elif column.type == "integer" and column.nullable:
                numbers = given.fill_null(0).to_numpy().astype(np.int64)
                values[column.name] = pd.arrays.IntegerArray(numbers, given.is_null().to_numpy())
            else:
                values[column.name] = given.to_numpy()
        return typed(table, pd.DataFrame(values))
    except (ValueError, KeyError, UnicodeDecodeError, OSError) as error:
        raise StoreDamagedError(
            f"{path}: not a table of {table} as agd-bench writes it ({' '.join(str(error).split())}); restore the file"
        ) from None


def _columns_in(table: Table, path: Path) -> list[Column]:
    """The columns that a file of this table should have; those that came late only if it has them."""
    try:
        with path.open(encoding="utf-8") as file:
            header = file.readline().rstrip("\n").replace('"', "").split(",")
    except (OSError, UnicodeDecodeError):
        header = []  # reading it says what is wrong
    return [column for column in columns_of(table) if not column.late or column.name in header]


def _read_published(folder: Path) -> Results:
    try:
        sweep = parse_sweep((folder / "sweep.json").read_text(encoding="utf-8"), "sweep.json")
        meta = dict(json.loads((folder / "meta.json").read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError, SweepError) as error:
        raise StoreDamagedError(f"{folder}: sweep.json or meta.json cannot be read ({' '.join(str(error).split())[:200]})") from None
    there = [table for table in (*TABLES, *EVIDENCE) if table not in OPTIONAL or (folder / f"{table}.csv").exists()]
    tables = {table: read_csv(table, folder / f"{table}.csv") for table in there}
    tables |= {table: without_rows(table) for table in OPTIONAL if table not in there}
    if (folder / f"{EQUALS}.csv").exists():
        tables = expand(tables, read_csv(EQUALS, folder / f"{EQUALS}.csv"))
    texts = {str(key): value if isinstance(value, str) else json.dumps(value) for key, value in meta.items()}
    return Results(sweep=sweep, **tables, meta=texts)


def _read_database(location: Path | str) -> Results:
    engine = connect(location, writing=False)
    try:
        with translated(location), engine.connect() as connection:
            meta = _read_meta(connection, location)
            frames = {}
            for table in TABLES:
                stored = METADATA.tables[table]
                if table in OPTIONAL and not sa.inspect(connection).has_table(table):
                    frames[table] = without_rows(table)
                    continue
                present = present_columns(connection, table)
                wanted = [column.name for column in columns_of(table) if not column.late or column.name in present]
                rows = connection.execute(sa.select(*(stored.c[name] for name in wanted)))
                frames[table] = pd.DataFrame.from_records(rows.all(), columns=list(rows.keys()))
    finally:
        engine.dispose()
    tables = {table: typed(table, frames[table]) for table in TABLES}
    return Results(sweep=_parse_sweep(location, meta), **tables, meta=meta | {"devices": json.dumps(_devices(tables["attempts"]))})


def _read_meta(connection: sa.Connection, location: Path | str) -> dict[str, str]:
    """The meta data of a run of this schema version.

    Raises:
        StoreError: another program's database, or an empty one.
        StoreDamagedError: a run of another schema version.
    """
    names = set(sa.inspect(connection).get_table_names())
    if META.name not in names:
        what = f"holds the tables {', '.join(sorted(names)[:4])}, but no run" if names else "is empty and holds no run"
        raise StoreError(f"{shown(location)}: the database {what}; give the URL that `agd-bench run --store` was given")
    meta = {row.key: row.value for row in connection.execute(sa.select(META))}
    if (version := meta.get("schema_version")) != str(SCHEMA_VERSION):
        raise StoreDamagedError(
            f"{shown(location)}: the run has schema {version}, but this agd-bench reads {SCHEMA_VERSION}; use the version that wrote it"
        )
    return meta


def _parse_sweep(location: Path | str, meta: dict[str, str]) -> Sweep:
    try:
        return parse_sweep(meta.pop("sweep"), "its sweep")
    except (KeyError, SweepError) as error:
        raise StoreDamagedError(
            f"{shown(location)}: its sweep cannot be read ({' '.join(str(error).split())[:200]}); read it with the version that wrote it"
        ) from None


def _devices(attempts: pd.DataFrame) -> list[str]:
    """The devices that attempts ran on, by the names that the results themselves give."""
    return sorted({json.loads(text).get("device", "") for text in attempts["provenance"].dropna().unique()} - {""})


def _find(location: Path | str) -> None:
    """Make sure that there is something to read.

    Raises:
        InputError: no run and no published folder.
        StoreDamagedError: an unsound database.
    """
    if is_url(location):
        file = file_of(location)
        if file is not None and not file.exists():  # SQLite would make it, and say that it has no tables
            raise InputError(f"{shown(location)}: no such file; give the URL that `agd-bench run --store` was given")
        return
    folder = Path(location)
    if not folder.is_dir():
        what = "a file" if folder.exists() else "no such folder"
        raise InputError(
            f"{folder}: {what}; give a run folder (it holds {FILE}) or a published one (it holds {', '.join(PUBLISHED_FILES)})"
        )
    if not (folder / FILE).exists():
        raise InputError(
            f"{folder}: no run folder: a run folder holds {FILE}, a published one {', '.join(PUBLISHED_FILES)}; "
            "give the folder that `agd-bench run --out` was given"
        )
    if (folder / FILE).stat().st_size == 0:
        raise InputError(f"{folder}: the run has not written anything yet; start it again with `agd-bench run`")
    check_file(folder / FILE)


def is_published(location: Path | str) -> bool:
    """A published folder has all its files and no database."""
    if is_url(location) or (Path(location) / FILE).exists():
        return False
    return all((Path(location) / name).is_file() for name in PUBLISHED_FILES)


def load_results(location: Path | str) -> Results:
    """The results of a run, under way or ended, or of a published leaderboard.

    Args:
        location: a run folder, a published folder, or the URL that the run was given as its store.

    Raises:
        InputError: nothing of the kind is there; the message says what a run folder holds.
        StoreDamagedError: a corrupt or incomplete store, or one of another version.
    """
    if not is_url(location):
        location = Path(location).expanduser()
    if is_published(location):
        return _read_published(Path(location))
    _find(location)
    return _read_database(location)


def _is_untouched(location: Path | str) -> bool:
    """Whether there is no file yet, or an empty one, where a run is to be.

    Raises:
        StoreDamagedError: an unsound database.
    """
    file = file_of(location)
    if file is None:
        return False
    if not file.exists() or file.stat().st_size == 0:
        return True
    if not is_url(location):
        check_file(file)
    return False


def ended_trials(location: Path | str) -> tuple[str, ...]:
    """Ids of the trials that need not be trained any more, in plan order.

    Args:
        location: a run folder or the URL that a run was given as its store; none has to have begun there.

    Raises:
        StoreDamagedError: an unsound database.
        StoreError: the database cannot be reached.
    """
    if _is_untouched(location):
        return ()
    engine = connect(location, writing=False)
    try:
        with translated(location), engine.connect() as connection:
            if not sa.inspect(connection).has_table(TRIALS.name):
                return ()
            ended = sa.select(TRIALS.c.trial_id).where(TRIALS.c.status.in_(TERMINAL)).order_by(TRIALS.c.position)
            return tuple(connection.execute(ended).scalars())
    finally:
        engine.dispose()


def stored_sweep(location: Path | str) -> Sweep | None:
    """The sweep of a run that has begun there; null: none has.

    Args:
        location: as `ended_trials`.

    Raises:
        StoreDamagedError: an unsound database.
        StoreError: the database cannot be reached.
    """
    if _is_untouched(location):
        return None
    engine = connect(location, writing=False)
    try:
        with translated(location), engine.connect() as connection:
            if not sa.inspect(connection).has_table(META.name):
                return None
            meta = {row.key: row.value for row in connection.execute(sa.select(META))}
            return _parse_sweep(location, meta) if meta else None
    finally:
        engine.dispose()


def planned_counts(results: Results) -> pd.DataFrame:
    """How many trials were planned, those included of which a published folder has no row.

    Args:
        results: as they were loaded.

    Returns:
        One row per `search_space`, `dataset`, `profile`, `algorithm` and `purpose`, in plan order; `planned` (trials).
    """
    if PLANNED in results.meta:
        return pd.DataFrame(json.loads(results.meta[PLANNED]), columns=[*COUNTED, "planned"])
    return results.trials.groupby(COUNTED, sort=False, observed=True).size().rename("planned").reset_index()


def begun_results(results: Results) -> Results:
    """The results without the rows of trials that nothing has happened to; the meta data say how many were planned.

    A sweep that grows in slices has many of them, and what they would be follows from the sweep. One row is kept for an algorithm of
    whose final or tuning trials none was begun, so that it is known.

    Args:
        results: of a run that may not have ended.
    """
    trials = results.trials
    untouched = (trials["status"] == "pending") & (trials["attempts"] == 0)
    unknown = untouched.groupby([trials[name] for name in COUNTED], sort=False).transform("all") & ~trials.duplicated(COUNTED)
    if not untouched.any():
        return results
    meta = results.meta | {PLANNED: json.dumps(planned_counts(results).to_numpy(dtype=object).tolist())}
    return replace(results, trials=trials[~untouched | unknown].reset_index(drop=True), meta=meta)


def status(location: Path | str) -> pd.DataFrame:
    """How far a run is: trials by algorithm and status.

    Args:
        location: as `load_results`.

    Returns:
        One row per algorithm's label (the index, in plan order); columns `done`, `running`, `diverged`, `failed`, `refused`,
        `pruned`, `unneeded` (planned for adaptive seeds, which did without it), `missing` (planned, not ended and not running).

    Raises:
        InputError: as `load_results`.
        StoreDamagedError: as `load_results`.
    """
    if is_published(location):
        results = _read_published(Path(location))
        trials, planned = results.trials, planned_counts(results).groupby("algorithm", sort=False)["planned"].sum()
    else:
        _find(location)
        engine = connect(location, writing=False)
        try:
            with translated(location), engine.connect() as connection:
                rows = connection.execute(sa.select(TRIALS.c.algorithm, TRIALS.c.status, TRIALS.c.position)).all()
        finally:
            engine.dispose()
        trials = pd.DataFrame(rows, columns=["algorithm", "status", "position"]).sort_values("position")
        planned = trials["algorithm"].value_counts(sort=False)
    counts = pd.crosstab(trials["algorithm"], trials["status"].replace("pending", "missing"))
    counts = counts.reindex(index=list(dict.fromkeys(trials["algorithm"])), columns=list(STATUSES), fill_value=0)
    counts["missing"] += planned.reindex(counts.index) - counts.sum(axis=1)
    counts.columns.name = None
    return counts
