"""The page of a reproduction: a folder with the raw rows, the table, and what was found, written so that it is rebuilt from itself."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path

from agd_bench.errors import InputError
from agd_bench.leaderboard import scrub_results
from agd_bench.leaderboard.markdown import as_plain_markdown, format_table
from agd_bench.reproductions.contents import index_pages, read_notes
from agd_bench.reproductions.existing_rows import PAGE
from agd_bench.reproductions.experiments import PAPER_SCALE, Reproduction, builtin_reproductions
from agd_bench.reproductions.page_content import Page, make_page
from agd_bench.reproductions.paper_numbers import measured
from agd_bench.store import Results, write_rows
from agd_bench.store.manifest import MANIFEST


def publish_reproduction(
    experiment: Reproduction, scale: str, results: Mapping[str, Results], folder: Path, places: Mapping[str, Path] | None = None
) -> Path:
    """Write the page of an experiment at a scale, and renew the list beside it. Names of machines, users and folders are taken out.

    The folder holds `README.md` (the page), `reproduction.toml` (the definition), `rows/NAME` (of each run the sweep, the raw rows with
    versions and devices, and the digests of the plug-ins) and `page.json` (experiment, scale and, by run, where its rows are: there, or in
    a leaderboard next to the folder of pages). A file `notes.md`, written by hand, stands in
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
    # The page is made from the scrubbed rows, so it follows from what is published.
    clean = {name: scrub_results(result) for name, result in results.items()}
    rows = {name: _rows_of(name, result, own, (places or {}).get(name)) for name, result in clean.items()}
    about = {"experiment": experiment.name, "scale": scale, "rows": rows}
    (own / PAGE).write_text(json.dumps(about, indent=2) + "\n", encoding="utf-8", newline="\n")
    # A copy, since the built-in definition may change after these rows.
    definition = builtin_reproductions()[experiment.name].read_text(encoding="utf-8")
    (own / "reproduction.toml").write_text(definition, encoding="utf-8", newline="\n")
    text = describe_page(experiment, scale, clean, rows, read_notes(own))
    (own / "README.md").write_text(text, encoding="utf-8", newline="\n")
    index_pages(folder)
    return own / "README.md"


def _rows_of(run: str, results: Results, page: Path, place: Path | None) -> str:
    """Where the rows of a run are, relative to the page; written there unless a leaderboard beside the pages holds them."""
    # Named only where a relative link survives moving the leaderboards as a whole.
    if place is not None and (place / MANIFEST).is_file() and place.resolve().parent == page.resolve().parent.parent:
        return Path(os.path.relpath(place.resolve(), page.resolve())).as_posix()
    write_rows(results, page / "rows" / run)
    return f"rows/{run}"


def describe_page(experiment: Reproduction, scale: str, results: Mapping[str, Results], rows: Mapping[str, str], notes: str) -> str:
    """The page in Markdown, as it follows from its rows.

    Args:
        experiment: what was run.
        scale: at which.
        results: by the name of the run.
        rows: by the name of the run, where its rows are.
        notes: what somebody wrote about the outcome.
    """
    page = make_page(experiment, scale, results, measured(experiment, scale, results), notes)
    text = "\n\n".join(part for part in _parts(page, rows) if part)
    return f"{text}\n"


def _parts(page: Page, rows: Mapping[str, str]) -> Iterator[str]:
    yield f"# {as_plain_markdown(page.title)}"
    yield f"From {as_plain_markdown(page.paper)}."
    yield "**Partial: some trials have not ended.**" if page.partial else ""
    if page.reduced:
        yield f"**Reduced (scale `{page.scale}`):** {page.reduced}"
        yield f"**What can therefore not be concluded:** {page.cannot_conclude}"
    yield _format(page.head, page.rows)
    yield " ".join(page.explained)
    yield "\n\n".join(["## What was found", *page.found]) if page.found else ""
    if page.each:
        yield f"<details><summary>Each of the {len(page.each)} architectures</summary>"
        yield _format(page.head, page.each)
        yield "</details>"
    yield f"## Different from the paper at every scale\n\n{page.differs}"
    yield f"Not stated by the paper: {page.unknown}" if page.unknown else ""
    yield f"## The rows\n\n{page.work}"
    yield "\n".join(f"- {run}: [{place}]({place})" for run, place in rows.items())
    yield f"## Run it again\n\n`{page.command}` {page.needs}".rstrip()
    yield f"The page again, from its rows: `{page.rewriting}`"


def _format(head: tuple[str, ...], rows: list[tuple[str, ...]]) -> str:
    return format_table(head, [[as_plain_markdown(cell) for cell in cells] for cells in rows])
