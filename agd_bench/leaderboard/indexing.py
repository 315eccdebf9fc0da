"""The page that lists all published leaderboards."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from agd_bench.errors import AgdBenchError
from agd_bench.leaderboard.publishing import MANIFEST, as_plain_markdown
from agd_bench.leaderboard.verifying import verify_folder
from agd_bench.report import aggregates
from agd_bench.report.rendering import render
from agd_bench.report.sections import Section, make_sections
from agd_bench.store import load_results

HERE = Path(__file__).parent


@dataclass(frozen=True)
class Entry:
    """One published folder as the index shows it; `link` is its folder's name, quoted for an address."""

    link: str
    name: str
    finding: str
    search_spaces: str
    datasets: str
    algorithms: str
    architectures: str
    seeds: str
    trials: str
    date: str
    state: str


def build_index(folder: Path) -> Path:
    """Write `index.html` and `README.md` of a folder of leaderboards, from the folders in it.

    A folder's state is `recomputed` if `verify_folder` finds every digest and every number to follow from the raw rows, else
    `self-reported` with the number of differences.

    Args:
        folder: made if it is not there; each folder in it with a manifest is a leaderboard.

    Returns:
        The page.
    """
    folder.mkdir(parents=True, exist_ok=True)
    entries = [read_entry(path.parent) for path in sorted(folder.glob(f"*/{MANIFEST}"))]
    page = folder / "index.html"
    page.write_text(render("index.html.jinja", HERE, entries=entries), encoding="utf-8")
    (folder / "README.md").write_text(_readme(entries), encoding="utf-8")
    return page


def read_entry(folder: Path) -> Entry:
    """What the index says of one published folder; one that cannot be read says why instead of a finding."""
    link = quote(folder.name)
    try:
        differences = verify_folder(folder)
        results = load_results(folder)
        finding = _short(make_sections(results, aggregates(results)))
    except AgdBenchError as error:
        why = f"Cannot be read: {error}".replace(str(folder), folder.name)
        return Entry(link, folder.name, why, "–", "–", "–", "–", "–", "–", "–", "unreadable")
    sweep, trials = results.sweep, results.trials
    final = trials[trials["purpose"] == "final"]
    return Entry(
        link=link,
        name=sweep.name,
        finding=finding,
        search_spaces=", ".join(choice.label for choice in sweep.search_spaces),
        datasets=", ".join(choice.name for choice in sweep.datasets),
        algorithms=", ".join(choice.label for choice in sweep.algorithms),
        architectures=str(len(final[["search_space", "architecture"]].drop_duplicates())),
        seeds=str(len(sweep.seeds)),
        trials=str(len(trials)),
        date=results.meta.get("created_at", "–")[:10],
        state="recomputed" if not differences else f"self-reported ({len(differences)} differences)",
    )


def _short(sections: list[Section]) -> str:
    """What the first comparison found about accuracy and ranking, and how many more there are."""
    partial = "Partial results. " if any(section.partial for section in sections) else ""
    found = [finding for section in sections for finding in section.findings]
    if not found:
        return partial + (sections[0].alone if sections else "No trials.")
    more = f" {len(found) - 1} more comparison(s) in the report." if len(found) > 1 else ""
    return f"{partial}{found[0].accuracy} {found[0].ranking}{more}"


def _readme(entries: list[Entry]) -> str:
    head = "| leaderboard | finding | search space | data set | algorithms | architectures | seeds | trials | date | state |"
    lines = [head, "|" + "---|" * 10]
    for entry in entries:
        texts = (entry.finding, entry.search_spaces, entry.datasets, entry.algorithms, entry.architectures, entry.seeds, entry.trials)
        cells = [
            f"[{as_plain_markdown(entry.name)}]({entry.link}/README.md)",
            *(as_plain_markdown(text) for text in (*texts, entry.date, entry.state)),
        ]
        lines.append(f"| {' | '.join(cells)} |")
    listed = "\n".join(lines) if entries else "Nothing is published here yet."
    return (HERE / "explanation.md").read_text(encoding="utf-8").replace("{{ entries }}", listed)
