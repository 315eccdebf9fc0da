"""Tables of the page: cells with their text and the value they sort by."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pandas as pd

from agd_bench.analysis.rows import Row, known
from agd_bench.report.sentences import duration

MISSING = "–"


@dataclass(frozen=True)
class Cell:
    """One cell.

    Attributes:
        text: as displayed.
        value: what it sorts by: a number with six digits as text, or the text itself.
        link: address of a page about it; empty: none.
    """

    text: str
    value: str
    link: str = ""


@dataclass(frozen=True)
class Column:
    """One column.

    Attributes:
        label: heading.
        meaning: what it holds.
        key: of its values in the records.
        write: formats a value.
        numeric: whether it holds numbers.
        prose: whether it holds prose that needs width.
    """

    label: str
    meaning: str
    key: str = ""
    write: Callable[[Any], str] = str
    numeric: bool = True
    prose: bool = False


ALGORITHM = Column("Algorithm", "label in the sweep", "algorithm", numeric=False)


@dataclass(frozen=True)
class Table:
    """A table of the page.

    Attributes:
        id: anchor in the page.
        caption: the content and the order of the rows.
        columns: headings; the cells of the first column are row headings.
        rows: cells, one per column.
        total: number of rows; long tables show fewer.
        data: path of the CSV file with all rows, relative to the page.
        filterable: whether a search box filters the rows.
        anchors: id of each row, so that a link can point to it; empty: none.
        facets: by name, the values of each row, separated by `|`; a menu for each name filters the rows.
    """

    id: str
    caption: str
    columns: tuple[Column, ...]
    rows: tuple[tuple[Cell, ...], ...]
    total: int
    data: str
    filterable: bool = False
    anchors: tuple[str, ...] = ()
    facets: Mapping[str, Sequence[str]] = field(default_factory=dict)

    @property
    def menus(self) -> dict[str, list[str]]:
        """The values to choose from, by name; names with fewer than two are left out."""
        values = {name: sorted({value for row in rows for value in row.split("|") if value}) for name, rows in self.facets.items()}
        return {name: found for name, found in values.items() if len(found) > 1}


def cell(value: Any, write: Callable[[Any], str] = str) -> Cell:
    """A cell; a missing value is shown as a dash and sorts last.

    >>> cell(0.25, per_cent), cell(float("nan"), per_cent)
    (Cell(text='25.0', value='0.25', link=''), Cell(text='–', value='', link=''))
    """
    if value is None or value is pd.NA or (isinstance(value, float) and math.isnan(value)):
        return Cell(MISSING, "")
    # Six digits are enough for sorting and keep the page small.
    return Cell(write(value), f"{value:.6g}" if isinstance(value, float) else str(value))


def per_cent(share: float) -> str:
    """A share in [0, 1] as per cent."""
    return f"{100 * share:.1f}"


def scientific(value: float) -> str:
    """A large number with three digits.

    >>> scientific(1234567890.0), scientific(0.0)
    ('1.23e9', '0')
    """
    # Python pads exponents to two digits: 1.23e+09.
    return "0" if value == 0 else f"{value:.2e}".replace("e+0", "e").replace("e+", "e")


def significant(value: float) -> str:
    """A number of any size with three digits.

    >>> significant(0.0123456), significant(-2.5e-7)
    ('0.0123', '-2.5e-07')
    """
    return f"{value:.3g}"


def place(rank: float) -> str:
    """A rank; tied ranks can end in a half."""
    return f"{rank:g}"


def make_table(
    id: str,
    caption: str,
    columns: tuple[Column, ...],
    records: Sequence[dict[str, Any]],
    data: str,
    total: int | None = None,
    filterable: bool = False,
) -> Table:
    """The table of some records; `total` is their number unless there are more."""
    rows = tuple(tuple(cell(record[column.key], column.write) for column in columns) for record in records)
    return Table(id, caption, columns, rows, len(records) if total is None else total, data, filterable)


def times(ratio: float) -> str:
    """A ratio."""
    return f"{ratio:.2f}"


def multiple(ratio: float) -> str:
    """A cost as a multiple.

    >>> multiple(1.004), multiple(3.02), multiple(12.4)
    ('1×', '3.0×', '12×')
    """
    return "1×" if round(ratio, 2) == 1 else f"{ratio:.0f}×" if ratio >= 10 else f"{ratio:.1f}×" if ratio >= 2 else f"{ratio:.2f}×"


def signed(value: float) -> str:
    """A number with its sign, two decimals."""
    return f"{value:+.2f}".replace("-", "−")


def points_lost(share: float) -> str:
    """A difference of shares in percentage points, with its sign."""
    return f"{100 * share:+.1f}".replace("-", "−")


def p_value(p: float) -> str:
    """A p-value.

    >>> p_value(0.0002), p_value(0.0312), p_value(0.4567)
    ('< 0.001', '0.031', '0.46')
    """
    # A third decimal only near the usual levels, where it can matter for a decision.
    return "< 0.001" if p < 0.001 else f"{p:.3f}" if p < 0.1 else f"{p:.2f}"


def seconds(value: float) -> str:
    """Seconds in a readable unit."""
    return duration(value)


def interval(row: Row, low: str, high: str, write: Callable[[Any], str]) -> str | None:
    """Two bounds of a row in one cell, without line breaks; None where they are not known."""
    return f"{write(row[low])}\N{NO-BREAK SPACE}to\N{NO-BREAK SPACE}{write(row[high])}" if known(row, low, high) else None
