"""Results as files that anybody can read: CSV and Parquet, with a dictionary of every column."""

from __future__ import annotations

import errno
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from agd_bench.errors import StorageFullError, StoreError
from agd_bench.store.equal_networks import condense
from agd_bench.store.reader import Results
from agd_bench.store.schema import EQUALS, EVIDENCE, OPTIONAL, TABLES, Table, dictionary, dictionary_markdown


def write_rows(results: Results, folder: Path, condensed: bool = False) -> list[Path]:
    """Write the tables, optional ones if they have rows, as CSV, the sweep and the meta data.

    The folder can be read again by `load_results`; numbers come back exactly.

    Args:
        results: what to write.
        folder: made if it is not there; files of the same names are replaced.
        condensed: whether rows that follow from an equal network's are left out; `load_results` makes them again.

    Returns:
        The files written.

    Raises:
        StorageFullError: no space.
        StoreError: the folder cannot be written.
    """
    texts = {
        "sweep.json": results.sweep.model_dump_json(indent=2) + "\n",
        "meta.json": json.dumps(results.meta, indent=2, sort_keys=True) + "\n",
    }
    tables = {table: getattr(results, table) for table in (*TABLES, *EVIDENCE)}
    tables = condense(tables) if condensed else tables
    kept = {f"{table}.csv": rows for table, rows in tables.items() if len(rows) or table not in (*OPTIONAL, EQUALS)}
    with _told(folder):
        folder.mkdir(parents=True, exist_ok=True)
        for name, text in texts.items():
            (folder / name).write_text(text, encoding="utf-8", newline="\n")
        for name, rows in kept.items():
            rows.to_csv(folder / name, index=False, lineterminator="\n")
    return [folder / name for name in (*texts, *kept)]


def export(results: Results, folder: Path) -> list[Path]:
    """Write what `write_rows` does, the tables as Parquet too, and the data dictionary.

    Args:
        results: what to write.
        folder: made if it is not there; files of the same names are replaced.

    Returns:
        The files written.

    Raises:
        StorageFullError: no space.
        StoreError: the folder cannot be written.
    """
    texts = {"dictionary.json": json.dumps(dictionary(), indent=2) + "\n", "DICTIONARY.md": dictionary_markdown()}
    written = write_rows(results, folder)
    with _told(folder):
        for name, text in texts.items():
            (folder / name).write_text(text, encoding="utf-8", newline="\n")
        for table in _tables(results):
            getattr(results, table).to_parquet(folder / f"{table}.parquet", index=False)
    return written + [folder / name for name in texts] + [folder / f"{table}.parquet" for table in _tables(results)]


def _tables(results: Results) -> list[Table]:
    """Those that are written: optional ones only with rows."""
    return [table for table in (*TABLES, *EVIDENCE) if table not in OPTIONAL or len(getattr(results, table))]


@contextmanager
def _told(folder: Path) -> Iterator[None]:
    """Say in one line why a folder cannot be written."""
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise StorageFullError(f"{folder}: no space left for the export; free some and export again") from None
        raise StoreError(f"{folder}: cannot be written: {error.strerror or error}; give another folder") from None
