"""What the page says of one comparison group: findings first, then the parts in the order of the questions."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from dataclasses import dataclass

import pandas as pd

from agd_bench.analysis.rows import known
from agd_bench.report import comparison_tables, pictures, ranking_tables
from agd_bench.report.comparison import Builder, Comparison, Part, Shown, make_part
from agd_bench.report.sentences import Finding, finding
from agd_bench.report.sentences.numbers import count
from agd_bench.report.sentences.rankings import published_sentence
from agd_bench.store import Results
from agd_bench.studies import STUDIES, Study
from agd_bench.tables import group_title, split_groups


def _shown_by(study: Study) -> Builder:
    """Builds what a study shows of a comparison."""

    def build(comparison: Comparison) -> Iterator[Shown]:
        for shown in study.show(comparison.tables):
            yield shown if isinstance(shown, str) else dataclasses.replace(shown, name=f"{comparison.anchor}-{shown.name}")

    return build


PARTS: tuple[tuple[str, tuple[Builder, ...], bool], ...] = (
    *((study.question, (_shown_by(study),), False) for study in STUDIES),
    ("Do the ranks shift?", (pictures.rank_shifts, pictures.agreement), False),
    ("Does the published ranking hold?", (pictures.published, ranking_tables.published, ranking_tables.published_top), False),
    ("Which settings were chosen for all workloads?", (comparison_tables.calibrations,), False),
    (
        "What does it cost, and when does tuning pay?",
        (pictures.cost, comparison_tables.lanes, pictures.crossovers, pictures.anytime),
        False,
    ),
    ("What drives the shifts?", (pictures.drivers,), True),
    ("How do the algorithms compare?", (pictures.contrasts,), True),
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
"""Heading, builders, whether folded. A new figure or table is one more builder here, and its table one more in `aggregates`."""


@dataclass(frozen=True)
class Section:
    """One comparison group on the page.

    Attributes:
        id: its anchor.
        title: search space, data set and profile in words.
        findings: one per challenger.
        alone: what is said instead where there is only one algorithm.
        conclusions: what the experiments of single papers that the sweep belongs to say.
        evidence: a sentence for each algorithm whose ranking is held against a published one.
        partial: what is missing, of a run that has not ended; else empty.
        parts: pictures and tables by heading; none where only words are asked for.
    """

    id: str
    title: str
    findings: tuple[Finding, ...]
    alone: str
    conclusions: tuple[str, ...]
    evidence: tuple[str, ...]
    partial: str
    parts: tuple[Part, ...] = ()


def make_sections(results: Results, tables: dict[str, pd.DataFrame], draw: bool = True) -> list[Section]:
    """The sections of a report, in the order of the plan.

    Args:
        results: the raw rows.
        tables: `aggregates` of them.
        draw: whether with pictures and tables; else with words alone, which is quick.
    """
    sections = []
    order = [choice.label for choice in results.sweep.algorithms]
    for number, (group, own) in enumerate(split_groups(tables).items(), 1):
        present = set(own["accuracy"]["algorithm"])
        comparison = Comparison(group, f"g{number}", own, results.sweep.baseline_label, tuple(label for label in order if label in present))
        findings = tuple(finding(own, comparison.baseline, rival) for rival in comparison.rivals)
        parts = tuple(made for part in PARTS if (made := make_part(comparison, *part)).shown) if draw else ()
        alone = "" if comparison.rivals else _alone(own["accuracy"])
        partial = _partial(own.get("progress"))
        sections.append(
            Section(comparison.anchor, group_title(group), findings, alone, _conclusions(comparison), _evidence(comparison), partial, parts)
        )
    return sections


def _conclusions(comparison: Comparison) -> tuple[str, ...]:
    return tuple(sentence for study in STUDIES for sentence in study.conclusions(comparison.tables))


def _evidence(comparison: Comparison) -> tuple[str, ...]:
    """Sentences about each algorithm's agreement with the published budget that tells most."""
    agreement = comparison.records("published_agreement")
    telling = [
        max((row for row in agreement if row["algorithm"] == label), key=lambda row: (known(row, "noise_ceiling"), row["published_epochs"]))
        for label in dict.fromkeys(row["algorithm"] for row in agreement)
    ]
    return tuple(published_sentence(row) for row in telling)


def _alone(accuracy: pd.DataFrame) -> str:
    row = accuracy.iloc[0]
    if row["architectures"] == 0:
        return f"No final trial of {row['algorithm']} was trained to its end yet, and there is no other algorithm to compare it with."
    scope = f"{row['architectures']} architecture(s), {row['seeds']} seed(s)"
    reached = f"{row['algorithm']} reached {100 * row['mean_accuracy']:.1f} % test accuracy on average ({scope})."
    return f"{reached} With one algorithm there is nothing to compare it with."


def _partial(progress: pd.DataFrame | None) -> str:
    """How far a group is, and what is compared of it; empty where it has ended."""
    if progress is None or (row := progress.iloc[0])["ended"] == row["planned"]:
        return ""
    said = f"Partial results: {row['ended']} of {row['planned']} planned trials have ended."
    if not row["cases"]:
        return f"{said} No architecture has been trained by every algorithm from one seed yet, so nothing here compares like with like."
    waiting = row["ended"] - row["compared"]
    left = f"; {count(waiting, 'more ended trial')} without all counterparts" if waiting else ""
    everyone = row["ahead"] == row["algorithms"]
    whose = "every algorithm has trained" if everyone else f"{row['ahead']} of {row['algorithms']} algorithms have trained so far"
    those = count(row["architectures"], "architecture")
    if row["named"] > row["architectures"]:
        those = f"{count(row['architectures'], 'different network')}, which {row['named']} architectures name,"
    compared = f"Compared: {those} that {whose} ({count(row['cases'], 'training')} of each{left})."
    return f"{said} {compared} Every number here can still change."
