"""What makes a published folder a repository of a data hub: the README's front matter, and the types of its tables.

The hub's `datasets` library guesses the types of CSV columns from the first file, which fails where a column is empty in one entry and
filled in another. `.huggingface.yaml` states them; it is not part of the README, whose first screen is for people.

References:
    Hugging Face Hub documentation, Data files configuration; Dataset cards.
"""

from __future__ import annotations

import json

import pandas as pd

from agd_bench.records.competition import ENTRIES
from agd_bench.store import Results, columns_of
from agd_bench.store.entry_rows import ABOUT_ENTRIES
from agd_bench.store.files import MOST_CSV_ROWS
from agd_bench.store.schema import OPTIONAL, TABLES, Column, Table

TYPES = ".huggingface.yaml"
LICENCE = "mit"
TAGS = ("neural-architecture-search", "hyperparameter-free", "benchmark", "agd-bench")


def front_matter(results: Results) -> str:
    """Return the metadata at the top of a published README, between two lines of dashes.

    Args:
        results: of the folder.
    """
    named = {"license": LICENCE, "pretty_name": results.sweep.name, "tags": list(TAGS)}
    # JSON values are YAML, whatever a name contains
    return "\n".join(["---", *(f"{key}: {json.dumps(value)}" for key, value in named.items()), "---"])


def describe_tables(results: Results) -> str:
    """Return `.huggingface.yaml`: the files and column types of the raw tables, as JSON, which is YAML.

    Entries that are not ranked are left out, and so are tables that may be stored as Parquet, because a repository has one format.

    Args:
        results: of the folder.
    """
    tables = [table for table in TABLES if table not in OPTIONAL and _largest(results, table) <= MOST_CSV_ROWS]
    files = [{"config_name": table, "data_files": _files(results, table), "keep_default_na": False, "na_values": ""} for table in tables]
    types = [
        {"config_name": table, "features": [{"name": one.name, "dtype": _dtype(one)} for one in columns_of(table)]} for table in tables
    ]
    return json.dumps({"configs": files, "dataset_info": types}, indent=1) + "\n"


def _files(results: Results, table: Table) -> list[str]:
    """The CSV files of a table: of each ranked entry, or of the folder itself."""
    if ABOUT_ENTRIES not in results.meta:
        return [f"{table}.csv"]
    return [f"{ENTRIES}/{choice.label}/{table}.csv" for choice in results.sweep.algorithms]


def _largest(results: Results, table: Table) -> int:
    """Most rows of a table in one file, counted before rows of equal networks are left out."""
    rows: pd.DataFrame = getattr(results, table)
    if ABOUT_ENTRIES not in results.meta:
        return len(rows)
    owners = results.trials.set_index("trial_id")["algorithm"]
    return int(rows["trial_id"].map(owners).value_counts().max()) if len(rows) else 0


def _dtype(column: Column) -> str:
    """The hub's name of a column's type. Its reader of CSV has no integers with missing values."""
    if column.type == "integer":
        return "float64" if column.nullable else "int64"
    return "float64" if column.type == "real" else "string"
