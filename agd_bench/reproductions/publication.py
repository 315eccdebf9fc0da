"""The folder of a published reproduction, which can be rebuilt from its raw rows; the list of reproductions, and their pages."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from agd_bench.errors import InputError
from agd_bench.leaderboard import scrub_results
from agd_bench.report.page import as_plain_markdown, format_table, write_page
from agd_bench.reproductions.experiment_runs import PAGE, rows_at_hand
from agd_bench.reproductions.experiments import PAPER_SCALE, Reproduction, builtin_reproductions, open_reproduction
from agd_bench.reproductions.page_content import Page, make_page
from agd_bench.reproductions.paper_numbers import measured
from agd_bench.store import Results, write_rows, written_beside
from agd_bench.store.manifest import MANIFEST

ABOUT = (
    "Experiments from papers, repeated with `agd-bench reproduce NAME`: the paper's number next to ours, with n and the interval. Misses "
    "are published too, with the reason if one was found. A scale other than `paper` is smaller, and its page states first what it cannot "
    "show."
)
NOTES = "notes.md"
"""File with hand-written notes about the outcome, in the page's folder; the list shows its first paragraph."""


@dataclass(frozen=True)
class Entry:
    """One page in the list: its folder's name, experiment, scale, and a short finding (empty if there are no notes)."""

    link: str
    title: str
    paper: str
    scale: str
    found: str


def index_pages(folder: Path) -> None:
    """Write `README.md` of a folder of pages.

    Args:
        folder: each folder in it with a `page.json` is a page.
    """
    with written_beside(folder) as beside:
        (beside / "README.md").write_text(_markdown(*list_pages(folder)), encoding="utf-8", newline="\n")


def list_pages(folder: Path) -> tuple[list[Entry], list[tuple[str, str]]]:
    """The pages of a folder, and the name and title of experiments without a page.

    Args:
        folder: each folder in it with a `page.json` is a page.
    """
    pages = {path.parent: _read_about(path) for path in sorted(folder.glob(f"*/{PAGE}"))}
    known = builtin_reproductions()
    entries = [_entry(page, about) for page, about in pages.items() if about["experiment"] in known]
    missing = [(name, open_reproduction(name).title) for name in known if name not in {about["experiment"] for about in pages.values()}]
    return entries, missing


def _read_about(path: Path) -> dict[str, Any]:
    """Experiment, scale and locations of the rows of a page.

    Raises:
        InputError: the file is damaged.
    """
    try:
        about: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        return {"experiment": str(about["experiment"]), "scale": str(about["scale"]), "rows": dict(about["rows"])}
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise InputError(f"{path}: not a reproduction's page ({type(error).__name__}); restore it, or remove its folder") from None


def read_notes(page: Path) -> str:
    """The hand-written notes about the outcome; empty if there are none."""
    return (page / NOTES).read_text(encoding="utf-8") if (page / NOTES).is_file() else ""


def _entry(page: Path, about: dict[str, str]) -> Entry:
    experiment = open_reproduction(about["experiment"])
    found = read_notes(page).strip().split("\n\n")[0]
    return Entry(page.name, experiment.title, experiment.paper, about["scale"], " ".join(found.split()))


def _markdown(entries: list[Entry], missing: list[tuple[str, str]]) -> str:
    cells = [
        [f"[{as_plain_markdown(entry.title)}]({entry.link}/README.md)", entry.scale, as_plain_markdown(entry.found)] for entry in entries
    ]
    parts = ["# Reproductions", ABOUT, format_table(["experiment", "scale", "findings"], cells)]
    if missing:
        parts += ["Defined but not yet run:", "\n".join(f"- `{name}`: {as_plain_markdown(title)}" for name, title in missing)]
    return "\n\n".join(parts) + "\n"


def publish_reproduction(
    experiment: Reproduction, scale: str, results: Mapping[str, Results], folder: Path, places: Mapping[str, Path] | None = None
) -> Path:
    """Write the page of an experiment at a scale and update the list of pages; names of machines, users and folders are removed.

    The folder holds `README.md` (the page), `reproduction.toml` (the definition), `rows/NAME` (for each run the sweep, the raw rows with
    versions and devices, and the digests of the plug-ins) and `page.json` (experiment, scale and, for each run, the location of its rows:
    in this folder or in a leaderboard next to the folder of pages). The page shows a hand-written `notes.md` as its findings.
    `rows_at_hand` reads such a folder, so the page can be rebuilt from it.

    Args:
        experiment: the experiment.
        scale: name of the scale.
        results: results by the name of the run.
        folder: the folder `NAME-SCALE`, or `NAME` at the paper's scale, is created in it.
        places: folder from which the rows of a run were reused, by run; a leaderboard next to `folder` is linked, not copied.

    Returns:
        The page in Markdown.

    Raises:
        InputError: no run has started.
    """
    if not results:
        raise InputError(f"reproduction {experiment.name!r}: no run has started, so there is nothing to publish")
    own = folder / (experiment.name if scale == PAPER_SCALE else f"{experiment.name}-{scale}")
    # Build the page from the scrubbed rows, so it follows from what is published.
    clean = {name: scrub_results(result) for name, result in results.items()}
    rows = {name: _place_of_rows(name, own, (places or {}).get(name)) for name in clean}
    texts = {
        "README.md": describe_page(experiment, scale, clean, rows, read_notes(own)),
        # Copy the definition, because the built-in one may change later.
        "reproduction.toml": builtin_reproductions()[experiment.name].read_text(encoding="utf-8"),
        PAGE: json.dumps({"experiment": experiment.name, "scale": scale, "rows": rows}, indent=2) + "\n",
    }
    with written_beside(own, last=PAGE) as beside:
        for name, text in texts.items():
            (beside / name).write_text(text, encoding="utf-8", newline="\n")
        for name, place in rows.items():
            if place == _own_rows(name):
                write_rows(clean[name], beside / place)
    index_pages(folder)
    return own / "README.md"


def _own_rows(run: str) -> str:
    """The folder of a run's rows within the page's."""
    return f"rows/{run}"


def _place_of_rows(run: str, page: Path, place: Path | None) -> str:
    """Location of the rows of a run relative to the page: its own folder, unless a leaderboard next to the pages holds them."""
    # Linked only if a relative link survives moving the leaderboards as a whole.
    if place is not None and (place / MANIFEST).is_file() and place.resolve().parent == page.resolve().parent.parent:
        return Path(os.path.relpath(place.resolve(), page.resolve())).as_posix()
    return _own_rows(run)


def describe_page(experiment: Reproduction, scale: str, results: Mapping[str, Results], rows: Mapping[str, str], notes: str) -> str:
    """Build the page in Markdown from its rows.

    Args:
        experiment: the experiment.
        scale: name of the scale.
        results: results by the name of the run.
        rows: location of the rows by the name of the run.
        notes: hand-written notes about the outcome.
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
        yield f"**What this cannot show:** {page.cannot_conclude}"
    yield _format(page.head, page.rows)
    yield " ".join(page.explained)
    yield "\n\n".join(["## Findings", *page.found]) if page.found else ""
    if page.each:
        yield f"<details><summary>Each of the {len(page.each)} architectures</summary>"
        yield _format(page.head, page.each)
        yield "</details>"
    yield f"## Differences from the paper at every scale\n\n{page.differs}"
    yield f"Not stated by the paper: {page.unknown}" if page.unknown else ""
    yield f"## Raw rows\n\n{page.work}"
    yield "\n".join(f"- {run}: [{place}]({place})" for run, place in rows.items())
    yield f"## Reproduce\n\n`{page.command}` {page.needs}".rstrip()
    yield f"To rebuild this page from its rows: `{page.rewriting}`"


def _format(head: tuple[str, ...], rows: list[tuple[str, ...]]) -> str:
    return format_table(head, [[as_plain_markdown(cell) for cell in cells] for cells in rows])


def build_pages(folder: Path, to: Path) -> Path:
    """Write a static site of all reproductions in a folder: each one's page, numbers and rows, and a page that lists them.

    Args:
        folder: each folder in it with a `page.json` is a reproduction.
        to: target folder; created if it does not exist; files of the same names are replaced.

    Returns:
        The page that lists them.

    Raises:
        InputError: the rows of a reproduction cannot be read.
    """
    entries, missing = list_pages(folder)
    for entry in entries:
        _build_page(folder / entry.link, to / entry.link)
    return write_page(to / "index.html", "reproductions.html.jinja", about=ABOUT, entries=entries, missing=missing)


def _build_page(source: Path, to: Path) -> None:
    about = _read_about(source / PAGE)
    experiment = open_reproduction(about["experiment"])
    results = {run: held.results for run, held in rows_at_hand(experiment, about["scale"], [source]).items()}
    table = measured(experiment, about["scale"], results)
    page = make_page(experiment, about["scale"], results, table, read_notes(source))
    with written_beside(to) as beside:
        write_page(beside / "index.html", "reproduction.html.jinja", page=page, rows=about["rows"])
        table.to_csv(beside / "values.csv", index=False, lineterminator="\n")
        if (source / "rows").is_dir():
            shutil.copytree(source / "rows", beside / "rows")
