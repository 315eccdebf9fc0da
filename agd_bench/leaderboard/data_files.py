"""The data of a site for programs: `leaderboard.json` and Parquet tables of each leaderboard, and a list of all."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pandas as pd

from agd_bench.leaderboard.audits import badges
from agd_bench.leaderboard.summary import Summary
from agd_bench.leaderboard.verification import Recomputed
from agd_bench.records.audit import Audit
from agd_bench.store import Results
from agd_bench.store.entry_rows import ABOUT_BENCHMARK, ABOUT_ENTRIES
from agd_bench.store.files import write_parquet_tables
from agd_bench.tables.ranking import tabulate_ranking

FORMAT = 1
"""Version of the keys of both JSON files."""
INDEX, BOARD = "leaderboards.json", "leaderboard.json"


def write_data(folder: Path, found: Recomputed, about: Summary, state: str, audits: tuple[Audit, ...]) -> None:
    """Write `leaderboard.json`, and `data/TABLE.parquet` for each table of raw rows. Equal rows give equal bytes.

    Args:
        folder: of the leaderboard's page; exists.
        found: what was recomputed from the published folder.
        about: its line in lists.
        state: whether the published numbers were recomputed.
        audits: of the published folder.
    """
    (folder / "data").mkdir(exist_ok=True)
    files = write_parquet_tables(found.results, folder / "data")
    results = found.results
    text = _json(
        {
            "format": FORMAT,
            "name": about.name,
            "description": results.sweep.description,
            "state": state,
            "finding": about.finding,
            "baseline": results.sweep.baseline_label,
            "benchmark": _stated(results, ABOUT_BENCHMARK),
            "entries": _stated(results, ABOUT_ENTRIES),
            "ranking": plain_rows(tabulate_ranking(found.tables)),
            "reruns": badges(results, audits),
            "claims": plain_rows(found.claims[["id", "state", "sentence", "digest"]]),
            "files": {path.stem: f"data/{path.name}" for path in files},
        }
    )
    (folder / BOARD).write_text(text, encoding="utf-8", newline="\n")


def write_list(folder: Path, lines: Iterable[tuple[str, str, str, Summary]]) -> None:
    """Write `leaderboards.json`: each leaderboard with its kind, folder, state and summary.

    Args:
        folder: of the site.
        lines: kind, folder (empty for one that cannot be read), state and summary of each.
    """
    boards = [
        {"kind": kind, "folder": link, "file": f"{link}/{BOARD}" if link else None, "state": state, **dataclasses.asdict(about)}
        for kind, link, state, about in lines
    ]
    (folder / INDEX).write_text(_json({"format": FORMAT, "leaderboards": boards}), encoding="utf-8", newline="\n")


def plain_rows(table: pd.DataFrame) -> list[dict[str, Any]]:
    """Return rows with numbers and texts that JSON has; None for a missing value.

    >>> plain_rows(pd.DataFrame({"name": ["a"], "value": [float("nan")]}))
    [{'name': 'a', 'value': None}]
    """
    missing, objects = table.isna(), table.astype(object)
    return [{str(key): value for key, value in row.items()} for row in objects.mask(missing, None).to_dict("records")]


def _stated(results: Results, key: str) -> Any:
    return json.loads(results.meta[key]) if key in results.meta else None


def _json(content: dict[str, Any]) -> str:
    # NaN is no JSON: a missing value that was not replaced is an error here, not in the reader's program
    return json.dumps(content, indent=1, ensure_ascii=False, allow_nan=False) + "\n"
