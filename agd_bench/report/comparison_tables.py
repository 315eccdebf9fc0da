"""The tables of a report, each derived from tables published with it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from agd_bench.analysis import GROUP, total_decreases
from agd_bench.analysis.inference import FEWEST_FOR_MEAN
from agd_bench.analysis.rows import known
from agd_bench.report.cells import (
    Cell,
    Column,
    Table,
    cell,
    interval,
    make_rows,
    per_cent,
    place,
    points_lost,
    scientific,
    seconds,
    signed,
    significant,
    times,
)
from agd_bench.report.comparison import Comparison, Shown

SHOWN_ARCHITECTURES = 200
"""Largest number of rows of the table of architectures on the page; the CSV file holds all rows."""


def algorithms(comparison: Comparison) -> Iterator[Shown]:
    """Accuracy, charged cost and outcomes of every algorithm."""
    own = comparison.tables
    table = own["accuracy"].merge(own["cost"], on=[*GROUP, "algorithm"])
    records = [{str(key): value for key, value in record.items()} for record in table.to_dict("records")]
    for record in records:
        shown = known(record, "mean_low", "mean_high") and record["architectures"] >= FEWEST_FOR_MEAN
        record["interval"] = interval(f"{100 * record['mean_low']:.1f}", f"{100 * record['mean_high']:.1f}") if shown else None
    columns = (
        Column("Algorithm", "label in the sweep", numeric=False),
        Column("Mean accuracy, %", "mean test accuracy over architectures of the means over seeds; completed trials only"),
        Column("95 % interval", f"t interval of that mean over architectures; not shown for fewer than {FEWEST_FOR_MEAN}", numeric=False),
        Column("Best, %", "highest mean accuracy of any architecture"),
        Column("Seed SD, points", "pooled standard deviation over the seeds of one architecture"),
        Column("Charged FLOPs", "floating-point operations of all trials, tuning included; 2 per multiply-add"),
        Column("× baseline", "charged FLOPs divided by the baseline's"),
        Column("Charged time", "seconds of all attempts, tuning and lost ones included"),
        Column("of which tuning", "seconds of all attempts at tuning trials"),
        Column("Done", "final trials trained to their end"),
        Column("Diverged", "final trials whose loss or weights stopped being finite"),
        Column("Failed", "final trials that ended with an error"),
        Column("Refused", "final trials that the algorithm cannot run by definition"),
        Column("Not ended", "final trials that are planned or running"),
    )
    writers = (
        ("algorithm", str), ("mean_accuracy", per_cent), ("interval", str), ("best_accuracy", per_cent), ("seed_sd", per_cent),
        ("flops", scientific), ("flops_ratio", times), ("charged_seconds", seconds), ("tuning_seconds", seconds),
        ("done", str), ("diverged", str), ("failed", str), ("refused", str), ("unfinished", str),
    )  # fmt: skip
    rows = make_rows(records, writers)
    yield Table(
        f"{comparison.anchor}-algorithms", "The algorithms, in the order of the sweep", columns, rows, len(rows), "data/accuracy.csv"
    )


def views(comparison: Comparison) -> Iterator[Shown]:
    """Compare every self-tuning with every tuned algorithm: at equal runs, at equal compute, and tuned without limit."""
    records = comparison.records("cost_views")
    for record in records:
        record["pair"] = f"{record['challenger']} against {record['baseline']}: {record['view']}"
        record["interval"] = None
        # A t interval over fewer architectures is too wide to be informative.
        if known(record, "difference_low", "difference_high") and record["architectures"] >= FEWEST_FOR_MEAN:
            record["interval"] = interval(*(f"{100 * record[end]:+.1f}" for end in ("difference_low", "difference_high")))
    if not records:
        return
    columns = (
        Column("Self-tuning against tuned", "what is held equal", numeric=False),
        Column("Tuned, %", "test accuracy of the tuned algorithm, mean over architectures"),
        Column("Self-tuning, %", "test accuracy of the self-tuning algorithm, mean over architectures"),
        Column("Difference, points", "self-tuning − tuned; above 0: the self-tuning algorithm is better"),
        Column("95 % interval", "t interval over architectures, paired", numeric=False),
        Column("Tuned: trainings", "charged trainings per architecture"),
        Column("Self-tuning: trainings", "charged trainings per architecture"),
        Column("Architectures", "compared"),
        Column("Remark", "reason for missing numbers", numeric=False, prose=True),
    )
    writers = (
        ("pair", str), ("baseline_accuracy", per_cent), ("challenger_accuracy", per_cent), ("difference", points_lost), ("interval", str),
        ("baseline_trainings", times), ("challenger_trainings", times), ("architectures", str), ("note", str),
    )  # fmt: skip
    rows = make_rows(records, writers)
    caption = "Accuracy at equal runs, at equal total compute, and tuned without limit"
    yield Table(f"{comparison.anchor}-views", caption, columns, rows, len(rows), "data/cost_views.csv")


def scopes(comparison: Comparison) -> Iterator[Shown]:
    """The effect of cheaper tuning scopes on the ranking."""
    records = comparison.records("scope_bias")
    if not records:
        return
    for record in records:
        record["pair"] = f"{record['algorithm']} against {record['reference']}"
        ends = (signed(record["gap_low"]), signed(record["gap_high"])) if known(record, "gap_low", "gap_high") else None
        record["interval"] = interval(*ends) if ends else None
    columns = (
        Column("Entries", "an algorithm tuned in a cheaper scope against the same algorithm tuned per architecture", numeric=False),
        Column("Scope", "what shares one tuning study", numeric=False),
        Column("Kendall's tau", "agreement of the two rankings"),
        Column("Noise ceiling", "tau if the rankings differed only by seed noise"),
        Column("Gap", "tau − ceiling: the bias introduced by the scope"),
        Column("95 % interval of the gap", "bootstrap", numeric=False),
        Column("Accuracy, points", "entry − reference"),
        Column("× FLOPs", "FLOPs charged to the entry divided by those of the reference"),
        Column("Regret, points", "accuracy the reference loses if the entry's ranking chooses the architecture"),
    )
    writers = (
        ("pair", str), ("scope", str), ("kendall_tau", times), ("noise_ceiling", times), ("gap", signed), ("interval", str),
        ("accuracy_difference", points_lost), ("flops_ratio", times), ("transfer_regret", points_lost),
    )  # fmt: skip
    rows = make_rows(records, writers)
    caption = "Rank bias of cheaper tuning scopes"
    yield Table(f"{comparison.anchor}-scopes", caption, columns, rows, len(rows), "data/scope_bias.csv")


def calibrations(comparison: Comparison) -> Iterator[Shown]:
    """Settings tried by studies of the whole sweep, best first."""
    tried = comparison.records("calibrations")
    records = [record for label in comparison.algorithms for record in _best_first(tried, label)]
    if not records:
        return
    for record in records:
        record["setting"] = ", ".join(f"{name} {_short(value)}" for name, value in json.loads(record["setting"]).items())
    columns = (
        Column("Algorithm", "label in the sweep", numeric=False),
        Column("Place", "by mean validation accuracy over all workloads; the final trials use place 1"),
        Column("Setting", "proposed hyperparameters", numeric=False, prose=True),
        Column("All workloads, %", "validation accuracy, mean over all search spaces, data sets and profiles of the sweep"),
        Column("Here, %", "validation accuracy on this workload"),
        Column("Not done", "trials of the setting, on any workload, that diverged or failed; a single one excludes the setting"),
    )
    writers = (
        ("algorithm", str), ("rank", place), ("setting", str), ("mean_val_accuracy", per_cent), ("val_accuracy", per_cent),
        ("not_done", str),
    )  # fmt: skip
    rows = make_rows(records, writers)
    caption = "Settings tried on all workloads, best of each algorithm first"
    yield Table(f"{comparison.anchor}-calibrations", caption, columns, rows, len(rows), "data/calibrations.csv", filterable=True)


def _best_first(records: list[dict[str, Any]], label: str) -> list[dict[str, Any]]:
    own = [record for record in records if record["algorithm"] == label]
    # A setting that diverged or failed anywhere has rank NaN, which cannot be sorted.
    return sorted(own, key=lambda record: (not known(record, "rank"), record["rank"], record["number"]))


def _short(value: object) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def decisions(comparison: Comparison) -> Iterator[Shown]:
    """How much of the order adaptive seeds decided, and how many seeds they used."""
    records = comparison.records("order_decisions")
    if not records:
        return
    columns = (
        Column("Algorithm", "label in the sweep", numeric=False),
        Column("Pairs", "pairs of architectures trained to completion"),
        Column("Decided", "pairs with a known order by validation accuracy, corrected for all pairs, algorithms and interim looks"),
        Column("Close", "pairs known to differ by less than the width set in the sweep"),
        Column("Undecided", "pairs that are neither when the seeds are used up"),
        Column("Seeds, mean", "mean number of seeds per architecture"),
        Column("Seeds, most", "largest number of seeds for an architecture"),
        Column("Trainings saved", "planned seeds that were not needed"),
    )
    writers = (
        ("algorithm", str), ("pairs", str), ("decided", str), ("close", str), ("undecided", str), ("seeds_mean", times),
        ("seeds_most", str), ("unneeded", str),
    )  # fmt: skip
    rows = make_rows(records, writers)
    yield Table(f"{comparison.anchor}-decisions", "What adaptive seeds decided", columns, rows, len(rows), "data/order_decisions.csv")


def lanes(comparison: Comparison) -> Iterator[Shown]:
    """Seconds per training, if there is more than one lane."""
    records = comparison.records("lanes") if "lanes" in comparison.tables else []
    if not records:
        return
    yield (
        "Trainings ran on different kinds of devices, shared them to different degrees, or launched their steps differently. Seconds are "
        "comparable only within each of these lanes; FLOPs are always comparable."
    )
    columns = (
        Column("Lane", "device; timing: used exclusively, shared: other trials ran on it too; on a GPU, kind of step", numeric=False),
        Column("Algorithm", "label in the sweep", numeric=False),
        Column("Trials", "tuning and final trials in the lane"),
        Column("Cases", "pairs of architecture and seed that every algorithm has completed in the lane"),
        Column("Time per training", "mean over those cases"),
        Column("× baseline", "divided by the baseline's time on those cases"),
    )
    writers = (
        ("lane", str), ("algorithm", str), ("trials", str), ("cases", str), ("seconds_per_trial", seconds), ("seconds_ratio", times),
    )  # fmt: skip
    rows = make_rows(records, writers)
    yield Table(f"{comparison.anchor}-lanes", "Time of a training by lane", columns, rows, len(rows), "data/lanes.csv")


def architectures(comparison: Comparison) -> Iterator[Shown]:
    """Rank and accuracy of every architecture under every algorithm."""
    wide = comparison.tables["ranks"].pivot(index="architecture", columns="algorithm", values=["rank", "accuracy"])
    # A partial run may have no rank by the baseline yet.
    order = ("rank", comparison.baseline if ("rank", comparison.baseline) in wide.columns else comparison.algorithms[0])
    wide = wide.sort_values(order, kind="stable") if order in wide.columns else wide
    shown = [label for label in comparison.algorithms if ("rank", label) in wide.columns]
    rows = []
    for name, values in zip(wide.index[:SHOWN_ARCHITECTURES], wide[:SHOWN_ARCHITECTURES].to_dict("records"), strict=True):
        cells = [Cell(str(name), str(name))]
        for label in shown:
            cells += [cell(values["rank", label], place), cell(values["accuracy", label], per_cent)]
        rows.append(tuple(cells))
    columns = [Column("Architecture", "as its search space writes it", numeric=False)]
    for label in shown:
        columns += [Column(f"{label}: rank", "1 = best; diverged architectures are last"), Column("%", f"mean test accuracy by {label}")]
    total = len(wide)
    caption = "The architectures, ordered by rank under the baseline" + (f"; the first {len(rows)} of {total}" if total > len(rows) else "")
    yield Table(f"{comparison.anchor}-architectures", caption, tuple(columns), tuple(rows), total, "data/ranks.csv", filterable=True)


def decreases(comparison: Comparison) -> Iterator[Shown]:
    """Promised and realised decrease per step, for optimizers that promise one."""
    if "decreases" not in comparison.tables or comparison.tables["decreases"].empty:
        return
    table = total_decreases(comparison.tables["decreases"])
    records = [{str(key): value for key, value in record.items()} for record in table.to_dict("records")]
    for record in records:
        # A proof allows no exception beyond rounding, so even one shortfall is a finding.
        if record["guarantee"] == "yes" and record["shortfalls"]:
            yield (
                f"{record['algorithm']} guarantees the decrease of every step, but {record['shortfalls']} of {record['steps']} steps fell "
                "short: its bound, or the code that computes it, is wrong."
            )
        record["guarantee"] = {"yes": "guarantee", "no": "estimate"}.get(record["guarantee"])
    columns = (
        Column("Algorithm", "label in the sweep", numeric=False),
        Column("Promises are", "a guarantee: proved for every step; an estimate: without proof", numeric=False),
        Column("Steps", "steps of all final trials"),
        Column("Promised", "promised decrease of the loss on a step's own batch, mean over steps"),
        Column("Realised", "actual decrease on the same batch, mean over steps"),
        Column("Realised / promised", "ratio of the two means"),
        Column("Fell short, steps", "steps whose loss decreased by less than promised, beyond rounding"),
        Column("Fell short, %", "their share of all steps"),
    )
    writers = (
        ("algorithm", str), ("guarantee", str), ("steps", str), ("promised", significant), ("realised", significant), ("ratio", times),
        ("shortfalls", str), ("shortfall_share", per_cent),
    )  # fmt: skip
    caption = "Promised and realised decrease of single steps on their own batches"
    yield Table(f"{comparison.anchor}-decreases", caption, columns, make_rows(records, writers), len(records), "data/decreases.csv")
