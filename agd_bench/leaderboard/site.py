"""Build the pages of published leaderboards: everything that a folder of raw rows leaves out."""

from __future__ import annotations

import dataclasses
import shutil
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from agd_bench.errors import AgdBenchError, InputError
from agd_bench.leaderboard.index import REPRODUCTIONS, board_folders
from agd_bench.leaderboard.publication import README, read_manifest
from agd_bench.leaderboard.summary import Summary, summarise
from agd_bench.leaderboard.verification import recompute, verify_digests
from agd_bench.report import build_report
from agd_bench.report.page import write_page
from agd_bench.store.manifest import MANIFEST


@dataclass(frozen=True)
class Entry:
    """One board on the page that lists them; `link` is its folder's name, quoted for an address."""

    link: str
    about: Summary
    state: str


def build_site(boards: Path, to: Path) -> Path:
    """Write a static site of all boards in a folder: a page for each with its figures, tables and raw rows, and a page that lists them.

    A board's state is `recomputed` if `verify_folder` finds no difference, else `self-reported` with the number of differences.

    Args:
        boards: a folder of published folders.
        to: where to; made if it is not there, files of the same names are replaced.

    Returns:
        The page that lists them.

    Raises:
        InputError: a target that holds, or lies among, the published folders.
    """
    if to.resolve() == boards.resolve() or to.resolve().is_relative_to(boards.resolve()):
        raise InputError(f"--to {to}: lies in {boards}, whose files must stay as they were published; give another folder")
    entries = [_build_board(board, to / board.name) for board in board_folders(boards)]
    reproductions = f"{REPRODUCTIONS}/index.html" if (boards / REPRODUCTIONS / README).is_file() else ""
    return write_page(to / "index.html", "boards.html.jinja", entries=entries, reproductions=reproductions)


def _build_board(board: Path, to: Path) -> Entry:
    """Write one board's page; one that cannot be read has none, and says why instead of a finding."""
    try:
        differences, found = verify_digests(board), recompute(board)
        about = summarise(found.results, found.tables, found.claims)
        to.mkdir(parents=True, exist_ok=True)
        for name in sorted(read_manifest(board)["files"]):
            source = board / name
            if source.is_file() and "/" not in name:  # a manifest from elsewhere must not reach outside its folder
                shutil.copyfile(source, to / name)
        shutil.copyfile(board / MANIFEST, to / MANIFEST)
        build_report(found.results, to, found.tables, found.claims, index="../index.html")
    except Exception as error:  # whatever is wrong with one folder must not keep the others from being listed
        said = error if isinstance(error, AgdBenchError) else f"{type(error).__name__}: {error}"
        why = f"Cannot be read: {said}".replace(str(board), board.name)
        blank = dict.fromkeys((field.name for field in dataclasses.fields(Summary)), "–")
        return Entry("", Summary(**{**blank, "name": board.name, "finding": why}), "unreadable")
    number = len(differences) + len(found.differences)
    return Entry(quote(board.name), about, f"self-reported ({number} differences)" if number else "recomputed")
