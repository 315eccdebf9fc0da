"""The site: a page for each published folder, algorithm and architecture, and the pages that list them, built from the raw rows."""

from __future__ import annotations

import dataclasses
import json
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from urllib.parse import quote

from agd_bench.errors import AgdBenchError, InputError, StorageFullError, StoreError
from agd_bench.leaderboard.algorithm_pages import Standing, address_of, standings_of, write_algorithm_pages
from agd_bench.leaderboard.architecture_pages import addresses_of, write_architecture_pages
from agd_bench.leaderboard.data_files import write_data, write_list
from agd_bench.leaderboard.listing import REPRODUCTIONS, Listed, board_folders, list_folders
from agd_bench.leaderboard.publication import README, additions_of, read_manifest, verify_digests
from agd_bench.leaderboard.summary import Summary, reruns_of, summarise
from agd_bench.leaderboard.verification import recompute
from agd_bench.records.competition import ENTRIES, ENTRY
from agd_bench.report import build_report
from agd_bench.report.cells import Cell, Column, Table
from agd_bench.report.page import write_page
from agd_bench.report.sections import make_sections
from agd_bench.report.sentences import count
from agd_bench.report.surroundings import Surroundings
from agd_bench.store import Results, written_beside
from agd_bench.store.entry_rows import ABOUT_ENTRIES
from agd_bench.store.manifest import MANIFEST

QUESTION = (
    "If architectures are trained without tuning, how much accuracy is lost, how much compute is saved, and does their ranking change more "
    "than seed noise alone would change it?"
)
BOARDS = "Algorithms compared on a frozen benchmark, each recomputed from its raw rows. Anybody can add an entry."
EXPERIMENTS = "Single sweeps that answer one question; they are not ranked against each other."
STATES = "Recomputed: every number follows from the raw rows. Claims hold (✓), fail (✗) or are undecided (?)"
TITLES = {"index.html": "Leaderboards", "algorithms.html": "Algorithms", "experiments.html": "Experiments"}
ENTRY_COLUMNS = (
    Column("Entry", "folder of the entry; what it states is in entry.toml", numeric=False),
    Column("Algorithm", "in a line", numeric=False, prose=True),
    Column("Tier", "how its hyperparameters are found", numeric=False),
    Column("Trained on", "devices", numeric=False),
    Column("By", "authors of the entry, if they wish", numeric=False),
    Column("Code", "where the algorithm's code is", numeric=False),
    Column("Part", "whole: ranked; lite: with rows of the lite part only", numeric=False),
    Column("Rows", "one row per trial", numeric=False),
    Column("State", "whether the entry is ranked", numeric=False),
)


def build_site(boards: Path, to: Path) -> Path:
    """Write a static site of all published folders in a folder.

    Boards, experiments and algorithms have a list each; every published folder has a page with figures, tables and raw rows, every
    algorithm one over all boards, and every architecture one on its board. For programs, each folder also has `leaderboard.json` and
    Parquet tables, and `leaderboards.json` lists them. A folder's state is `recomputed` if `verify_folder` finds no difference, else
    `self-reported` with the number of differences.

    Args:
        boards: folder that contains published folders.
        to: target folder; created if it does not exist; files of the same names are replaced.

    Returns:
        The page that lists the boards.

    Raises:
        InputError: `boards` does not exist, or the target contains the published folders or lies inside them.
    """
    if not boards.is_dir():
        raise InputError(f"{boards}: no such folder; give one with published leaderboards")
    if to.resolve() == boards.resolve() or to.resolve().is_relative_to(boards.resolve()):
        raise InputError(f"--to {to} is inside {boards}, which must stay as published; choose another folder")
    competing, others = board_folders(boards)
    standings: list[Standing] = []
    # boards first, because experiments link to the pages of their algorithms
    listed = [_build_folder(board, to / board.name, "index.html", standings) for board in competing]
    known = {standing.algorithm for standing in standings}
    more = [_build_folder(one, to / one.name, "experiments.html", [], known) for one in others]
    to.mkdir(parents=True, exist_ok=True)
    write_list(to, ((kind, one.link, one.state, one.about) for kind, found in (("Boards", listed), ("Experiments", more)) for one in found))
    write_algorithm_pages(standings, to, around_of("", "algorithms.html"), around_of("../", "algorithms.html"))
    reproductions = [
        ("Reproductions", "experiments of papers, repeated here, with the papers' numbers next to ours", f"{REPRODUCTIONS}/index.html")
    ]
    facts = reproductions if (boards / REPRODUCTIONS / README).is_file() else []
    _write_list(to / "experiments.html", [EXPERIMENTS], list_folders("experiments", f"Experiments. {STATES}", more), facts)
    return _write_list(to / "index.html", [QUESTION, BOARDS], list_folders("boards", f"Boards. {STATES}", listed), [])


def around_of(up: str, page: str) -> Surroundings:
    """The lists of the site as seen from a page.

    Args:
        up: path from the page to the site's folder, `../` or empty.
        page: the list that the page belongs to.
    """
    return Surroundings(f"{up}{page}", TITLES[page], {title: f"{up}{other}" for other, title in TITLES.items() if other != page})


def _write_list(page: Path, lead: list[str], table: Table, facts: list[tuple[str, str, str]]) -> Path:
    around, title = around_of("", page.name), TITLES[page.name]
    return write_page(page, "site.html.jinja", around=around, title=title, lead=lead, facts=facts, picture=None, tables=[table], cards=True)


def _build_folder(folder: Path, to: Path, index: str, standings: list[Standing], known: set[str] | None = None) -> Listed:
    """Write the pages of one published folder; for one that cannot be read, return a line with the reason and write no page.

    Args:
        folder: published.
        to: target folder.
        index: the list that it belongs to.
        standings: extended by those of a board.
        known: plug-ins that have a page; None: all of this board, which is a board.
    """
    try:
        differences, found = verify_digests(folder), recompute(folder)
        results, tables = found.results, found.tables
        about, audits = summarise(results, tables, found.claims), additions_of(folder).audits
        named = {choice.label: choice.name for choice in results.sweep.algorithms}
        pages = {label: f"../{address_of(name)}" for label, name in named.items() if known is None or name in known}
        around = dataclasses.replace(
            around_of("../", index), algorithms=pages, reruns=reruns_of(results, audits), entries=_entries(results)
        )
        number = len(differences) + len(found.differences)
        state = f"self-reported ({count(number, 'difference')})" if number else "recomputed"
        with written_beside(to) as beside:
            files = _copy_published(folder, beside)
            around = dataclasses.replace(around, files={name: name for name in files if not name.startswith(f"{ENTRIES}/")})
            if known is None:
                around = dataclasses.replace(around, architectures=addresses_of(results))
                write_architecture_pages(results, tables, beside, around_of("../../", index), about.name)
                sections = make_sections(results, tables, draw=False, around=around)
                standings += standings_of(quote(folder.name), about.name, results, tables, sections)
            build_report(results, beside, tables, found.claims, around)
            write_data(beside, found, about, state, audits)
    except Exception as error:  # a fault in one folder must not prevent the others from being listed
        if type(error) in (StorageFullError, StoreError):
            raise  # the site cannot be written, which is no fault of the folder
        said = error if isinstance(error, AgdBenchError) else f"{type(error).__name__}: {error}"
        why = f"Cannot be read: {said}".replace(str(folder), folder.name)
        blank = dict.fromkeys((field.name for field in dataclasses.fields(Summary)), "–")
        return Listed("", Summary(**{**blank, "name": folder.name, "finding": why}), "unreadable")
    return Listed(quote(folder.name), about, state)


def _copy_published(folder: Path, to: Path) -> list[str]:
    """Copy the files of the manifest, and return their names."""
    names = []
    for name in (*sorted(read_manifest(folder)["files"]), MANIFEST):
        # a manifest of unknown origin must not reach outside its folder
        if (folder / name).is_file() and (folder / name).resolve().is_relative_to(folder.resolve()):
            (to / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(folder / name, to / name)
            names.append(name)
    return names


def _entries(results: Results) -> Table | None:
    """The entries of a board; None for a single sweep."""
    if ABOUT_ENTRIES not in results.meta:
        return None
    entries: Mapping[str, Mapping[str, object]] = json.loads(results.meta[ABOUT_ENTRIES])
    rows = tuple(_entry_cells(name, entry) for name, entry in entries.items())
    return Table("entries-table", "The entries of the board", ENTRY_COLUMNS, rows, len(rows), "")


def _entry_cells(name: str, entry: Mapping[str, object]) -> tuple[Cell, ...]:
    state = "ranked" if entry["ranked"] else "withdrawn" if entry["withdrawn"] else "superseded or lite"
    folder = f"{ENTRIES}/{quote(name)}"
    shown: Sequence[object] = (
        entry["title"], entry["tier"], entry["hardware"], entry["authors"], entry["code"] or "agd-bench", entry["part"]
    )  # fmt: skip
    texts = [", ".join(map(str, value)) or "–" if isinstance(value, list) else str(value) for value in shown]
    cells = [Cell(text, text) for text in texts]
    return Cell(name, name, f"{folder}/{ENTRY}"), *cells, Cell("trials", "", f"{folder}/trials.csv"), Cell(state, state)
