"""Export results as CSV and Parquet, with a data dictionary."""

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
    """Write the sweep, the meta data, and the tables as CSV. Empty optional tables are omitted.

    `load_results` reads the folder; floating-point numbers round-trip exactly.

    Args:
        results: what to write.
        folder: created if it does not exist; existing files are replaced.
        condensed: whether to omit rows that follow from an equal network's; `load_results` restores them.

    Returns:
        The files written.

    Raises:
        StorageFullError: no space is left.
        StoreError: the folder cannot be written.
    """
    texts = {
        "sweep.json": results.sweep.model_dump_json(indent=2) + "\n",
        "meta.json": json.dumps(results.meta, indent=2, sort_keys=True) + "\n",
    }
    tables = {table: getattr(results, table) for table in (*TABLES, *EVIDENCE)}
    tables = condense(tables) if condensed else tables
    kept = {f"{table}.csv": rows for table, rows in tables.items() if len(rows) or table not in (*OPTIONAL, EQUALS)}
    with _reporting_faults(folder):
        folder.mkdir(parents=True, exist_ok=True)
        for name, text in texts.items():
            (folder / name).write_text(text, encoding="utf-8", newline="\n")
        for name, rows in kept.items():
            rows.to_csv(folder / name, index=False, lineterminator="\n")
    return [folder / name for name in (*texts, *kept)]


def export(results: Results, folder: Path) -> list[Path]:
    """Write the files of `write_rows`, the tables as Parquet, and the data dictionary.

    Args:
        results: what to write.
        folder: created if it does not exist; existing files are replaced.

    Returns:
        The files written.

    Raises:
        StorageFullError: no space is left.
        StoreError: the folder cannot be written.
    """
    texts = {"dictionary.json": json.dumps(dictionary(), indent=2) + "\n", "DICTIONARY.md": dictionary_markdown()}
    written = write_rows(results, folder)
    with _reporting_faults(folder):
        for name, text in texts.items():
            (folder / name).write_text(text, encoding="utf-8", newline="\n")
        for table in _tables(results):
            getattr(results, table).to_parquet(folder / f"{table}.parquet", index=False)
    return written + [folder / name for name in texts] + [folder / f"{table}.parquet" for table in _tables(results)]


def _tables(results: Results) -> list[Table]:
    """Return the tables to write: optional ones only if they have rows."""
    return [table for table in (*TABLES, *EVIDENCE) if table not in OPTIONAL or len(getattr(results, table))]


@contextmanager
def _reporting_faults(folder: Path) -> Iterator[None]:
    """Translate errors of writing to a folder to agd-bench's."""
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise StorageFullError(f"{folder}: no space left for the export; free some space and export again") from None
        raise StoreError(f"{folder}: cannot be written: {error.strerror or error}; give another folder") from None
