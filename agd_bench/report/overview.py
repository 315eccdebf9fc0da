"""The first screen of one comparison: the result in a sentence, the algorithms by result, and the limits set by the budget."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from agd_bench import plugins
from agd_bench.analysis.rankings.decision import EQUIVALENT_TAU
from agd_bench.analysis.rows import Row, known, records
from agd_bench.errors import AgdBenchError
from agd_bench.figures import Drawing, accuracy_against_cost
from agd_bench.records import Sweep
from agd_bench.report.cells import MISSING, Cell, Column, Table, cell, interval, multiple, per_cent, points_lost
from agd_bench.report.comparison import Comparison
from agd_bench.report.findings import headline_sentence, no_success
from agd_bench.report.surroundings import Surroundings
from agd_bench.store import Results
from agd_bench.store.entry_rows import ABOUT_ENTRIES

BADGES = {"differs": "differs", "same": "same", "cannot tell": "cannot tell"}
FEWEST_TO_FILTER = 6
"""Number of algorithms from which the page offers to filter them."""
LONG_EPOCHS = 100
"""Epochs of the whole training split from which a training is considered as long as those of the papers."""


# Shown by a report's page, the README of a published folder, and the terminal at the end of a run.
@dataclass(frozen=True)
class Overview:
    """The first screen of one comparison.

    Attributes:
        headline: the result in one sentence.
        caveat: how long the trainings were, and what short trainings cannot show.
        standings: the algorithms, best first.
        notes: how to read the table.
        drawing: accuracy against charged cost; None if only text is requested.
    """

    headline: str
    caveat: str
    standings: Table
    notes: tuple[str, ...]
    drawing: Drawing | None


def make_overview(comparison: Comparison, sweep: Sweep, tiers: Mapping[str, str], draw: bool = True) -> Overview:
    """The first screen of one comparison.

    Args:
        comparison: the group.
        sweep: the sweep.
        tiers: how each algorithm is tuned, by label.
        draw: whether to include the figure.
    """
    rows = [dict(row) for row in records(comparison.tables, "standings")]
    decided = {row["challenger"]: row for row in records(comparison.tables, "ranking_decisions")}
    for row in rows:
        row["tier"] = tiers.get(row["algorithm"])
        row["decision"] = decided.get(row["algorithm"], {})
        row["no_success"] = no_success(comparison.tables, row["algorithm"])
    picture = accuracy_against_cost(comparison.tables["standings"], comparison.baseline) if draw else None
    return Overview(
        headline=headline_sentence(rows, comparison.baseline),
        caveat=budget_sentence(sweep, comparison.group[1]),
        standings=_table(comparison, rows),
        notes=_notes(rows, comparison.baseline),
        drawing=Drawing(f"{comparison.anchor}-cost", picture, ("standings", "cost")) if picture else None,
    )


def tiers_of(results: Results) -> dict[str, str]:
    """How the hyperparameters of each algorithm are found, by label: tuned here, or as its entry or plug-in states.

    Unknown plug-ins without an entry are left out.
    """
    entries = json.loads(results.meta.get(ABOUT_ENTRIES, "{}"))
    tiers = {}
    for choice in results.sweep.algorithms:
        if choice.tuning_trials:
            tiers[choice.label] = f"tuned, {choice.tuning_trials} trials"
            continue
        try:
            # A reader of a board need not have the plug-ins of its entries.
            source = entries.get(choice.label)
            tier = source["tier"] if source else plugins.describe(plugins.locate("algorithms", choice.name)).get("TIER")
        except AgdBenchError:  # a third-party plug-in that the reader of a published folder may not have
            continue
        # Without tuning trials, a tunable algorithm runs at its defaults.
        tiers[choice.label] = "fixed recipe" if tier == "externally tuned" else str(tier)
    return tiers


def budget_sentence(sweep: Sweep, dataset: str) -> str:
    """How long the trainings were, and what short trainings cannot show.

    Args:
        sweep: what was asked.
        dataset: label of the data set.
    """
    share = next(choice.share for choice in sweep.datasets if choice.label == dataset)
    epochs = sweep.epochs_on(dataset)
    images = "all training images" if share == 1 else f"{100 * share:g} % of the training images"
    said = f"Each network was trained for {epochs} epoch{'' if epochs == 1 else 's'} at batch size {sweep.batch_size} on {images}."
    # In epochs of the whole split: with a share of the images, each epoch has fewer steps.
    if epochs * share >= LONG_EPOCHS:
        return said
    return f"{said} Such short trainings do not show how the algorithms compare at the budgets of their papers, often hundreds of epochs."


def _table(comparison: Comparison, rows: Sequence[Row]) -> Table:
    columns = [
        Column("Place", "possible places by mean test accuracy (95 %, simultaneous for all algorithms)", numeric=False),
        Column("Algorithm", "label in the sweep", numeric=False),
        Column("Tier", "how its hyperparameters are found", numeric=False),
        Column("Accuracy, %", "mean test accuracy over architectures; unsuccessful trainings count as 0"),
        Column("Difference, points", f"from {comparison.baseline}, with its 95 % interval, paired by architecture", numeric=False),
        Column("Charged cost", f"FLOPs, tuning included, as a multiple of those of {comparison.baseline} on the same architectures"),
        Column(
            "Same ranking?",
            f"whether the architectures are ranked as by {comparison.baseline}, with Kendall's tau and the tau that seed noise "
            f"alone would give; 'same' requires a noise-free tau above {EQUIVALENT_TAU:g}",
            numeric=False,
        ),
        Column("Unsuccessful", "final trainings that diverged, failed or were refused, of those that ended", numeric=False),
    ]  # fmt: skip
    if comparison.around.reruns:
        columns.append(Column("Checked", "consistent: rows do not contradict each other; rerun: by audits", numeric=False))
    cells = tuple(_cells(row, comparison.baseline, comparison.around) for row in rows)
    return Table(
        f"{comparison.anchor}-standings",
        "The algorithms by result",
        tuple(columns),
        cells,
        len(cells),
        "data/standings.csv",
        filterable=len(cells) >= FEWEST_TO_FILTER,
        anchors=tuple(row_anchor(comparison, row["algorithm"]) for row in rows),
        facets={"tier": [row["tier"] or "" for row in rows]},
    )


def row_anchor(comparison: Comparison, label: str) -> str:
    """The id of an algorithm's row in the standings."""
    return f"{comparison.anchor}-algorithm-{label}"


def _cells(row: Row, baseline: str, around: Surroundings) -> tuple[Cell, ...]:
    own = row["algorithm"] == baseline
    ends = ""
    if known(row, "difference_low", "difference_high"):
        ends = f" ({interval(row, 'difference_low', 'difference_high', points_lost)})"
    difference = Cell("baseline", "0") if own else cell(row["difference"], lambda value: f"{points_lost(value)}{ends}")
    decision = row["decision"]
    # Without a trained network there is no ranking that could be the same.
    words = "no ranking" if row["no_success"] else decision_words(decision)
    agrees = Cell("baseline", "") if own else Cell(words, str(decision.get("decision", "")))
    return (
        Cell(place_words(row), str(row["place"])),
        Cell(row["algorithm"], row["algorithm"], around.algorithms.get(row["algorithm"], "")),
        cell(row["tier"]),
        cell(row["accuracy"], per_cent),
        difference,
        # NaN if FLOPs could not be counted; `cell` shows a dash.
        cell(row["cost_ratio"], multiple),
        agrees,
        Cell(f"{row['bad']} of {row['trainings']}" if row["bad"] else "none", str(row["bad"])),
        *([cell(around.reruns.get(row["algorithm"]))] if around.reruns else []),
    )


def place_words(row: Row) -> str:
    """The range of possible places.

    >>> place_words({"place": 2, "place_low": 1.0, "place_high": 3.0}), place_words({"place": 2, "place_low": 2.0, "place_high": 2.0})
    ('1 to 3', '2')
    """
    if not known(row, "place_low", "place_high"):
        return MISSING
    low, high = int(row["place_low"]), int(row["place_high"])
    return str(low) if low == high else f"{low} to {high}"


def decision_words(row: Row) -> str:
    """A ranking decision in at most three words, with tau and its ceiling."""
    if not row:
        return "cannot tell"
    numbers = f" (tau {row['kendall_tau']:.2f} of {row['noise_ceiling']:.2f})" if known(row, "kendall_tau", "noise_ceiling") else ""
    return f"{BADGES[row['decision']]}{numbers}"


def _notes(rows: Sequence[Row], baseline: str) -> tuple[str, ...]:
    """Notes that a reader needs in addition to the table's headings."""
    notes = []
    if not all(known(row, "place_low") for row in rows) and len(rows) > 1:
        notes.append(
            "Places require at least 8 architectures trained by all algorithms, so they are not shown; rows are in order of accuracy."
        )
    if any(row["bad"] for row in rows):
        notes.append("Trainings that diverged, failed or were refused count as accuracy 0.")
    return tuple(notes)
