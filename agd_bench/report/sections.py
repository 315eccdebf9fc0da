"""The content of the page for one comparison group: findings first, then the parts in the order of the questions."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from dataclasses import dataclass

import pandas as pd

from agd_bench.analysis.rows import Group, group_title, known, split_groups
from agd_bench.figures import Drawing
from agd_bench.report import budget_tables, comparison_tables, pairs, pictures, ranking_tables, tuner_tables
from agd_bench.report.comparison import Builder, Comparison, Part, Shown, make_part
from agd_bench.report.findings import Finding, finding
from agd_bench.report.overview import Overview, make_overview, tiers_of
from agd_bench.report.pairs import Pairs, pair_numbers
from agd_bench.report.sentences import count, published_sentence
from agd_bench.report.surroundings import ALONE, Surroundings
from agd_bench.store import Results
from agd_bench.studies import STUDIES, Study


def _shown_by(study: Study) -> Builder:
    """Builder for the output of a study."""

    def build(comparison: Comparison) -> Iterator[Shown]:
        for shown in study.show(comparison.tables):
            # Comparisons share a page and a folder of figures, so names need the anchor.
            yield shown if isinstance(shown, str) else dataclasses.replace(shown, name=f"{comparison.anchor}-{shown.name}")

    return build


PARTS: tuple[tuple[str, tuple[Builder, ...], bool], ...] = (
    *((study.question, (_shown_by(study),), False) for study in STUDIES),
    ("How long must a training be?", (budget_tables.accuracy, budget_tables.agreement, budget_tables.proxies), False),
    ("Do the ranks shift?", (pictures.rank_shifts, pictures.agreement), False),
    ("Does the published ranking hold?", (pictures.published, ranking_tables.published, ranking_tables.published_top), False),
    ("Which settings were chosen for all workloads?", (comparison_tables.calibrations,), False),
    (
        "What does it cost, and when does tuning pay?",
        (comparison_tables.lanes, tuner_tables.tuners, pictures.crossovers, pictures.anytime),
        False,
    ),
    ("What drives the shifts?", (pictures.drivers,), True),
    ("How do the algorithms compare?", (pictures.contrasts, pairs.pair_table), True),
    (
        "Tables",
        (
            comparison_tables.algorithms,
            ranking_tables.agreement,
            ranking_tables.transfer,
            comparison_tables.views,
            comparison_tables.architectures,
        ),
        False,
    ),
    ("More tables", (ranking_tables.overlap, comparison_tables.scopes, comparison_tables.decisions), True),
    ("How the trainings went", (pictures.curves, pictures.steps, comparison_tables.decreases), True),
)
"""Heading, builders, whether collapsed. To add a figure or table, add a builder here and its table to `aggregates`."""


@dataclass(frozen=True)
class Section:
    """One comparison group on the page.

    Attributes:
        id: its anchor.
        group: search space, data set, profile.
        title: description of search space, data set and profile.
        overview: the first screen.
        findings: one per challenger; empty if only the first screen is requested.
        conclusions: sentences of the studies that the sweep belongs to, and about its budgets.
        evidence: a sentence for each algorithm whose ranking is compared with a published one.
        partial: what is missing from an unfinished run; otherwise empty.
        pairs: the numbers of every two algorithms; None if there are not two, or if only text is requested.
        parts: pictures and tables by heading; empty if only text is requested.
    """

    id: str
    group: Group
    title: str
    overview: Overview
    findings: tuple[Finding, ...]
    conclusions: tuple[str, ...]
    evidence: tuple[str, ...]
    partial: str
    pairs: Pairs | None = None
    parts: tuple[Part, ...] = ()

    @property
    def drawings(self) -> tuple[Drawing, ...]:
        """All figures in the order of the page."""
        first = () if self.overview.drawing is None else (self.overview.drawing,)
        return (*first, *(drawing for part in self.parts for drawing in part.drawings))


def make_sections(results: Results, tables: dict[str, pd.DataFrame], draw: bool = True, around: Surroundings = ALONE) -> list[Section]:
    """Build the sections of a report in the order of the plan.

    Args:
        results: the raw rows.
        tables: `aggregates` of them.
        draw: whether to include pictures and tables; text alone is fast.
        around: the other pages of a site, and what audits found.
    """
    sections = []
    tiers = tiers_of(results)
    order = [choice.label for choice in results.sweep.algorithms]
    for number, (group, own) in enumerate(split_groups(tables).items(), 1):
        # In a partial run, some algorithms have no rows yet.
        present = set(own["accuracy"]["algorithm"])
        labels = tuple(label for label in order if label in present)
        comparison = Comparison(group, f"g{number}", own, results.sweep.baseline_label, labels, around)
        findings = tuple(finding(own, comparison.baseline, rival) for rival in comparison.rivals) if draw else ()
        overview = make_overview(comparison, results.sweep, tiers, draw)
        parts = tuple(made for part in PARTS if (made := make_part(comparison, *part)).shown) if draw else ()
        partial = _partial(own.get("progress"))
        sections.append(
            Section(
                comparison.anchor,
                group,
                group_title(group),
                overview,
                findings,
                _conclusions(comparison),
                _evidence(comparison),
                partial,
                pair_numbers(comparison) if draw else None,
                parts,
            )
        )
    return sections


def _conclusions(comparison: Comparison) -> tuple[str, ...]:
    studied = (sentence for study in STUDIES for sentence in study.conclusions(comparison.tables))
    return (*studied, *budget_tables.budget_sentences(comparison))


def _evidence(comparison: Comparison) -> tuple[str, ...]:
    """Sentences about each algorithm's agreement with the most informative published budget."""
    agreement = comparison.records("published_agreement")
    telling = [
        # Prefer budgets with individual published trainings, because only they give a noise ceiling; then the longest.
        max((row for row in agreement if row["algorithm"] == label), key=lambda row: (known(row, "noise_ceiling"), row["published_epochs"]))
        for label in dict.fromkeys(row["algorithm"] for row in agreement)
    ]
    return tuple(published_sentence(row) for row in telling)


def _partial(progress: pd.DataFrame | None) -> str:
    """The progress of a group and the part of it that is compared; empty if it has ended."""
    if progress is None or (row := progress.iloc[0])["ended"] == row["planned"]:
        return ""
    said = f"Partial results: {row['ended']} of {row['planned']} planned trials have ended."
    if not row["cases"]:
        return f"{said} No architecture has been trained by every algorithm from the same seed yet, so the algorithms cannot be compared."
    waiting = row["ended"] - row["compared"]
    left = f"; {count(waiting, 'more ended trial')} not compared because counterparts are missing" if waiting else ""
    everyone = row["ahead"] == row["algorithms"]
    whose = "every algorithm has trained" if everyone else f"{row['ahead']} of {row['algorithms']} algorithms have trained so far"
    those = count(row["architectures"], "architecture")
    if row["named"] > row["architectures"]:
        those = f"{count(row['architectures'], 'different network')} ({row['named']} architectures)"
    compared = f"Compared: {those} that {whose} ({count(row['cases'], 'training')} of each{left})."
    return f"{said} {compared} All numbers here can still change."
