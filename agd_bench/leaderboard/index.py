"""The list of all published leaderboards, in Markdown; `site` has it as a page."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import quote

from agd_bench.errors import InputError
from agd_bench.leaderboard.markdown import as_plain_markdown, format_table
from agd_bench.leaderboard.publication import README, read_manifest
from agd_bench.leaderboard.summary import Summary
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
