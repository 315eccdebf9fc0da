"""Results as files that anybody can read: CSV and Parquet, with a dictionary of every column."""

from __future__ import annotations

import errno
import json
from pathlib import Path

from agd_bench.errors import StorageFullError, StoreError
from agd_bench.store.columns import EVIDENCE, OPTIONAL, TABLES, dictionary, dictionary_markdown
from agd_bench.store.reading import Results


def export(results: Results, folder: Path) -> list[Path]:
    """Write the tables, optional ones if they have rows, as CSV and Parquet, the sweep, the meta data and the data dictionary.

    The folder can be read again by `load_results`; numbers come back exactly.

    Args:
        results: what to write.
        folder: made if it is not there; files of the same names are replaced.

    Returns:
        The files written.

    Raises:
        StorageFullError: no space.
        StoreError: the folder cannot be written.
    """
    texts = {
        "sweep.json": results.sweep.model_dump_json(indent=2) + "\n",
        "meta.json": json.dumps(results.meta, indent=2, sort_keys=True) + "\n",
        "dictionary.json": json.dumps(dictionary(), indent=2) + "\n",
        "DICTIONARY.md": dictionary_markdown(),
    }
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, text in texts.items():
            (folder / name).write_text(text, encoding="utf-8")
        tables = [table for table in (*TABLES, *EVIDENCE) if table not in OPTIONAL or len(getattr(results, table))]
        for table in tables:
            frame = getattr(results, table)
            frame.to_csv(folder / f"{table}.csv", index=False, lineterminator="\n")
            frame.to_parquet(folder / f"{table}.parquet", index=False)
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise StorageFullError(f"{folder}: no space left for the export; free some and export again") from None
        raise StoreError(f"{folder}: cannot be written: {error.strerror or error}; give another folder") from None
    return [folder / name for name in texts] + [folder / f"{table}{suffix}" for table in tables for suffix in (".csv", ".parquet")]
