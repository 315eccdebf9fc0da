"""What is said of a board in few words: its README, its figure, and its line in a list."""

from __future__ import annotations

from dataclasses import dataclass

import pandas as pd

from agd_bench.analysis.rows import split_groups
from agd_bench.figures import accuracy_against_cost
from agd_bench.report import count_states
from agd_bench.report.page import as_plain_markdown, format_table
from agd_bench.report.sections import Section, make_sections
from agd_bench.report.sentences import count
from agd_bench.store import Results, mixed_code

FIGURE = "cost.svg"
EVIDENCE_FILES = {
    "published": "what the authors of the search space published of its architectures",
    "rate_factors": "by what a base learning rate is multiplied for each architecture",
    "features": "numbers that the search space's plug-in states of each architecture, such as its depth",
}


@dataclass(frozen=True)
class Summary:
    """A published folder in a list of them, every entry a text."""

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


def summarise(results: Results, tables: dict[str, pd.DataFrame], claims: pd.DataFrame) -> Summary:
    """The folder's line in a list.

    Args:
        results: the raw rows.
        tables: `aggregates` of them.
        claims: as they were evaluated.
    """
    sweep, trials = results.sweep, results.trials
    final = trials[trials["purpose"] == "final"]
    return Summary(
        name=sweep.name,
        finding=_short(make_sections(results, tables, draw=False)),
        claims=count_states(claims),
        search_spaces=", ".join(choice.label for choice in sweep.search_spaces),
        datasets=", ".join(choice.name for choice in sweep.datasets),
        algorithms=", ".join(choice.label for choice in sweep.algorithms),
        architectures=str(len(final[["search_space", "architecture"]].drop_duplicates())),
        seeds=sweep.seed_count,
        trials=str(len(trials)),
        # The day of an ISO 8601 time.
        date=results.meta.get("created_at", "–")[:10],
    )


def draw_board(results: Results, tables: dict[str, pd.DataFrame]) -> str:
    """Accuracy against charged cost in the first comparison group, as SVG.

    Args:
        results: the raw rows.
        tables: `aggregates` of them.
    """
    own = next(iter(split_groups(tables).values()), tables)
    # On a white ground: dark ink would vanish on a dark page, and a README has no styles.
    return accuracy_against_cost(own["standings"], results.sweep.baseline_label).svg(transparent=False)


def describe_board(results: Results, tables: dict[str, pd.DataFrame], claims: pd.DataFrame) -> str:
    """The folder's README: for each comparison the first screen of its page, then the claims, and where everything is.

    Args:
        results: the raw rows.
        tables: `aggregates` of them.
        claims: as they were evaluated.
    """
    sweep = results.sweep
    sections = make_sections(results, tables, draw=False)
    parts = [f"# {sweep.name}", as_plain_markdown(sweep.description), *map(as_plain_markdown, mixed_code(results))]
    for number, section in enumerate(sections):
        parts += [f"## {as_plain_markdown(section.title)}", *_first_screen(section)]
        if not number:
            parts.append(f"![Accuracy against charged cost]({FIGURE})")
    rows = claims[["state", "sentence", "digest"]].itertuples(index=False, name=None)
    claimed = [f"- {state}: {as_plain_markdown(sentence)} (`{digest[:16]}`)" for state, sentence, digest in rows]
    parts += ["## Claims", count_states(claims) + ".", "\n".join(claimed), "## Files", _files(results)]
    parts.append(
        "`agd-bench verify` with this folder recomputes this page and its figure from the raw rows. `agd-bench report` with this folder "
        "and `--out` writes the whole report: figures, tables, failures, provenance."
    )
    return "\n\n".join(part for part in parts if part) + "\n"


def _first_screen(section: Section) -> list[str]:
    """Headline, caveat and standings of one comparison, each a paragraph of Markdown."""
    table = section.overview.standings
    cells = [[as_plain_markdown(cell.text) for cell in row] for row in table.rows]
    head = [as_plain_markdown(column.label) for column in table.columns]
    said = [section.partial, *section.conclusions, section.overview.headline]
    paragraphs = [f"**{as_plain_markdown(text)}**" for text in said if text] + [section.overview.caveat]
    return [*paragraphs, format_table(head, cells), " ".join(section.overview.notes), *map(as_plain_markdown, section.evidence)]


def _files(results: Results) -> str:
    """What the folder holds."""
    lines = [
        [f"`{FIGURE}`", "the figure above"],
        ["`trials.csv`, `curves.csv`, `attempts.csv`", "the raw rows: one per trial, per epoch, per execution"],
        *([f"`{table}.csv`", text] for table, text in EVIDENCE_FILES.items() if len(getattr(results, table))),
        ["`sweep.json`", "the sweep; `agd-bench run sweep.json` runs it again"],
        ["`meta.json`", "versions, devices, digests of the plug-ins"],
        ["`claims.toml`", "the claims: query, test and threshold of each; `agd-bench claims` with this folder evaluates them again"],
        ["`manifest.json`", "SHA-256 of each file and of each claim's definition"],
    ]
    if (results.trials["representative"].notna() & (results.trials["status"] != "pending")).any():
        lines.insert(2, ["`equals.csv`", "trials that were not trained: each has the results of an equal network's trial"])
    return format_table(["file", "content"], lines)


def _short(sections: list[Section]) -> str:
    """What the first comparison found in one sentence, and how many more there are."""
    if not sections:
        return "No trials."
    partial = "Partial results. " if any(section.partial for section in sections) else ""
    first = next((text for section in sections for text in section.conclusions), sections[0].overview.headline)
    more = f" {count(len(sections) - 1, 'more comparison')}." if len(sections) > 1 else ""
    return f"{partial}{first}{more}"
