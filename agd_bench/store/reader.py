"""Read a run or a published leaderboard: its tables, sweep and meta data."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import sqlalchemy as sa
from pyarrow import csv

from agd_bench.errors import InputError, StoreDamagedError, StoreError, SweepError
from agd_bench.records import TERMINAL, Sweep, parse_sweep
from agd_bench.records.competition import BENCHMARK, ENTRIES, ENTRY, Part
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
from agd_bench.store.entry_rows import is_board, ranked_entries, read_benchmark, read_entries, unite_entries
from agd_bench.store.equal_networks import expand
from agd_bench.store.manifest import MANIFEST, check_digests
from agd_bench.store.results import Results, planned_counts, typed, without_rows
from agd_bench.store.schema import EQUALS, EVIDENCE, OPTIONAL, TABLES, Column, Table, columns_of
from agd_bench.store.validation import find_faults

PUBLISHED_FILES = ("sweep.json", "meta.json", *(f"{table}.csv" for table in TABLES if table not in OPTIONAL))
PROVENANCE = "provenance.json"
"""In published folders: the different provenances, to whose places in the list the attempts refer."""
ROWS = "rows"
"""Key of `meta.json` with the number of rows of each table, which reveals a truncated file."""
SHOWN_FAULTS = 3
STATUSES = ("done", "running", "diverged", "failed", "refused", "pruned", "unneeded", "missing")


def read_csv(table: Table, path: Path) -> pd.DataFrame:
    """Read an exported table. Only an empty field is a missing value; `NA`, `null` and `nan` are ordinary strings.

    Raises:
        StoreDamagedError: the file is not such a table.
    """
    kinds = {"text": pa.large_string(), "integer": pa.int64(), "real": pa.float64()}
    columns = _columns_in(table, path)
    options = csv.ConvertOptions(
        column_types={column.name: kinds[column.type] for column in columns},
        include_columns=[column.name for column in columns],
        # Arrow's default list has "NA", "null" and "nan", which may be ordinary text
        null_values=[""],
        strings_can_be_null=True,
    )
    try:
        _check_last_line(path)
        # Arrow rounds decimals to the nearest float; pandas' default parser does not
        read = csv.read_csv(path, convert_options=options, parse_options=csv.ParseOptions(newlines_in_values=True))
        values: dict[str, Any] = {}
        for column in columns:
            given = read.column(column.name)
            if column.type == "text":
                values[column.name] = pd.array(given if column.nullable else given.fill_null(""), dtype="str")
            elif given.null_count and not column.nullable:
                raise ValueError(f"column {column.name} has an empty field")
            elif column.type == "integer" and column.nullable:
                # Arrow converts integers with nulls to float64, which would lose digits
                numbers = given.fill_null(0).to_numpy().astype(np.int64)
                values[column.name] = pd.arrays.IntegerArray(numbers, given.is_null().to_numpy())
            else:
                values[column.name] = given.to_numpy()
        return typed(table, pd.DataFrame(values))
    except (ValueError, KeyError, UnicodeDecodeError, OSError) as error:
        raise StoreDamagedError(
            f"{path}: not a table {table!r} in agd-bench's format ({' '.join(str(error).split())}); restore the file"
        ) from None


def _check_last_line(path: Path) -> None:
    """Check that the last line of a file is complete."""
    with path.open("rb") as file:
        file.seek(-1, os.SEEK_END)
        # a truncated number is still a number, so the parser would accept it
        if file.read(1) not in b"\r\n":
            raise ValueError("its last line is cut off")


def _columns_in(table: Table, path: Path) -> list[Column]:
    """Return the expected columns of a table's file. Late columns are expected only if the file has them."""
    try:
        with path.open(encoding="utf-8") as file:
            header = file.readline().rstrip("\n").replace('"', "").split(",")
    except (OSError, UnicodeDecodeError):
        header = []  # `read_csv` reports what is wrong
    return [column for column in columns_of(table) if not column.late or column.name in header]


def read_parquet(table: Table, path: Path) -> pd.DataFrame:
    """Read a table that is too large for CSV.

    Raises:
        StoreDamagedError: the file is not such a table.
    """
    try:
        return typed(table, pd.read_parquet(path, columns=[column.name for column in columns_of(table)]))
    except (ValueError, KeyError, TypeError, OSError, pa.ArrowException) as error:
        raise StoreDamagedError(f"{path}: not a table {table!r} in agd-bench's format ({' '.join(str(error).split())[:200]})") from None


def file_of_table(folder: Path, table: Table) -> Path:
    """Return the file of a table in a published folder: Parquet if it is there, otherwise CSV."""
    large = folder / f"{table}.parquet"
    # an export has both; the CSV is the one that its counts refer to
    return folder / f"{table}.csv" if (folder / f"{table}.csv").exists() or not large.exists() else large


def _with_provenance(attempts: pd.DataFrame, path: Path) -> pd.DataFrame:
    """Replace places in the list of provenances by the provenances."""
    try:
        texts = [json.dumps(one, sort_keys=True) for one in json.loads(path.read_text(encoding="utf-8"))]
        places = attempts["provenance"].map(lambda place: texts[int(place)], na_action="ignore")
    except (OSError, ValueError, IndexError, TypeError, RecursionError) as error:
        raise StoreDamagedError(f"{path}: not the provenances of attempts.csv ({' '.join(str(error).split())[:200]})") from None
    return attempts.assign(provenance=places.astype("str"))


def read_board(board: Path, part: Part = "whole", unchanged: bool = True) -> Results:
    """Return the rows of the ranked entries of a board as those of one run.

    Args:
        board: its folder.
        part: of the benchmark.
        unchanged: whether all files have to be those of the manifests.

    Raises:
        InputError: no benchmark or no entry, or one that cannot be read.
        StoreDamagedError: rows that cannot be read or do not belong to the benchmark.
    """
    benchmark, entries = read_benchmark(board), read_entries(board)
    chosen = ranked_entries(entries, part)
    if not chosen:
        raise InputError(f"{board}: no entry is ranked yet; train one with `agd-bench enter {board} --algorithm {benchmark.baseline}`")
    if unchanged:
        check_digests(board, (BENCHMARK, *(f"{ENTRIES}/{name}/{file}" for name in chosen for file in (ENTRY, MANIFEST))))
    rows = {name: _read_published(board / ENTRIES / name, unchanged) for name in chosen}
    return unite_entries(benchmark, entries, rows, part)


def _read_published(folder: Path, unchanged: bool = True) -> Results:
    there = {table: file_of_table(folder, table) for table in (*TABLES, *EVIDENCE, EQUALS)}
    there = {table: file for table, file in there.items() if table not in (*OPTIONAL, EQUALS) or file.exists()}
    stated = [PROVENANCE] if (folder / PROVENANCE).exists() else []
    try:
        sweep = parse_sweep((folder / "sweep.json").read_text(encoding="utf-8"), "sweep.json")
        meta = dict(json.loads((folder / "meta.json").read_text(encoding="utf-8")).items())
        counts = dict(meta.pop(ROWS, {}))
    except (OSError, ValueError, TypeError, AttributeError, RecursionError, SweepError) as error:
        raise StoreDamagedError(f"{folder}: sweep.json or meta.json cannot be read ({' '.join(str(error).split())[:200]})") from None
    if unchanged:
        check_digests(folder, ("sweep.json", "meta.json", *stated, *(file.name for file in there.values())))
    read = {table: read_parquet(table, file) if file.suffix == ".parquet" else read_csv(table, file) for table, file in there.items()}
    if stated:
        read["attempts"] = _with_provenance(read["attempts"], folder / PROVENANCE)
    for table, rows in read.items():
        # folders of older versions have no counts
        if unchanged and counts.get(table, len(rows)) != len(rows):
            raise StoreDamagedError(
                f"{folder}: {there[table].name} has {len(rows)} rows, but {counts[table]} were written; restore the file"
            )
    tables = {table: read.get(table, without_rows(table)) for table in (*TABLES, *EVIDENCE)}
    if EQUALS in read:
        tables = expand(tables, read[EQUALS])
    # `Results.meta` has strings only; an edited meta.json may have others
    texts = {str(key): value if isinstance(value, str) else json.dumps(value) for key, value in meta.items()}
    return Results(sweep=sweep, **tables, meta=texts)


@contextmanager
def _reading(location: Path | str) -> Iterator[sa.Connection]:
    engine = connect(location, writing=False)
    try:
        with translated(location), engine.connect() as connection:
            yield connection
    finally:
        engine.dispose()


def _read_database(location: Path | str) -> Results:
    with _reading(location) as connection:
        meta = _read_meta(connection, location)
        frames = {}
        for table in TABLES:
            stored = METADATA.tables[table]
            # a run of an older version that was never resumed: readers add no tables
            if table in OPTIONAL and not sa.inspect(connection).has_table(table):
                frames[table] = without_rows(table)
                continue
            present = present_columns(connection, table)
            # readers do not alter the table, as they may not be allowed to write
            wanted = [column.name for column in columns_of(table) if not column.late or column.name in present]
            rows = connection.execute(sa.select(*(stored.c[name] for name in wanted)))
            frames[table] = pd.DataFrame.from_records(rows.all(), columns=list(rows.keys()))
    tables = {table: typed(table, frames[table]) for table in TABLES}
    return Results(sweep=_parse_sweep(location, meta), **tables, meta=meta | {"devices": json.dumps(devices_of(tables["attempts"]))})


def _read_meta(connection: sa.Connection, location: Path | str) -> dict[str, str]:
    """Read the meta data of a run.

    Raises:
        StoreError: the database is empty or belongs to another program.
        StoreDamagedError: the run has another schema version.
    """
    names = set(sa.inspect(connection).get_table_names())
    # a URL can lead to any database: say what is there instead of failing at the first query
    if META.name not in names:
        what = f"contains no run, only the tables {', '.join(sorted(names)[:4])}" if names else "is empty and contains no run"
        raise StoreError(f"{shown(location)}: the database {what}; give the URL that was passed to `agd-bench run --store`")
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


def devices_of(attempts: pd.DataFrame) -> list[str]:
    """Return the sorted names of the devices that attempts ran on."""
    return sorted({json.loads(text).get("device", "") for text in attempts["provenance"].dropna().unique()} - {""})


def _find(location: Path | str) -> None:
    """Check that a location has a run.

    Raises:
        InputError: it has no run and is not a published folder.
        StoreDamagedError: the database is damaged.
    """
    if is_url(location):
        file = file_of(location)
        if file is not None and not file.exists():  # SQLite would create an empty file
            raise InputError(f"{shown(location)}: no such file; give the URL that was passed to `agd-bench run --store`")
        return
    folder = Path(location)
    if not folder.is_dir():
        what = "a file" if folder.exists() else "no such folder"
        raise InputError(
            f"{folder}: {what}; give a run folder (it contains {FILE}) or a published folder (it contains {', '.join(PUBLISHED_FILES)})"
        )
    if not (folder / FILE).exists():
        raise InputError(
            f"{folder}: not a run folder: a run folder contains {FILE}, a published folder {', '.join(PUBLISHED_FILES)}; "
            "give the folder that was passed to `agd-bench run --out`"
        )
    if (folder / FILE).stat().st_size == 0:
        raise InputError(f"{folder}: the run has not written anything yet; start it again with `agd-bench run`")
    check_file(folder / FILE)


def is_published(location: Path | str) -> bool:
    """Return whether a location is a board, or a published folder: all its files exist, and no database."""
    # if both are there, the database is the original
    if is_url(location) or (Path(location) / FILE).exists():
        return False
    folder = Path(location)
    texts = all((folder / name).is_file() for name in ("sweep.json", "meta.json"))
    return is_board(folder) or (texts and all(file_of_table(folder, table).is_file() for table in TABLES if table not in OPTIONAL))


def load_results(location: Path | str) -> Results:
    """Load the results of a run, finished or not, or of a published leaderboard.

    Args:
        location: a run folder, a published folder, or the URL of the run's database.

    Raises:
        InputError: the location has no results.
        StoreDamagedError: the store is corrupt, incomplete, of another version, or contains values that cannot be true.
    """
    return _checked(location, read_results(location))


def read_results(location: Path | str, unchanged: bool = True) -> Results:
    """Read results without checking whether they can be true.

    Args:
        location: as for `load_results`.
        unchanged: whether files of a published folder must match its manifest.

    Raises:
        InputError: as for `load_results`.
        StoreDamagedError: as for `load_results`.
    """
    if not is_url(location):
        location = Path(location).expanduser()
    if is_board(location):
        return read_board(Path(location), unchanged=unchanged)
    if is_published(location):
        return _read_published(Path(location), unchanged)
    _find(location)
    return _read_database(location)


def _checked(location: Path | str, results: Results) -> Results:
    faults = faults_of(results)
    if faults:
        more = f"; and {len(faults) - SHOWN_FAULTS} more" if len(faults) > SHOWN_FAULTS else ""
        raise StoreDamagedError(f"{shown(location)}: {'; '.join(faults[:SHOWN_FAULTS])}{more}; restore the results, or train them again")
    return results


def faults_of(results: Results) -> list[str]:
    """Faults in results that cannot be true; see `find_faults`."""
    return find_faults(results.sweep, {table: getattr(results, table) for table in (*TABLES, *EVIDENCE)}, results.meta)


def _is_untouched(location: Path | str) -> bool:
    """Return whether the file of a run does not exist yet or is empty.

    Raises:
        StoreDamagedError: the database is damaged.
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
    """Return the ids of the trials that have ended, in plan order.

    Args:
        location: a run folder or the URL of a run's database. The run need not have started.

    Raises:
        StoreDamagedError: the database is damaged.
        StoreError: the database cannot be reached.
    """
    if _is_untouched(location):
        return ()
    with _reading(location) as connection:
        if not sa.inspect(connection).has_table(META.name):
            return ()
        ended = sa.select(TRIALS.c.trial_id).where(TRIALS.c.status.in_(TERMINAL)).order_by(TRIALS.c.position)
        return tuple(connection.execute(ended).scalars())


def stored_sweep(location: Path | str) -> Sweep | None:
    """Return the sweep of a run, or None if it has not started.

    Raises:
        StoreDamagedError: the database is damaged.
        StoreError: the database cannot be reached.
    """
    if _is_untouched(location):
        return None
    with _reading(location) as connection:
        if not sa.inspect(connection).has_table(META.name):
            return None
        meta = {row.key: row.value for row in connection.execute(sa.select(META))}
        return _parse_sweep(location, meta) if meta else None


def status(location: Path | str) -> pd.DataFrame:
    """Count the trials of a run by algorithm and status.

    Returns:
        One row per algorithm label (the index, in plan order); columns `done`, `running`, `diverged`, `failed`, `refused`, `pruned`,
        `unneeded` (seeds that the adaptive rule did not need), `missing` (neither ended nor running).

    Raises:
        InputError: as for `load_results`.
        StoreDamagedError: as for `load_results`.
    """
    if is_published(location):
        results = load_results(location)
        trials, planned = results.trials, planned_counts(results).groupby("algorithm", sort=False)["planned"].sum()
    else:
        _find(location)
        with _reading(location) as connection:
            _read_meta(connection, location)
            rows = connection.execute(sa.select(TRIALS.c.algorithm, TRIALS.c.status, TRIALS.c.position)).all()
        trials = pd.DataFrame(rows, columns=["algorithm", "status", "position"]).sort_values("position")
        planned = trials["algorithm"].value_counts(sort=False)
    counts = pd.crosstab(trials["algorithm"], trials["status"].replace("pending", "missing"))
    # crosstab sorts labels; the order of the plan is that of the sweep
    counts = counts.reindex(index=list(dict.fromkeys(trials["algorithm"])), columns=list(STATUSES), fill_value=0)
    # published folders leave out trials that never started; the plan still counts them
    counts["missing"] += planned.reindex(counts.index) - counts.sum(axis=1)
    counts.columns.name = None
    return counts
