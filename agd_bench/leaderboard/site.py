"""The list of published leaderboards in Markdown, and their pages: everything that a folder of raw rows leaves out."""

from __future__ import annotations

import dataclasses
import shutil
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from agd_bench.errors import AgdBenchError, InputError
from agd_bench.leaderboard.publication import README, read_manifest
from agd_bench.leaderboard.summary import Summary, summarise
from agd_bench.leaderboard.verification import recompute, verify_digests
from agd_bench.report import build_report
from agd_bench.report.page import as_plain_markdown, format_table, write_page
from agd_bench.store import written_beside
from agd_bench.store.manifest import MANIFEST

HERE = Path(__file__).parent
REPRODUCTIONS = "reproductions"
"""The folder next to the leaderboards that holds the reproductions of papers."""
HEAD = (
    "leaderboard", "finding", "claims", "search space", "data set", "algorithms", "architectures", "seeds", "trials", "date",
)  # fmt: skip


def board_folders(folder: Path) -> list[Path]:
    """The published folders in a folder, by name."""
    return [path.parent for path in sorted(folder.glob(f"*/{MANIFEST}"))]


def write_index(folder: Path) -> Path:
    """Write `README.md` of a folder of leaderboards from their manifests; nothing is recomputed.

    Args:
        folder: made if it is not there; each folder in it with a manifest is a leaderboard.

    Returns:
        The file.
    """
    lines = [_line(board) for board in board_folders(folder)]
    listed = format_table(HEAD, lines) if lines else "Nothing is published here yet."
    if (folder / REPRODUCTIONS / README).is_file():
        listed += f"\n\nExperiments of papers, run again, with their numbers next to ours: [reproductions]({REPRODUCTIONS}/{README})."
    text = (HERE / "explanation.md").read_text(encoding="utf-8").replace("{{ entries }}", listed)
    with written_beside(folder) as beside:
        (beside / README).write_text(text, encoding="utf-8", newline="\n")
    return folder / README


def _line(board: Path) -> list[str]:
    """The cells of one board; one whose manifest cannot be read says so instead of a finding."""
    try:
        about = Summary(**read_manifest(board)["summary"])
    # One damaged board must not keep the others from being listed.
    except (InputError, KeyError, TypeError) as error:
        why = f"Cannot be read: {error}".replace(str(board), board.name)
        return [f"[{as_plain_markdown(board.name)}]({quote(board.name)}/{README})", as_plain_markdown(why), *["–"] * (len(HEAD) - 2)]
    first, *others = (as_plain_markdown(str(getattr(about, name))) for name in Summary.__dataclass_fields__)
    return [f"[{first}]({quote(board.name)}/{README})", *others]


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
