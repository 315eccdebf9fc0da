"""Read a run or a published leaderboard: three tables, the sweep and what is known of its making. No torch, no Ray."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import sqlalchemy as sa

from agd_bench.errors import InputError, StoreDamagedError
from agd_bench.records import Sweep
from agd_bench.store.columns import TABLES, Column, Table, columns_of, dictionary_text
from agd_bench.store.database import FILE, META, METADATA, TRIALS, check_file, connect, is_url, shown, translated

PUBLISHED_FILES = ("sweep.json", "meta.json", *(f"{table}.csv" for table in TABLES))
STATUSES = ("done", "running", "diverged", "failed", "refused", "pruned", "missing")


@dataclass(frozen=True)
class Results:
    """Everything that a run or a published folder says.

    Attributes:
        sweep: what was asked.
        trials: one row per planned trial, in plan order.
        curves: one row per trial and epoch.
        attempts: one row per execution of a trial.
        meta: strings by key: `created_at`, `versions`, `plugin_digests`, `devices` (JSON) and what a publisher added.

    Columns:
    """

    sweep: Sweep
    trials: pd.DataFrame
    curves: pd.DataFrame
    attempts: pd.DataFrame
    meta: dict[str, str]


Results.__doc__ = f"{Results.__doc__}\n{dictionary_text()}\n"

SORTING: dict[Table, list[str]] = {"trials": ["position"], "curves": ["trial_id", "epoch"], "attempts": ["trial_id", "attempt"]}


def _dtype(column: Column) -> str:
    """The pandas type of a column: missing integers need the nullable one, missing reals are NaN."""
    if column.type == "integer":
        return "Int64" if column.nullable else "int64"
    return "float64" if column.type == "real" else "str"


def typed(table: Table, frame: pd.DataFrame) -> pd.DataFrame:
    """A table with its columns in their order and types, rows sorted."""
    for column in columns_of(table):
        if column.type == "integer" and column.nullable and not pd.api.types.is_numeric_dtype(frame[column.name]):
            frame[column.name] = pd.array([None if pd.isna(value) else int(value) for value in frame[column.name]], dtype="Int64")
    frame = frame.astype({column.name: _dtype(column) for column in columns_of(table)})
    return frame[[column.name for column in columns_of(table)]].sort_values(SORTING[table], ignore_index=True)


def read_csv(table: Table, path: Path) -> pd.DataFrame:
    """A table as it was exported: only a missing value is empty, and `NA`, `null` or `nan` are texts like others.

    Raises:
        StoreDamagedError: not such a table.
    """
    missing = {column.name: [""] for column in columns_of(table) if column.nullable}
    try:
        # Numbers are converted from text here, because how exactly pandas parses them differs between its versions.
        frame = pd.read_csv(path, dtype=str, keep_default_na=False, na_values=missing)
        return typed(table, frame)
    except (ValueError, KeyError, UnicodeDecodeError, OSError) as error:
        raise StoreDamagedError(
            f"{path}: not a table of {table} as agd-bench writes it ({' '.join(str(error).split())}); restore the file"
        ) from None


def _read_published(folder: Path) -> Results:
    try:
        sweep = Sweep.model_validate_json((folder / "sweep.json").read_text(encoding="utf-8"))
        meta = dict(json.loads((folder / "meta.json").read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError) as error:
        raise StoreDamagedError(f"{folder}: sweep.json or meta.json cannot be read ({' '.join(str(error).split())[:200]})") from None
    tables = {table: read_csv(table, folder / f"{table}.csv") for table in TABLES}
    return Results(sweep, **tables, meta={str(key): value if isinstance(value, str) else json.dumps(value) for key, value in meta.items()})


def _read_database(location: Path | str) -> Results:
    engine = connect(location, writing=False)
    try:
        with translated(location), engine.connect() as connection:
            meta = {row.key: row.value for row in connection.execute(sa.select(META))}
            frames = {}
            for table in TABLES:
                stored = METADATA.tables[table]
                rows = connection.execute(sa.select(*(stored.c[column.name] for column in columns_of(table))))
                frames[table] = pd.DataFrame.from_records(rows.all(), columns=list(rows.keys()))
    finally:
        engine.dispose()
    tables = {table: typed(table, frames[table]) for table in TABLES}
    return Results(_parse_sweep(location, meta), **tables, meta=meta | {"devices": json.dumps(_devices(tables["attempts"]))})


def _parse_sweep(location: Path | str, meta: dict[str, str]) -> Sweep:
    try:
        return Sweep.model_validate_json(meta.pop("sweep"))
    except (KeyError, ValueError) as error:
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


def _is_published(location: Path | str) -> bool:
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
    if _is_published(location):
        return _read_published(Path(location))
    _find(location)
    return _read_database(location)


def status(location: Path | str) -> pd.DataFrame:
    """How far a run is: trials by algorithm and status.

    Args:
        location: as `load_results`.

    Returns:
        One row per algorithm's label (the index, in plan order); columns `done`, `running`, `diverged`, `failed`, `refused`,
        `pruned`, `missing` (planned, not ended and not running).

    Raises:
        InputError: as `load_results`.
        StoreDamagedError: as `load_results`.
    """
    if _is_published(location):
        trials = read_csv("trials", Path(location) / "trials.csv")[["algorithm", "status", "position"]]
    else:
        _find(location)
        engine = connect(location, writing=False)
        try:
            with translated(location), engine.connect() as connection:
                rows = connection.execute(sa.select(TRIALS.c.algorithm, TRIALS.c.status, TRIALS.c.position)).all()
        finally:
            engine.dispose()
        trials = pd.DataFrame(rows, columns=["algorithm", "status", "position"]).sort_values("position")
    counts = pd.crosstab(trials["algorithm"], trials["status"].replace("pending", "missing"))
    counts = counts.reindex(index=list(dict.fromkeys(trials["algorithm"])), columns=list(STATUSES), fill_value=0)
    counts.columns.name = None
    return counts
