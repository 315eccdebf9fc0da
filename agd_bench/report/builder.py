"""Write the report: the page, its figures as SVG and PNG, and its data as CSV."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pandas as pd

from agd_bench.analysis.rows import group_title, rows_of
from agd_bench.report.cells import ALGORITHM, Column, Table, make_table, seconds
from agd_bench.report.claim_rows import count_states, present_claims
from agd_bench.report.page import write_page
from agd_bench.report.sections import Section, make_sections
from agd_bench.report.surroundings import ALONE, Surroundings
from agd_bench.store import Results, mixed_code, planned_counts, written_beside
from agd_bench.tables import aggregates
from agd_bench.tables.dictionary import dictionary_of

# Keeps the page readable; data/failures.csv holds every row.
SHOWN_FAILURES = 100
FACETS = ("search space", "data set", "profile")


def build_report(
    results: Results,
    folder: Path,
    tables: dict[str, pd.DataFrame] | None = None,
    claims: pd.DataFrame | None = None,
    around: Surroundings = ALONE,
) -> Path:
    """Write the report of a complete or partial run into a folder.

    Args:
        results: the raw rows.
        folder: created if it does not exist; files of the same names are replaced.
        tables: `aggregates` of the results, if already computed.
        claims: evaluated claims to show (`agd_bench.claims.evaluate_claims`); default: none.
        around: the other pages of a site; default: none. The figures of a site are SVG only.

    Returns:
        `folder / "index.html"`, a page that loads nothing from other hosts. Next to it are `figures/` (SVG and PNG), `data/` (every table
        of `aggregates` as CSV, the claims, and the dictionary of all columns) and `sweep.json` (the sweep, to run again).
    """
    tables = aggregates(results) if tables is None else tables
    sections = make_sections(results, tables, around=around)
    sweep = results.sweep.model_dump_json(indent=2) + "\n"
    published = tables if claims is None else tables | {"claims": claims}
    dictionary = dictionary_of(published)
    # Move the finished folder into place, so a reader never sees half a report.
    with written_beside(folder) as beside:
        for name in ("data", "figures"):
            (beside / name).mkdir()
        for name, table in (published | {"dictionary": dictionary}).items():
            # "\n" on Windows too, so equal reports are equal bytes everywhere.
            table.to_csv(beside / "data" / f"{name}.csv", index=False, lineterminator="\n")
        for drawing in [drawing for section in sections for drawing in section.drawings]:
            (beside / "figures" / f"{drawing.name}.svg").write_text(drawing.picture.svg(), encoding="utf-8", newline="\n")
            if not around.index:
                (beside / "figures" / f"{drawing.name}.png").write_bytes(drawing.picture.png())
        (beside / "sweep.json").write_text(sweep, encoding="utf-8", newline="\n")
        _write(beside / "index.html", results, sections, _failures(tables["failures"]), claims, dictionary, sweep, around)
    return folder / "index.html"


def first_screen(results: Results, tables: dict[str, pd.DataFrame] | None = None) -> Iterator[str | pd.DataFrame]:
    """The first screen of every comparison for a terminal: sentences, and the algorithms by result as a table of texts.

    Args:
        results: the raw rows.
        tables: `aggregates` of the results, if already computed.
    """
    sections = make_sections(results, aggregates(results) if tables is None else tables, draw=False)
    for section in sections:
        overview = section.overview
        title = f"\n{section.title}" if len(sections) > 1 else ""
        yield from filter(None, [title, section.partial, *section.conclusions, overview.headline, overview.caveat])
        columns = [column.label for column in overview.standings.columns]
        yield pd.DataFrame([[cell.text for cell in row] for row in overview.standings.rows], columns=columns)
        yield from [*overview.notes, *section.evidence]
    yield from mixed_code(results)


def _write(
    page: Path,
    results: Results,
    sections: list[Section],
    failures: Table,
    claims: pd.DataFrame | None,
    dictionary: pd.DataFrame,
    sweep: str,
    around: Surroundings,
) -> Path:
    return write_page(
        page,
        "report.html.jinja",
        results=results,
        around=around,
        code=_code(results),
        facets=_facets(sections),
        dictionary=[(name, rows) for name, rows in dictionary.groupby(["table", "summary"], sort=False)],
        sweep=sweep,
        sections=sections,
        claims=[] if claims is None else present_claims(claims),
        counts="" if claims is None else count_states(claims),
        failures=failures,
        facts=_facts(results),
        mixed_code=mixed_code(results),
        provenance=_provenance(results.attempts),
        planned=int(planned_counts(results)["planned"].sum()),
        ended=int((~results.trials["status"].isin(["pending", "running"])).sum()),
    )


def _code(results: Results) -> list[tuple[str, str]]:
    """The code that made the rows: versions, and digests of the plug-ins."""
    stated = {name: dict(json.loads(results.meta.get(name, "{}"))) for name in ("versions", "plugin_digests")}
    versions = [(name, stated["versions"][name]) for name in ("agd-bench", "torch") if name in stated["versions"]]
    return [*versions, *stated["plugin_digests"].items()]


def _facets(sections: list[Section]) -> dict[str, list[str]]:
    """What the comparisons of a page differ in, with the values to choose from."""
    values = {name: list(dict.fromkeys(section.group[place] for section in sections)) for place, name in enumerate(FACETS)}
    return {name: found for name, found in values.items() if len(found) > 1}


def _failures(table: pd.DataFrame) -> Table:
    records = rows_of(table)
    for record in records:
        record["where"] = group_title((record["search_space"], record["dataset"], record["profile"]))
    columns = (
        ALGORITHM,
        Column("Purpose", "final: compared; tuning: tries a proposal", "purpose", numeric=False),
        Column("Outcome", "how the trial ended", "status", numeric=False),
        Column("Reason", "the error message", "reason", numeric=False, prose=True),
        Column("Trials", "how many ended this way", "trials"),
        Column("Architectures", "how many different architectures", "architectures"),
        Column("Charged time", "time of all their attempts", "charged_seconds", seconds),
        Column("Example", "architecture of the first trial", "example", numeric=False),
        Column("Where", "search space, data set, profile", "where", numeric=False, prose=True),
    )
    caption = "Unsuccessful trials, grouped by reason"
    return make_table("failures-table", caption, columns, records[:SHOWN_FAILURES], "data/failures.csv", len(records))


def _facts(results: Results) -> list[tuple[str, str]]:
    """The settings of the run, for a reader who has not seen the sweep."""
    sweep, trials = results.sweep, results.trials
    final = trials[trials["purpose"] == "final"]
    planned = planned_counts(results).groupby("purpose")["planned"].sum()
    counts = f"{planned.sum()} ({planned.get('final', 0)} final, {planned.get('tuning', 0)} for tuning)"
    facts = [
        ("Search spaces", ", ".join(choice.label for choice in sweep.search_spaces)),
        # Tuning may train other networks, such as proxies, which are not compared.
        ("Architectures", str(final[["search_space", "architecture"]].drop_duplicates().shape[0])),
        ("Data sets", ", ".join(f"{choice.label} ({100 * choice.share:g} % of the training images)" for choice in sweep.datasets)),
        ("Algorithms", ", ".join(choice.label for choice in sweep.algorithms)),
        ("Baseline", sweep.baseline_label),
        ("Profiles", ", ".join(sweep.profiles)),
        ("Epochs, batch size", f"{' and '.join(str(budget) for budget in sweep.budgets)}, {sweep.batch_size}"),
        ("Seeds", f"adaptive, {sweep.seed_count}" if sweep.adaptive_seeds else ", ".join(str(seed) for seed in sweep.seeds)),
        ("Arithmetic", sweep.precision),
        ("Trials planned", counts),
        *_represented(results),
        ("Lost attempts, charged", str(int((results.attempts["outcome"] == "lost").sum()))),
        ("Started", results.meta.get("created_at", "not recorded")),
    ]
    return facts


def _represented(results: Results) -> list[tuple[str, str]]:
    """Trials that were not trained because an equal network was; empty if every trial was trained."""
    # A pending trial may refer to a representative that has not been trained yet.
    ended = results.trials[results.trials["status"] != "pending"]
    taken = ended[ended["representative"].notna()]
    architectures = len(taken[["search_space", "architecture"]].drop_duplicates())
    said = (
        f"{architectures} architectures reuse the results of an equal architecture that was trained ({len(taken)} final trials, not "
        "charged); each network counts once, no matter how many architectures describe it"
    )
    return [("Equal networks", said)] if len(taken) else []


def _provenance(attempts: pd.DataFrame) -> list[tuple[str, str]]:
    """Every fact that attempts record about their environment, with the values that occurred."""
    found: dict[str, dict[str, int]] = {}
    # Parse each distinct text once: there are many attempts but few machines.
    for text, count in attempts["provenance"].dropna().value_counts(sort=False).items():
        for key, value in json.loads(str(text)).items():
            if value not in ("", None):
                values = found.setdefault(str(key).replace("_", " "), {})
                values[str(value)] = values.get(str(value), 0) + int(count)
    return [
        (
            key,
            "; ".join(sorted(values))
            if len(values) == 1
            else "; ".join(f"{value} ({count} attempts)" for value, count in sorted(values.items())),
        )
        for key, values in sorted(found.items())
    ]
