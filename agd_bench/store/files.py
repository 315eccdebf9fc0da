"""Export results as CSV and Parquet, with a data dictionary."""

from __future__ import annotations

import errno
import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pandas as pd

from agd_bench.errors import StorageFullError, StoreError
from agd_bench.store.equal_networks import condense
from agd_bench.store.reader import PROVENANCE, ROWS
from agd_bench.store.results import Results
from agd_bench.store.schema import EQUALS, EVIDENCE, OPTIONAL, TABLES, dictionary, dictionary_markdown

# about 10 MB of CSV, which reviews and diffs no longer show; as Parquet a fifth of that
MOST_CSV_ROWS = 100_000
"""Rows of a table from which on published folders hold it as Parquet."""
BESIDE = ".writing-"
"""Prefix of the name of a folder that is being written."""


def write_rows(results: Results, folder: Path, condensed: bool = False) -> list[Path]:
    """Write the sweep, the metadata, and the tables as CSV. Empty optional tables are omitted.

    `load_results` reads the folder; floating-point numbers round-trip exactly.

    Args:
        results: results to write.
        folder: created if it does not exist; existing files are replaced.
        condensed: whether to write what published folders hold: without rows that follow from an equal network's, each provenance once, and
            large tables as Parquet; `load_results` restores the rows.

    Returns:
        The files written.

    Raises:
        StorageFullError: no space is left.
        StoreError: the folder cannot be written.
    """
    tables = {table: getattr(results, table) for table in (*TABLES, *EVIDENCE)}
    texts = {"sweep.json": results.sweep.model_dump_json(indent=2) + "\n"}
    if condensed:
        tables = condense(tables)
        tables["attempts"], provenances = _numbered(tables["attempts"])
        texts[PROVENANCE] = json.dumps(provenances, indent=1, sort_keys=True) + "\n"
    kept = {table: rows for table, rows in tables.items() if len(rows) or table not in (*OPTIONAL, EQUALS)}
    # a CSV file that lost whole lines at its end still parses; only the counts reveal it
    meta = {**results.meta, ROWS: {table: len(rows) for table, rows in kept.items()}}
    texts["meta.json"] = json.dumps(meta, indent=2, sort_keys=True) + "\n"
    large = {table for table, rows in kept.items() if condensed and len(rows) > MOST_CSV_ROWS}
    names = {table: f"{table}.{'parquet' if table in large else 'csv'}" for table in kept}
    with _reporting_faults(folder):
        folder.mkdir(parents=True, exist_ok=True)
        for name, text in texts.items():
            (folder / name).write_text(text, encoding="utf-8", newline="\n")
        for table, rows in kept.items():
            if table in large:
                rows.to_parquet(folder / names[table], index=False, compression="zstd")
            else:
                # pandas writes the shortest digits that read back as the same float64; "\n" on every system, for equal digests
                rows.to_csv(folder / names[table], index=False, lineterminator="\n")
    return [folder / name for name in (*texts, *names.values())]


def _numbered(attempts: pd.DataFrame) -> tuple[pd.DataFrame, list[dict[str, Any]]]:
    """Return attempts that refer to a list of provenances by place, and the list: a thousand attempts have a handful of them."""
    texts = list(attempts["provenance"].dropna().unique())
    places = attempts["provenance"].map({text: str(place) for place, text in enumerate(texts)}, na_action="ignore")
    return attempts.assign(provenance=places.astype("str")), [json.loads(text) for text in texts]


def export(results: Results, folder: Path) -> list[Path]:
    """Write the files of `write_rows`, the tables as Parquet, and the data dictionary.

    Args:
        results: results to write.
        folder: created if it does not exist; existing files are replaced.

    Returns:
        The files written.

    Raises:
        StorageFullError: no space is left.
        StoreError: the folder cannot be written.
    """
    texts = {"dictionary.json": json.dumps(dictionary(), indent=2) + "\n", "DICTIONARY.md": dictionary_markdown()}
    with written_beside(folder) as beside:
        written = write_rows(results, beside)
        for name, text in texts.items():
            (beside / name).write_text(text, encoding="utf-8", newline="\n")
        written += [beside / name for name in texts] + write_parquet_tables(results, beside)
    return [folder / path.name for path in written]


def write_parquet_tables(results: Results, folder: Path) -> list[Path]:
    """Write each table as Parquet; optional ones only if they have rows.

    Args:
        results: results to write.
        folder: exists.

    Returns:
        The files, named after the tables.
    """
    written = []
    for table in (*TABLES, *EVIDENCE):
        rows: pd.DataFrame = getattr(results, table)
        if table not in OPTIONAL or len(rows):
            written.append(folder / f"{table}.parquet")
            rows.to_parquet(written[-1], index=False, compression="zstd")
    return written


@contextmanager
def written_beside(folder: Path, last: str = "") -> Iterator[Path]:
    """Context with a temporary folder; its files replace those of the same names in `folder` once all are written.

    Args:
        folder: if new, it appears with all its files at once; in an existing one, other files stay.
        last: name of the file that is moved into place after all others.

    Raises:
        StorageFullError: no space is left.
        StoreError: the folder cannot be written.
    """
    with _reporting_faults(folder):
        # replacing is atomic only within one file system
        home = folder if folder.is_dir() else folder.parent
        home.mkdir(parents=True, exist_ok=True)
        for left in home.glob(f"{BESIDE}*"):
            if _is_abandoned(left):
                shutil.rmtree(left, ignore_errors=True)
        with TemporaryDirectory(prefix=f"{BESIDE}{os.getpid()}-", dir=home) as name:
            # a folder of its own, as that of TemporaryDirectory is closed to other users
            beside = Path(name) / "files"
            beside.mkdir()
            # a full disk or any other fault inside the block leaves the files of `folder` unchanged
            try:
                yield beside
            except StoreError as error:  # of a writer that knows `beside` only
                raise type(error)(str(error).replace(str(beside), str(folder))) from None
            if home is not folder:
                beside.rename(folder)
                return
            # `last` (a manifest) describes the other files, so it must not arrive before them
            for path in sorted(beside.rglob("*"), key=lambda path: (path.name == last, path)):
                if path.is_file():
                    (folder / path.relative_to(beside)).parent.mkdir(parents=True, exist_ok=True)
                    path.replace(folder / path.relative_to(beside))


def _is_abandoned(left: Path) -> bool:
    """Whether a temporary folder was left by a killed writer; its name contains the process id."""
    number = left.name.removeprefix(BESIDE).partition("-")[0]
    # in a container, every command may have the same process id
    if not number.isdigit() or int(number) == os.getpid():
        return True
    try:
        os.kill(int(number), 0)  # 0: no signal, only the check
    except OSError as error:
        return error.errno == errno.ESRCH
    return False


@contextmanager
def _reporting_faults(folder: Path) -> Iterator[None]:
    """Translate errors of writing to a folder to agd-bench's."""
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):  # EDQUOT: the quota of the user
            raise StorageFullError(f"{folder}: no space left; free some space and run the same command again") from None
        raise StoreError(f"{folder}: cannot be written: {error.strerror or error}; choose another folder") from None
