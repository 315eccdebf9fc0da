"""The page that lists all published leaderboards."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from agd_bench.errors import AgdBenchError
from agd_bench.leaderboard.publication import as_plain_markdown
from agd_bench.leaderboard.verification import recompute, verify_digests
from agd_bench.report import count_states
from agd_bench.report.page import render
from agd_bench.report.sections import Section, make_sections
from agd_bench.report.sentences.numbers import count
from agd_bench.store import written_beside
from agd_bench.store.manifest import MANIFEST

HERE = Path(__file__).parent
REPRODUCTIONS = "reproductions"
"""The folder beside the leaderboards where experiments of papers stand with their numbers and ours."""


@dataclass(frozen=True)
class Entry:
    """One published folder as the index shows it; `link` is its folder's name, quoted for an address."""

    link: str
    name: str
    finding: str
    claims: str
    search_spaces: str
    datasets: str
    algorithms: str
    architectures: str
    seeds: str
    trials: str
    date: str
    state: str


def build_index(folder: Path) -> Path:
    """Write `index.html` and `README.md` of a folder of leaderboards, from the folders in it; pages of reproductions are pointed to.

    A folder's state is `recomputed` if `verify_folder` finds every digest and every number to follow from the raw rows, else
    `self-reported` with the number of differences.

    Args:
        folder: made if it is not there; each folder in it with a manifest is a leaderboard.

    Returns:
        The page.
    """
    folder.mkdir(parents=True, exist_ok=True)
    entries = [read_entry(path.parent) for path in sorted(folder.glob(f"*/{MANIFEST}"))]
    reproduced = (folder / REPRODUCTIONS / "index.html").is_file()
    beside = f"{REPRODUCTIONS}/index.html" if reproduced else ""
    texts = {
        "index.html": render("index.html.jinja", HERE, entries=entries, reproductions=beside),
        "README.md": _readme(entries, reproduced),
    }
    with written_beside(folder) as writing:
        for name, text in texts.items():
            (writing / name).write_text(text, encoding="utf-8", newline="\n")
    return folder / "index.html"


def read_entry(folder: Path) -> Entry:
    """What the index says of one published folder; one that cannot be read says why instead of a finding."""
    link = quote(folder.name)
    try:
        differences, found = verify_digests(folder), recompute(folder)
        results = found.results
        finding = _short(make_sections(results, found.tables, draw=False))
    except Exception as error:  # whatever is wrong with one folder must not keep the others from being listed
        said = error if isinstance(error, AgdBenchError) else f"{type(error).__name__}: {error}"
        why = f"Cannot be read: {said}".replace(str(folder), folder.name)
        return Entry(link, folder.name, why, "–", "–", "–", "–", "–", "–", "–", "–", "unreadable")
    sweep, trials = results.sweep, results.trials
    final = trials[trials["purpose"] == "final"]
    return Entry(
        link=link,
        name=sweep.name,
        finding=finding,
        claims=count_states(found.claims),
        search_spaces=", ".join(choice.label for choice in sweep.search_spaces),
        datasets=", ".join(choice.name for choice in sweep.datasets),
        algorithms=", ".join(choice.label for choice in sweep.algorithms),
        architectures=str(len(final[["search_space", "architecture"]].drop_duplicates())),
        seeds=sweep.seed_count,
        trials=str(len(trials)),
        date=results.meta.get("created_at", "–")[:10],
        state=f"self-reported ({number} differences)" if (number := len(differences) + len(found.differences)) else "recomputed",
    )


def _short(sections: list[Section]) -> str:
    """What the first comparison found in one sentence, and how many more there are."""
    partial = "Partial results. " if any(section.partial for section in sections) else ""
    concluded = [text for section in sections for text in section.conclusions]
    found = [finding for section in sections for finding in section.findings]
    if concluded:
        return f"{partial}{concluded[0]} " + (f"{count(len(found), 'comparison')} of algorithms in the report." if found else "")
    if not found:
        return partial + (sections[0].alone if sections else "No trials.")
    more = f" {count(len(found) - 1, 'more comparison')} in the report." if len(found) > 1 else ""
    return f"{partial}{found[0].headline}{more}"


def _readme(entries: list[Entry], reproduced: bool) -> str:
    head = "| leaderboard | finding | claims | search space | data set | algorithms | architectures | seeds | trials | date | state |"
    lines = [head, "|" + "---|" * 11]
    for entry in entries:
        texts = [entry.finding, entry.claims, entry.search_spaces, entry.datasets, entry.algorithms, entry.architectures, entry.seeds]
        texts += [entry.trials, entry.date, entry.state]
        cells = [f"[{as_plain_markdown(entry.name)}]({entry.link}/README.md)", *(as_plain_markdown(text) for text in texts)]
        lines.append(f"| {' | '.join(cells)} |")
    listed = "\n".join(lines) if entries else "Nothing is published here yet."
    if reproduced:
        listed += f"\n\nExperiments of papers, run again, with their numbers beside ours: [reproductions]({REPRODUCTIONS}/README.md)."
    return (HERE / "explanation.md").read_text(encoding="utf-8").replace("{{ entries }}", listed)
