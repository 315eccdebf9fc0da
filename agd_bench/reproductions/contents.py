"""The list of all pages of reproductions, and of the experiments that have none yet."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from agd_bench.leaderboard.markdown import as_plain_markdown, format_table
from agd_bench.reproductions.existing_rows import PAGE
from agd_bench.reproductions.experiments import builtin_reproductions, open_reproduction

ABOUT = (
    "Experiments of papers, run again with `agd-bench reproduce NAME`: the paper's number, ours, n and the interval side by side. Misses "
    "are published too, with the reason where one was found. A scale other than `paper` is smaller, and its page says first what cannot "
    "be concluded from it."
)
NOTES = "notes.md"
"""What somebody wrote about the outcome of an experiment, in its page's folder; its first paragraph stands in the list."""


@dataclass(frozen=True)
class Entry:
    """One page in the list: its folder's name, experiment, scale, and what was found in short (empty: nothing is written of it)."""

    link: str
    title: str
    paper: str
    scale: str
    found: str


def index_pages(folder: Path) -> None:
    """Write `README.md` of a folder of pages, from the pages in it.

    Args:
        folder: each folder in it with a `page.json` is a page.
    """
    (folder / "README.md").write_text(_markdown(*list_pages(folder)), encoding="utf-8", newline="\n")


def list_pages(folder: Path) -> tuple[list[Entry], list[tuple[str, str]]]:
    """The pages of a folder, and name and title of the experiments that have none.

    Args:
        folder: each folder in it with a `page.json` is a page.
    """
    told = {path.parent: json.loads(path.read_text(encoding="utf-8")) for path in sorted(folder.glob(f"*/{PAGE}"))}
    known = builtin_reproductions()
    entries = [_entry(page, about) for page, about in told.items() if about["experiment"] in known]
    missing = [(name, open_reproduction(name).title) for name in known if name not in {about["experiment"] for about in told.values()}]
    return entries, missing


def read_notes(page: Path) -> str:
    """What somebody wrote about the outcome; empty where nobody did."""
    return (page / NOTES).read_text(encoding="utf-8") if (page / NOTES).is_file() else ""


def _entry(page: Path, about: dict[str, str]) -> Entry:
    experiment = open_reproduction(about["experiment"])
    found = read_notes(page).strip().split("\n\n")[0]
    return Entry(page.name, experiment.title, experiment.paper, about["scale"], " ".join(found.split()))


def _markdown(entries: list[Entry], missing: list[tuple[str, str]]) -> str:
    cells = [
        [f"[{as_plain_markdown(entry.title)}]({entry.link}/README.md)", entry.scale, as_plain_markdown(entry.found)] for entry in entries
    ]
    parts = ["# Reproductions", ABOUT, format_table(["experiment", "scale", "what was found"], cells)]
    if missing:
        parts += ["Defined, and not run yet:", "\n".join(f"- `{name}`: {as_plain_markdown(title)}" for name, title in missing)]
    return "\n\n".join(parts) + "\n"
