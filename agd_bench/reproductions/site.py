"""Build the pages of published reproductions, and the page that lists them."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

from agd_bench.report.page import write_page
from agd_bench.reproductions.contents import ABOUT, list_pages, read_notes
from agd_bench.reproductions.existing_rows import PAGE, rows_at_hand
from agd_bench.reproductions.experiments import open_reproduction
from agd_bench.reproductions.page_content import make_page
from agd_bench.reproductions.paper_numbers import measured


def build_pages(folder: Path, to: Path) -> Path:
    """Write a static site of all reproductions in a folder: each one's page, numbers and rows, and a page that lists them.

    Args:
        folder: each folder in it with a `page.json` is a reproduction.
        to: where to; made if it is not there, files of the same names are replaced.

    Returns:
        The page that lists them.

    Raises:
        InputError: a reproduction whose rows cannot be read.
    """
    entries, missing = list_pages(folder)
    for entry in entries:
        _build_page(folder / entry.link, to / entry.link)
    return write_page(to / "index.html", "reproductions.html.jinja", about=ABOUT, entries=entries, missing=missing)


def _build_page(source: Path, to: Path) -> None:
    about = json.loads((source / PAGE).read_text(encoding="utf-8"))
    experiment = open_reproduction(about["experiment"])
    results = {run: held.results for run, held in rows_at_hand(experiment, about["scale"], [source]).items()}
    table = measured(experiment, about["scale"], results)
    page = make_page(experiment, about["scale"], results, table, read_notes(source))
    write_page(to / "index.html", "reproduction.html.jinja", page=page, rows=about["rows"])
    table.to_csv(to / "values.csv", index=False, lineterminator="\n")
    if (source / "rows").is_dir():
        shutil.copytree(source / "rows", to / "rows", dirs_exist_ok=True)
