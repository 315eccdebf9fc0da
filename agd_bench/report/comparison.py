"""Input and output of the parts of a report: one comparison group, and the pictures and tables that show it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import pandas as pd

from agd_bench.analysis.rows import Group, group_title, records
from agd_bench.figures import Drawing
from agd_bench.report.cells import Table
from agd_bench.report.surroundings import ALONE, Surroundings


@dataclass(frozen=True)
class Comparison:
    """One comparison group with its rows from every table.

    Attributes:
        group: search space, data set, profile.
        anchor: prefix of the names of its figures and tables.
        tables: the group's rows of every table of `aggregates`, by name.
        baseline: label of the algorithm that the others are compared with.
        algorithms: labels, in the order of the sweep.
        around: the other pages of a site, and what audits found.
    """

    group: Group
    anchor: str
    tables: Mapping[str, pd.DataFrame]
    baseline: str
    algorithms: tuple[str, ...]
    around: Surroundings = ALONE

    @property
    def rivals(self) -> tuple[str, ...]:
        """The algorithms compared with the baseline; empty if the baseline is missing."""
        return tuple(label for label in self.algorithms if label != self.baseline) if self.baseline in self.algorithms else ()

    @property
    def title(self) -> str:
        """Description of the group."""
        return group_title(self.group)

    def against(self, name: str, rival: str) -> pd.DataFrame:
        """Rows of a table about one rival of the baseline.

        Args:
            name: of a table with the columns `baseline` and `challenger`.
            rival: the challenger's label.
        """
        table = self.tables[name]
        # An empty table may have no columns.
        return table[table["challenger"] == rival].reset_index(drop=True) if "challenger" in table else table

    def records(self, name: str) -> list[dict[str, Any]]:
        """Rows of a table as dictionaries; empty if the table was left out."""
        return records(self.tables, name)


@dataclass(frozen=True)
class Part:
    """A part of a section: the content under one heading.

    Attributes:
        title: the heading.
        drawings: its pictures.
        tables: its tables.
        notes: a sentence for each thing that cannot be shown from the data.
        folded: whether it is collapsed at first.
    """

    title: str
    drawings: tuple[Drawing, ...]
    tables: tuple[Table, ...]
    notes: tuple[str, ...]
    folded: bool = False

    @property
    def shown(self) -> bool:
        """Whether the part has content."""
        return bool(self.drawings or self.tables or self.notes)


Shown = Drawing | Table | str
Builder = Callable[[Comparison], Iterator[Shown]]
"""Yields the content for a comparison; a sentence says why something cannot be shown, and no output means it does not apply."""


def make_part(comparison: Comparison, title: str, builders: tuple[Builder, ...], folded: bool = False) -> Part:
    """Build the part of a section with the output of these builders under one heading.

    Args:
        comparison: the group.
        title: the heading.
        builders: in the order of the page.
        folded: whether the part is collapsed at first.
    """
    shown = [item for build in builders for item in build(comparison)]
    return Part(
        title,
        tuple(item for item in shown if isinstance(item, Drawing)),
        tuple(item for item in shown if isinstance(item, Table)),
        tuple(item for item in shown if isinstance(item, str)),
        folded,
    )
