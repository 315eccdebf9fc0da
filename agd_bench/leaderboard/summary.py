"""Short descriptions of a leaderboard: its README, its figure, and its line in the list."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple
from urllib.parse import quote

import pandas as pd

from agd_bench.analysis.rows import split_groups
from agd_bench.figures import accuracy_against_cost
from agd_bench.leaderboard.audits import badges
from agd_bench.leaderboard.data_card import TYPES, front_matter
from agd_bench.records.audit import Audit
from agd_bench.records.competition import BENCHMARK, ENTRIES, ENTRY
from agd_bench.report import count_states
from agd_bench.report.page import as_plain_markdown, format_table
from agd_bench.report.sections import Section, make_sections
from agd_bench.report.sentences import count
from agd_bench.report.surroundings import Surroundings
from agd_bench.store import Results, mixed_code
from agd_bench.store.entry_rows import ABOUT_ENTRIES
from agd_bench.tables import aggregates

FIGURE = "cost.svg"
BOARD_FILES = [
    [f"`{FIGURE}`", "the figure above"],
    [f"`{BENCHMARK}`", "what every entry trains, its lite part, and the checksums of the data"],
    [f"`{ENTRIES}/NAME/{ENTRY}`", "what an entry states: paper, licence, code, hardware, which entries it supersedes"],
    [
        f"`{ENTRIES}/NAME/`",
        "its raw rows: `trials.csv`, `curves.csv`, `attempts.csv`, `sweep.json`, `meta.json`, `provenance.json`, `manifest.json`",
    ],
    ["`claims.toml`", "the claims with their queries, tests and thresholds; `agd-bench claims FOLDER` evaluates them again"],
    [f"`{TYPES}`", "column types, for data hubs"],
    ["`manifest.json`", "SHA-256 of each file and each claim definition"],
]
EVIDENCE_FILES = {
    "published": "accuracies that the authors of the search space published",
    "rate_factors": "factor on the base learning rate for each architecture",
    "features": "properties of each architecture from the search space's plug-in, such as its depth",
}


class Additions(NamedTuple):
    """What a published folder has in addition to its rows.

    Attributes:
        lite: results of the lite part, of a board with entries that have no other rows.
        audits: samples that were trained again.
    """

    lite: Results | None = None
    audits: tuple[Audit, ...] = ()


@dataclass(frozen=True)
class Summary:
    """One line in the list of published folders; all entries are text."""

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
    """The folder's line in a list."""
    sweep, trials = results.sweep, results.trials
    final = trials[trials["purpose"] == "final"]
    return Summary(
        name=sweep.name,
        finding=_short(make_sections(results, tables, draw=False)),
        claims=count_states(claims),
        search_spaces=", ".join(choice.label for choice in sweep.search_spaces),
        datasets=", ".join(choice.label for choice in sweep.datasets),
        algorithms=", ".join(choice.label for choice in sweep.algorithms),
        architectures=str(len(final[["search_space", "architecture"]].drop_duplicates())),
        seeds=sweep.seed_count,
        trials=str(len(trials)),
        # The date of an ISO 8601 time.
        date=results.meta.get("created_at", "–")[:10],
    )


def reruns_of(results: Results, audits: Sequence[Audit]) -> dict[str, str]:
    """The badge of each algorithm, by its label; empty for a plain folder without audits."""
    if not audits and ABOUT_ENTRIES not in results.meta:
        return {}
    return badges(results, audits)


def draw_board(results: Results, tables: dict[str, pd.DataFrame]) -> str:
    """Accuracy against charged cost in the first comparison group, as SVG."""
    own = next(iter(split_groups(tables).values()), tables)
    # White background: dark ink would be invisible on a dark page, and a README has no styles.
    return accuracy_against_cost(own["standings"], results.sweep.baseline_label).svg(transparent=False)


def describe_board(results: Results, tables: dict[str, pd.DataFrame], claims: pd.DataFrame, additions: Additions) -> str:
    """The folder's README: the first screen of each comparison's page, then the claims, then the list of files."""
    sweep = results.sweep
    around = Surroundings(reruns=reruns_of(results, additions.audits))
    sections = make_sections(results, tables, draw=False, around=around)
    parts = [front_matter(results), f"# {sweep.name}", as_plain_markdown(sweep.description), *map(as_plain_markdown, mixed_code(results))]
    for number, section in enumerate(sections):
        parts += [f"## {as_plain_markdown(section.title)}", *_first_screen(section)]
        if not number:
            parts.append(f"![Accuracy against charged cost]({FIGURE})")
    if additions.lite is not None:
        parts.append("# Lite part\n\nEntries with rows of the lite part only, next to the others on the same trainings.")
        for section in make_sections(additions.lite, aggregates(additions.lite), draw=False, around=around):
            parts += [f"## {as_plain_markdown(section.title)}", *_first_screen(section)]
    if ABOUT_ENTRIES in results.meta:
        parts += ["## Entries", *_entries(json.loads(results.meta[ABOUT_ENTRIES]), badges(results, additions.audits))]
    if additions.audits:
        parts += ["## Audits", *_audits(additions.audits)]
    rows = claims[["state", "sentence", "digest"]].itertuples(index=False, name=None)
    claimed = [f"- {state}: {as_plain_markdown(sentence)} (`{digest[:16]}`)" for state, sentence, digest in rows]
    parts += ["## Claims", count_states(claims) + ".", "\n".join(claimed), "## Files", _files(results)]
    parts.append(
        "`agd-bench verify FOLDER` recomputes this page and its figure from the raw rows. `agd-bench report FOLDER --out DIR` writes "
        "the full report with figures, tables, failures and provenance."
    )
    return "\n\n".join(part for part in parts if part) + "\n"


def _first_screen(section: Section) -> list[str]:
    """Headline, caveat and standings of one comparison as paragraphs of Markdown."""
    table = section.overview.standings
    cells = [[as_plain_markdown(cell.text) for cell in row] for row in table.rows]
    head = [as_plain_markdown(column.label) for column in table.columns]
    said = [section.partial, *section.conclusions, section.overview.headline]
    paragraphs = [f"**{as_plain_markdown(text)}**" for text in said if text] + [section.overview.caveat]
    return [*paragraphs, format_table(head, cells), " ".join(section.overview.notes), *map(as_plain_markdown, section.evidence)]


def _audits(audits: tuple[Audit, ...]) -> list[str]:
    """The audits as a table, how to read it, and their notes."""
    head = ["Algorithm", "Rerun", "Equal", "Outside", "Sample", "Band, points", "By", "Date", "On", "Code"]
    said = (
        "A random sample was trained again. Equal: to the last digits. The band is the largest difference of test accuracy that seed noise "
        "explains. Code: same, if the training code, plug-ins, torch and device were those of the published rows, else the digest of the "
        "training code."
    )
    notes = [f"- {as_plain_markdown(audit.algorithm)}: {as_plain_markdown(audit.note)}" for audit in audits if audit.note]
    return [said, format_table(head, map(_audit_cells, audits)), *(["\n".join(notes)] if notes else [])]


def _audit_cells(audit: Audit) -> list[str]:
    counts = [sum(one.verdict == verdict for one in audit.reruns) for verdict in ("equal", "outside")]
    same = all(one.same for one in audit.reruns)
    return [
        as_plain_markdown(audit.algorithm),
        *map(str, [len(audit.reruns), *counts]),
        f"{100 * audit.share:g} % by seed {audit.seed}",
        f"{100 * max(one.band for one in audit.reruns):.1f}",
        *(as_plain_markdown(text or "–") for text in (audit.by, audit.date, audit.provenance.get("device", ""))),
        "same" if same else as_plain_markdown(audit.provenance.get("engine_digest", "–")),
    ]


def _entries(entries: dict[str, dict[str, Any]], states: dict[str, str]) -> list[str]:
    """The ranked entries as a table, how to read its last column, and a line for each of the others."""
    rows = [
        [
            f"[{as_plain_markdown(name)}]({ENTRIES}/{quote(name)}/{ENTRY})",
            *(as_plain_markdown(str(entry[key])) for key in ("title", "tier")),
            as_plain_markdown(", ".join(entry["hardware"]) or "–"),
            as_plain_markdown(", ".join(entry["authors"]) or "–"),
            as_plain_markdown(entry["code"] or "agd-bench"),
            entry["part"],
            states.get(name, "–"),
        ]
        for name, entry in entries.items()
        if entry["ranked"] or (entry["part"] == "lite" and not _set_aside(name, entries))
    ]
    head = ["Entry", "Algorithm", "Tier", "Trained on", "By", "Code", "Part", "Rerun"]
    said = "Rerun: how many of an entry's trials somebody trained again; 'consistent' if none, and its rows do not contradict each other."
    return [format_table(head, rows), said, *(f"- {line}" for name in entries if (line := _set_aside(name, entries)))]


def _set_aside(name: str, entries: dict[str, dict[str, Any]]) -> str:
    """Why an entry is not ranked, in Markdown; empty if it is."""
    if entries[name]["withdrawn"]:
        return as_plain_markdown(f"{name} was withdrawn: {entries[name]['withdrawn']}")
    by = [other for other, entry in entries.items() if name in entry["supersedes"] and not entry["withdrawn"]]
    return as_plain_markdown(f"{name} was superseded by {', '.join(by)}") if by else ""


def _files(results: Results) -> str:
    """The list of the folder's files."""
    if ABOUT_ENTRIES in results.meta:
        return format_table(["file", "content"], BOARD_FILES)
    lines = [
        [f"`{FIGURE}`", "the figure above"],
        ["`trials.csv`, `curves.csv`, `attempts.csv`", "the raw rows: one per trial, per epoch and per attempt"],
        *([f"`{table}.csv`", text] for table, text in EVIDENCE_FILES.items() if len(getattr(results, table))),
        ["`provenance.json`", "versions and devices, to whose places in the list the attempts refer"],
        ["`sweep.json`", "the sweep; `agd-bench run sweep.json` repeats it"],
        ["`meta.json`", "versions, devices, digests of the plug-ins"],
        ["`claims.toml`", "the claims with their queries, tests and thresholds; `agd-bench claims FOLDER` evaluates them again"],
        [f"`{TYPES}`", "column types, for data hubs"],
        ["`manifest.json`", "SHA-256 of each file and each claim definition"],
    ]
    if (results.trials["representative"].notna() & (results.trials["status"] != "pending")).any():
        lines.insert(2, ["`equals.csv`", "trials that were not trained because they reuse the results of an equal network"])
    return format_table(["file", "content"], lines)


def _short(sections: list[Section]) -> str:
    """The finding of the first comparison in one sentence, and the number of further comparisons."""
    if not sections:
        return "No trials."
    partial = "Partial results. " if any(section.partial for section in sections) else ""
    first = next((text for section in sections for text in section.conclusions), sections[0].overview.headline)
    more = f" {count(len(sections) - 1, 'more comparison')}." if len(sections) > 1 else ""
    return f"{partial}{first}{more}"
