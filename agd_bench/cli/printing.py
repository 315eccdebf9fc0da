"""Print tables for users and scripts on any terminal."""

from __future__ import annotations

import codecs
import io
import os
import sys
import unicodedata
from contextlib import suppress
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd

PLAIN_SIGNS = {"–": "-", "−": "-", "─": "-", "·": ".", "×": "x", "→": "->", "←": "<-", "✓": "+", "✗": "x", "±": "+-", "≥": ">=", "≤": "<="}
"""Replacements for our signs on terminals that cannot show them; others are decomposed, and Greek letters are spelt out."""


def prepare_streams() -> None:
    """Make standard output and error print plain signs instead of raising if their encoding does not support a character."""
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:  # closed by the parent process, as for daemons
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8", newline="\n"))  # noqa: SIM115 for as long as the process lives
    codecs.register_error("agd_bench.plain", _plain)
    for stream in (sys.stdout, sys.stderr):
        # Test runners and notebooks replace the streams with objects without `reconfigure`.
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="agd_bench.plain")


def _plain(error: UnicodeError) -> tuple[str, int]:
    """Replacement for unsupported characters, and the position at which to continue."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    return "".join(_plain_sign(sign) for sign in error.object[error.start : error.end]), error.end


def _plain_sign(sign: str) -> str:
    decomposed = unicodedata.normalize("NFKD", sign).encode("ascii", "ignore").decode()
    script, _, letter = unicodedata.name(sign, "?").rpartition(" LETTER ")  # GREEK SMALL LETTER TAU, LATIN CAPITAL LETTER L WITH STROKE
    spelt = letter.partition(" WITH ")[0] if script.endswith("CAPITAL") else letter.partition(" WITH ")[0].lower()
    return PLAIN_SIGNS.get(sign) or decomposed or (spelt if script else "?")


def warn(line: str) -> None:
    """Print a line on standard error. If that is closed or full, the line is lost and nothing else."""
    with suppress(OSError):
        print(line, file=sys.stderr, flush=True)


def print_table(table: pd.DataFrame, as_json: bool) -> None:
    """Print a table for users, or as JSON for scripts (missing values as null)."""
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
        # In a pipe, Rich assumes 80 columns and would wrap names that scripts search for.
        Console(width=None if sys.stdout.isatty() else 200).print(shown, highlight=False, markup=False)


def print_markdown(table: pd.DataFrame) -> None:
    """Print a table as Markdown."""
    for row in [list(table.columns), ["---"] * len(table.columns), *table.itertuples(index=False)]:
        print(f"| {' | '.join(_cell(value).replace('|', '&#124;') for value in row)} |")


def _cell(value: Any) -> str:
    if isinstance(value, int) and abs(value) >= 10_000:
        return f"{value:,}" if abs(value) < 10**9 else f"{value:.3g}"
    if value is None or value != value:  # only NaN differs from itself
        return "–"
    return f"{value:.4g}" if isinstance(value, float) else str(value)
