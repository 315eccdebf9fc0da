"""The folder of a published reproduction, which is rebuilt from its own raw rows; the list of all of them, and their pages."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from agd_bench.errors import InputError
from agd_bench.leaderboard import scrub_results
from agd_bench.report.page import as_plain_markdown, format_table, write_page
from agd_bench.reproductions.experiment_runs import PAGE, rows_at_hand
from agd_bench.reproductions.experiments import PAPER_SCALE, Reproduction, builtin_reproductions, open_reproduction
from agd_bench.reproductions.page_content import Page, make_page
from agd_bench.reproductions.paper_numbers import measured
from agd_bench.store import Results, write_rows
from agd_bench.store.manifest import MANIFEST

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
