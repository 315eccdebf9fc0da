"""A page for each algorithm over all boards, and the page that lists every entry of every board."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pandas as pd

from agd_bench import plugins
from agd_bench.analysis.rows import Group, split_groups
from agd_bench.errors import AgdBenchError
from agd_bench.report.cells import Cell, Column, Table, make_table
from agd_bench.report.comparison import Comparison
from agd_bench.report.page import write_page
from agd_bench.report.pairs import COLUMNS as PAIR_COLUMNS
from agd_bench.report.pairs import against, pair_rows
from agd_bench.report.sections import Section
from agd_bench.report.surroundings import Surroundings
from agd_bench.store import Results

PAGES = "algorithms"
"""Folder of the pages of algorithms."""
WHERE = (
    Column("Board", "the leaderboard", numeric=False),
    Column("Comparison", "search space, data set, parameters of the networks", numeric=False, prose=True),
)
PAPER = {"PAPER": "Paper", "LICENCE": "Licence", "TIER": "Tier"}
"""Facts of a plug-in that its page states."""


@dataclass(frozen=True)
class Standing:
    """One entry in one comparison of a board.

    Attributes:
        algorithm: name of the plug-in.
        label: on the board.
        anchor: of the comparison.
        group: search space, data set, profile.
        where: the cells of `WHERE`; the first links to the entry's row on the board.
        columns: of the board's standings.
        cells: of the entry's row there.
        rivals: rows of `pair_rows`, with this entry as the first of each pair.
    """

    algorithm: str
    label: str
    anchor: str
    group: Group
    where: tuple[Cell, ...]
    columns: tuple[Column, ...]
    cells: tuple[Cell, ...]
    rivals: tuple[dict[str, Any], ...]

    def cell(self, label: str) -> Cell:
        """The cell of the standings in the column with this heading; a dash if the board has no such column."""
        return next((cell for column, cell in zip(self.columns, self.cells, strict=True) if column.label == label), Cell("–", ""))


def address_of(algorithm: str) -> str:
    """The page of an algorithm, relative to the site's folder."""
    return f"{PAGES}/{quote(algorithm)}.html"


def standings_of(
    link: str, board: str, results: Results, tables: Mapping[str, pd.DataFrame], sections: Sequence[Section]
) -> list[Standing]:
    """The entries of a board in each of its comparisons.

    Args:
        link: the board's folder, quoted for a URL.
        board: its name.
        results: its rows.
        tables: `aggregates` of them.
        sections: of its page.
    """
    named = {choice.label: choice.name for choice in results.sweep.algorithms}
    found = []
    for section, own in zip(sections, split_groups(tables).values(), strict=True):
        rows = pair_rows(Comparison(section.group, section.id, own, results.sweep.baseline_label, tuple(named)))
        table = section.overview.standings
        for cells, anchor in zip(table.rows, table.anchors, strict=True):
            label = cells[1].text
            where = (Cell(board, board, f"{link}/index.html#{anchor}"), Cell(section.title, section.title))
            found.append(
                Standing(
                    named[label], label, f"{link}-{section.id}", section.group, where, table.columns, cells, tuple(against(rows, label))
                )
            )
    return found


def write_algorithm_pages(standings: Sequence[Standing], site: Path, above: Surroundings, around: Surroundings) -> None:
    """Write the list of all entries, and a page for each algorithm.

    Args:
        standings: of all boards.
        site: the site's folder.
        above: the other pages as seen from the list.
        around: the same as seen from a page.
    """
    said = "Every entry of every board. An algorithm's page compares it with every other entry of its boards."
    table = _list(standings, "", True)
    write_page(
        site / f"{PAGES}.html",
        "site.html.jinja",
        around=above,
        title="Algorithms",
        lead=[said],
        facts=[],
        picture=None,
        tables=[table],
        cards=True,
    )
    for algorithm in dict.fromkeys(standing.algorithm for standing in standings):
        own = [standing for standing in standings if standing.algorithm == algorithm]
        lead, facts = _about(algorithm)
        tables = [_list(own, "../", False), *(_rivals(standing) for standing in own)]
        write_page(
            site / PAGES / f"{algorithm}.html", "site.html.jinja", around=around, title=algorithm, lead=lead, facts=facts, picture=None,
            tables=tables, cards=True,
        )  # fmt: skip


def _about(algorithm: str) -> tuple[list[str], list[tuple[str, str, str]]]:
    """What the plug-in states about itself, if this installation has it."""
    try:
        facts = plugins.describe(plugins.locate("algorithms", algorithm))
    except AgdBenchError:  # an entry's plug-in need not be installed here
        return [], []
    return [str(facts["summary"])], [(title, str(facts[name]), "") for name, title in PAPER.items() if facts.get(name)]


def _list(standings: Sequence[Standing], up: str, every: bool) -> Table:
    """The standings of some entries.

    Args:
        standings: in order.
        up: path to the site's folder.
        every: whether they are of every algorithm, so that the algorithm links to its page.
    """
    shown = ("Place", "Tier", "Accuracy, %", "Difference, points", "Charged cost", "Same ranking?", "Unsuccessful", "Checked")
    columns = {column.label: column for standing in standings for column in standing.columns}
    rows = []
    for one in standings:
        page = f"{up}{address_of(one.algorithm)}" if every else f"#{one.anchor}-{one.label}"
        board, *where = one.where
        place = Cell(board.text, board.value, f"{up}{board.link}")
        rows.append((Cell(one.label, one.label, page), place, *where, *(one.cell(name) for name in shown)))
    heads = (Column("Algorithm", "label of the entry", numeric=False), *WHERE, *(columns.get(name, Column(name, name)) for name in shown))
    facets = {
        "board": [one.where[0].text for one in standings],
        "search space": [one.group[0] for one in standings],
        "data set": [one.group[1] for one in standings],
    }
    facets["tier"] = [one.cell("Tier").text for one in standings]
    return Table(
        "entries", "Places on all boards" if every else "Places", heads, tuple(rows), len(rows), "", filterable=every, facets=facets
    )


def _rivals(standing: Standing) -> Table:
    """An entry against every other of its comparison."""
    board, comparison = (cell.text for cell in standing.where)
    name = f"{standing.anchor}-{standing.label}"
    records = [dict(row) for row in standing.rivals]
    made = make_table(name, f"{standing.label} against every other entry of {board} ({comparison})", PAIR_COLUMNS[1:], records, "")
    return Table(made.id, made.caption, made.columns, made.rows, made.total, "", anchors=tuple(f"{name}-{row['other']}" for row in records))
