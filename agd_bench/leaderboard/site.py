"""The list of published leaderboards in Markdown, and their pages, built from the folders of raw rows."""

from __future__ import annotations

import dataclasses
import shutil
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from agd_bench.errors import AgdBenchError, InputError, StorageFullError, StoreError
from agd_bench.leaderboard.data_files import write_data, write_list
from agd_bench.leaderboard.publication import README, additions_of, read_manifest, verify_digests
from agd_bench.leaderboard.summary import Summary, summarise
from agd_bench.leaderboard.verification import recompute
from agd_bench.report import build_report
from agd_bench.report.page import as_plain_markdown, format_table, write_page
from agd_bench.store import written_beside
from agd_bench.store.entry_rows import is_board
from agd_bench.store.manifest import MANIFEST

HERE = Path(__file__).parent
REPRODUCTIONS = "reproductions"
"""The folder next to the leaderboards that holds the reproductions of papers."""
BOARDS = "Algorithms compared on a frozen benchmark. Anybody can add an entry."
EXPERIMENTS = "Single sweeps that answer one question."
HEAD = (
    "leaderboard", "finding", "claims", "search space", "data set", "algorithms", "architectures", "seeds", "trials", "date",
)  # fmt: skip


def board_folders(folder: Path) -> list[Path]:
    """The published folders in a folder, by name."""
    return [path.parent for path in sorted(folder.glob(f"*/{MANIFEST}"))]


def write_index(folder: Path) -> Path:
    """Write `README.md` of a folder of leaderboards from their manifests, without recomputing anything.

    Args:
        folder: created if it does not exist; each folder in it with a manifest is a leaderboard.

    Returns:
        The file.
    """
    listed = "\n\n".join(
        f"## {kind}\n\n{about}\n\n{format_table(HEAD, [_line(board) for board in boards])}" for kind, about, boards in _kinds(folder)
    )
    listed = listed or "No leaderboards have been published yet."
    if (folder / REPRODUCTIONS / README).is_file():
        listed += (
            f"\n\nExperiments from papers, repeated here, with the papers' numbers next to ours: [reproductions]({REPRODUCTIONS}/{README})."
        )
    text = (HERE / "explanation.md").read_text(encoding="utf-8").replace("{{ entries }}", listed)
    with written_beside(folder) as beside:
        (beside / README).write_text(text, encoding="utf-8", newline="\n")
    return folder / README


def _kinds(folder: Path) -> list[tuple[str, str, list[Path]]]:
    """The kinds of published folders that there are: title, meaning, and the folders."""
    found = board_folders(folder)
    boards, others = [one for one in found if is_board(one)], [one for one in found if not is_board(one)]
    return [kind for kind in (("Boards", BOARDS, boards), ("Experiments", EXPERIMENTS, others)) if kind[2]]


def _line(board: Path) -> list[str]:
    """The cells of one leaderboard; if its manifest cannot be read, the finding states the reason."""
    try:
        about = Summary(**read_manifest(board)["summary"])
    # One damaged folder must not prevent the others from being listed.
    except (InputError, KeyError, TypeError) as error:
        why = f"Cannot be read: {error}".replace(str(board), board.name)
        return [f"[{as_plain_markdown(board.name)}]({quote(board.name)}/{README})", as_plain_markdown(why), *["–"] * (len(HEAD) - 2)]
    first, *others = (as_plain_markdown(str(getattr(about, name))) for name in Summary.__dataclass_fields__)
    return [f"[{first}]({quote(board.name)}/{README})", *others]


@dataclass(frozen=True)
class Entry:
    """One leaderboard in the list; `link` is its folder's name, quoted for a URL."""

    link: str
    about: Summary
    state: str


def build_site(boards: Path, to: Path) -> Path:
    """Write a static site of all leaderboards in a folder: a page for each with figures, tables and raw rows, and a page that lists them.
    For programs, each also has `leaderboard.json` and Parquet tables, and `leaderboards.json` lists them.

    A board's state is `recomputed` if `verify_folder` finds no difference, else `self-reported` with the number of differences.

    Args:
        boards: folder that contains published folders.
        to: target folder; created if it does not exist; files of the same names are replaced.

    Returns:
        The page that lists them.

    Raises:
        InputError: `boards` does not exist, or the target contains the published folders or lies inside them.
    """
    if not boards.is_dir():
        raise InputError(f"{boards}: no such folder; give one with published leaderboards")
    if to.resolve() == boards.resolve() or to.resolve().is_relative_to(boards.resolve()):
        raise InputError(f"--to {to} is inside {boards}, which must stay as published; choose another folder")
    kinds = [(kind, about, [_build_board(board, to / board.name) for board in found]) for kind, about, found in _kinds(boards)]
    to.mkdir(parents=True, exist_ok=True)
    write_list(to, ((kind, one.link, one.state, one.about) for kind, _, found in kinds for one in found))
    reproductions = f"{REPRODUCTIONS}/index.html" if (boards / REPRODUCTIONS / README).is_file() else ""
    return write_page(to / "index.html", "boards.html.jinja", kinds=kinds, reproductions=reproductions)


def _build_board(board: Path, to: Path) -> Entry:
    """Write one leaderboard's page; for a folder that cannot be read, return an entry with the reason and no page."""
    try:
        differences, found = verify_digests(board), recompute(board)
        about = summarise(found.results, found.tables, found.claims)
        number = len(differences) + len(found.differences)
        state = f"self-reported ({number} differences)" if number else "recomputed"
        with written_beside(to) as beside:
            for name in (*sorted(read_manifest(board)["files"]), MANIFEST):
                # a manifest of unknown origin must not reach outside its folder
                if (board / name).is_file() and (board / name).resolve().is_relative_to(board.resolve()):
                    (beside / name).parent.mkdir(parents=True, exist_ok=True)
                    shutil.copyfile(board / name, beside / name)
            build_report(found.results, beside, found.tables, found.claims, index="../index.html")
            write_data(beside, found, about, state, additions_of(board).audits)
    except Exception as error:  # a fault in one folder must not prevent the others from being listed
        if type(error) in (StorageFullError, StoreError):
            raise  # the site cannot be written, which is no fault of the board
        said = error if isinstance(error, AgdBenchError) else f"{type(error).__name__}: {error}"
        why = f"Cannot be read: {said}".replace(str(board), board.name)
        blank = dict.fromkeys((field.name for field in dataclasses.fields(Summary)), "–")
        return Entry("", Summary(**{**blank, "name": board.name, "finding": why}), "unreadable")
    return Entry(quote(board.name), about, state)
