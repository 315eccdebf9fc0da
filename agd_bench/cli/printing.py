"""Tables for people and for scripts."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd


def print_table(table: pd.DataFrame, as_json: bool) -> None:
    """A table for people, or as JSON for scripts (missing values as null)."""
    if as_json:
        print(table.to_json(orient="records", indent=2))
    elif table.empty:
        print("(nothing)")
    else:
        from rich.console import Console
        from rich.table import Table

        shown = Table(box=None, padding=(0, 2, 0, 0))
        for name in table.columns:
            numeric = str(table[name].dtype).startswith(("int", "float", "Int", "Float"))
            shown.add_column(str(name), justify="right" if numeric else "left", overflow="fold")
        for row in table.itertuples(index=False):
            shown.add_row(*(_cell(value) for value in row))
        Console(width=None if sys.stdout.isatty() else 200).print(shown, highlight=False, markup=False)


def print_markdown(table: pd.DataFrame) -> None:
    """A table as Markdown, for pages."""
    for row in [list(table.columns), ["---"] * len(table.columns), *table.itertuples(index=False)]:
        print(f"| {' | '.join(_cell(value).replace('|', '&#124;') for value in row)} |")


def _cell(value: Any) -> str:
    if isinstance(value, int) and abs(value) >= 10_000:
        return f"{value:,}" if abs(value) < 10**9 else f"{value:.3g}"
    if value is None or value != value:  # null and NaN, which alone differs from itself
        return "–"
    return f"{value:.4g}" if isinstance(value, float) else str(value)
