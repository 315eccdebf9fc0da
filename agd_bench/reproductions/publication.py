"""The page of a reproduction: a folder with the raw rows, the table, and what was found, written so that it is rebuilt from itself."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path

from agd_bench.errors import InputError
from agd_bench.leaderboard import as_plain_markdown, scrub_results
from agd_bench.report.page import render
from agd_bench.reproductions.comparison import measured
from agd_bench.reproductions.definitions import PAPER_SCALE, Reproduction, builtin_reproductions
from agd_bench.reproductions.existing_rows import PAGE
from agd_bench.reproductions.index import NOTES, index_pages
from agd_bench.reproductions.page import Page, make_page
from agd_bench.store import Results, write_rows
from agd_bench.store.manifest import MANIFEST

HERE = Path(__file__).parent


def publish_reproduction(
    experiment: Reproduction, scale: str, results: Mapping[str, Results], folder: Path, places: Mapping[str, Path] | None = None
) -> Path:
    """Write the page of an experiment at a scale, and renew the list beside it. Names of machines, users and folders are taken out.

    The folder holds `README.md` and `index.html` (the page), `values.csv` (`measured`), `reproduction.toml` (the definition), `rows/NAME`
    (of each run the sweep, the raw rows with versions and devices, and the digests of the plug-ins) and `page.json` (experiment, scale
    and, by run, where its rows are: there, or in a leaderboard beside the folder of pages). A file `notes.md`, written by hand, stands in
    the page as what was found. `rows_at_hand` reads such a folder, so that its page can be written again from it.

    Args:
        experiment: what was run.
        scale: at which.
        results: by the name of the run.
        folder: `NAME-SCALE`, or `NAME` at the paper's scale, is made in it.
        places: by run the folder that its rows were taken from, where they were; a leaderboard beside `folder` is named, not copied.

    Returns:
        The page in Markdown.

    Raises:
        InputError: nothing was run.
    """
    if not results:
        raise InputError(f"reproduction {experiment.name!r}: no run has begun, so there is nothing to publish")
    own = folder / (experiment.name if scale == PAPER_SCALE else f"{experiment.name}-{scale}")
    own.mkdir(parents=True, exist_ok=True)
    clean = {name: scrub_results(result) for name, result in results.items()}
    table = measured(experiment, scale, clean)
    table.to_csv(own / "values.csv", index=False, lineterminator="\n")
    rows = {name: _rows_of(name, result, own, (places or {}).get(name)) for name, result in clean.items()}
    about = {"experiment": experiment.name, "scale": scale, "rows": rows}
    (own / PAGE).write_text(json.dumps(about, indent=2) + "\n", encoding="utf-8", newline="\n")
    definition = builtin_reproductions()[experiment.name].read_text(encoding="utf-8")
    (own / "reproduction.toml").write_text(definition, encoding="utf-8", newline="\n")
    notes = own / NOTES
    page = make_page(experiment, scale, clean, table, notes.read_text(encoding="utf-8") if notes.is_file() else "")
    (own / "README.md").write_text(_markdown(page, rows), encoding="utf-8", newline="\n")
    (own / "index.html").write_text(render("page.html.jinja", HERE, page=page, rows=rows), encoding="utf-8", newline="\n")
    index_pages(folder)
    return own / "README.md"


def _rows_of(run: str, results: Results, page: Path, place: Path | None) -> str:
    """Where the rows of a run are, relative to the page; written there unless a leaderboard beside the pages holds them."""
    if place is not None and (place / MANIFEST).is_file() and place.resolve().parent == page.resolve().parent.parent:
        return Path(os.path.relpath(place.resolve(), page.resolve())).as_posix()
    write_rows(results, page / "rows" / run)
    return f"rows/{run}"


def _markdown(page: Page, rows: Mapping[str, str]) -> str:
    text = "\n\n".join(part for part in _parts(page, rows) if part)
    return f"{text}\n"


def _parts(page: Page, rows: Mapping[str, str]) -> Iterator[str]:
    yield f"# {as_plain_markdown(page.title)}"
    yield f"From {as_plain_markdown(page.paper)}."
    yield "**Partial: some trials have not ended.**" if page.partial else ""
    if page.reduced:
        yield f"**Reduced (scale `{page.scale}`):** {page.reduced}"
        yield f"**What can therefore not be concluded:** {page.cannot_conclude}"
    yield _table(page.head, page.rows)
    yield " ".join(page.explained)
    yield "\n\n".join(["## What was found", *page.found]) if page.found else ""
    if page.each:
        yield f"<details><summary>Each of the {len(page.each)} architectures</summary>"
        yield _table(page.head, page.each)
        yield "</details>"
    yield f"## Different from the paper at every scale\n\n{page.differs}"
    yield f"Not stated by the paper: {page.unknown}" if page.unknown else ""
    yield f"## The rows\n\n{page.work}"
    yield "\n".join(f"- {run}: [{place}]({place})" for run, place in rows.items())
    yield f"## Run it again\n\n`{page.command}` {page.needs}".rstrip()
    yield f"The page again, from its rows: `{page.rewriting}`"


def _table(head: tuple[str, ...], rows: list[tuple[str, ...]]) -> str:
    lines = [f"| {' | '.join(head)} |", "|" + "---|" * len(head)]
    return "\n".join(lines + [f"| {' | '.join(as_plain_markdown(cell) for cell in cells)} |" for cells in rows])
