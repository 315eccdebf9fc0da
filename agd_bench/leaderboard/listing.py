"""The lists of published folders: `README.md` for a code host, and the rows of the site's lists."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from agd_bench.errors import InputError
from agd_bench.leaderboard.publication import README, read_manifest
from agd_bench.leaderboard.summary import Summary
from agd_bench.report.cells import Cell, Column, Table
from agd_bench.report.page import as_plain_markdown, format_table
from agd_bench.store import written_beside
from agd_bench.store.entry_rows import is_board
from agd_bench.store.manifest import MANIFEST

HERE = Path(__file__).parent
REPRODUCTIONS = "reproductions"
"""The folder next to the leaderboards that holds the reproductions of papers."""
EXPERIMENTS = "EXPERIMENTS.md"
HEAD = (
    "leaderboard", "finding", "claims", "search space", "data set", "algorithms", "architectures", "seeds", "trials", "date",
)  # fmt: skip
COLUMNS = (
    Column("Leaderboard", "name of the folder", numeric=False),
    Column("Finding", "of the first comparison", numeric=False, prose=True),
    Column("Claims", "how many of its claims hold (✓), fail (✗) or are undecided (?)", numeric=False),
    Column("Trained", "search spaces and data sets", numeric=False),
    Column("Algorithms", "number of algorithms"),
    Column("Architectures", "number of architectures"),
    Column("Seeds", "seeds of each final training"),
    Column("Trials", "number of trials, tuning included"),
    Column("Date", "on which the first training began", numeric=False),
    Column("State", "recomputed: every number follows from the raw rows; otherwise the number of differences", numeric=False),
)


@dataclass(frozen=True)
class Listed:
    """One published folder in the site's list; `link` is its folder's name, quoted for a URL, or empty if it has no page."""

    link: str
    about: Summary
    state: str


def board_folders(folder: Path) -> tuple[list[Path], list[Path]]:
    """The boards in a folder, and its other published folders, by name."""
    found = [path.parent for path in sorted(folder.glob(f"*/{MANIFEST}"))]
    return [one for one in found if is_board(one)], [one for one in found if not is_board(one)]


def write_index(folder: Path) -> Path:
    """Write `README.md` (the boards) and `EXPERIMENTS.md` (the other folders) from the manifests, without recomputing anything.

    Args:
        folder: created if it does not exist; each folder in it with a manifest is listed.

    Returns:
        The list of boards.
    """
    boards, others = ([_line(one) for one in found] for found in board_folders(folder))
    reproductions = ""
    if (folder / REPRODUCTIONS / README).is_file():
        reproductions = (
            f"Experiments from papers, repeated here, with the papers' numbers next to ours: [reproductions]({REPRODUCTIONS}/{README})."
        )
    text = (HERE / "explanation.md").read_text(encoding="utf-8")
    text = text.replace("{{ boards }}", format_table(HEAD, boards) if boards else "No board has been published yet.")
    with written_beside(folder) as beside:
        (beside / README).write_text(text, encoding="utf-8", newline="\n")
        listed = [format_table(HEAD, others) if others else "No experiment has been published yet.", reproductions]
        about = (HERE / "experiments.md").read_text(encoding="utf-8").replace("{{ experiments }}", "\n\n".join(filter(None, listed)))
        (beside / EXPERIMENTS).write_text(about, encoding="utf-8", newline="\n")
    return folder / README


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


def list_folders(name: str, caption: str, listed: Sequence[Listed]) -> Table:
    """The site's list of some published folders.

    Args:
        name: anchor of the table.
        caption: of the table.
        listed: in order.
    """
    rows = tuple(_cells(one) for one in listed)
    columns = {"search space": "search_spaces", "data set": "datasets"}
    facets = {facet: [getattr(one.about, name).replace(", ", "|") for one in listed] for facet, name in columns.items()}
    return Table(name, caption, COLUMNS, rows, len(rows), "", filterable=True, facets=facets)


def _cells(one: Listed) -> tuple[Cell, ...]:
    about = one.about
    count = str(about.algorithms.count(", ") + 1) if about.algorithms != "–" else "–"
    # A break inside "2 undecided" would separate the count from its word.
    claims = ", ".join(part.replace(" ", "\N{NO-BREAK SPACE}") for part in about.claims.split(", "))
    texts = [about.finding, claims, f"{about.search_spaces} on {about.datasets}", count]
    texts += [about.architectures, about.seeds, about.trials, about.date, one.state]
    link = f"{one.link}/index.html" if one.link else ""
    return Cell(about.name, about.name, link), *(Cell(text, text if text != "–" else "") for text in texts)
