"""The tables of a report, each derived from tables published with it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from agd_bench.analysis import GROUP, total_decreases
from agd_bench.analysis.inference import FEWEST_FOR_MEAN
from agd_bench.analysis.rows import known, rows_of
from agd_bench.report.cells import (
    ALGORITHM,
    Cell,
    Column,
    Table,
    cell,
    interval,
    make_table,
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
    records = rows_of(own["accuracy"].merge(own["cost"], on=[*GROUP, "algorithm"]))
    for record in records:
        record["interval"] = interval(record, "mean_low", "mean_high", per_cent) if record["architectures"] >= FEWEST_FOR_MEAN else None
    columns = (
        ALGORITHM,
        Column(
            "Mean accuracy, %",
            "mean test accuracy over architectures of the means over seeds; completed trials only",
            "mean_accuracy",
            per_cent,
        ),
        Column(
            "95 % interval",
            f"t interval of that mean over architectures; not shown for fewer than {FEWEST_FOR_MEAN}",
            "interval",
            numeric=False,
        ),
        Column("Best, %", "highest mean accuracy of any architecture", "best_accuracy", per_cent),
        Column("Seed SD, points", "pooled standard deviation over the seeds of one architecture", "seed_sd", per_cent),
        Column("Charged FLOPs", "floating-point operations of all trials, tuning included; 2 per multiply-add", "flops", scientific),
        Column("× baseline", "charged FLOPs divided by the baseline's", "flops_ratio", times),
        Column("Charged time", "seconds of all attempts, tuning and lost ones included", "charged_seconds", seconds),
        Column("of which tuning", "seconds of all attempts at tuning trials", "tuning_seconds", seconds),
        Column("Done", "final trials trained to their end", "done"),
        Column("Diverged", "final trials whose loss or weights stopped being finite", "diverged"),
        Column("Failed", "final trials that ended with an error", "failed"),
        Column("Refused", "final trials that the algorithm cannot run by definition", "refused"),
        Column("Not ended", "final trials that are planned or running", "unfinished"),
    )
    yield make_table(f"{comparison.anchor}-algorithms", "The algorithms, in the order of the sweep", columns, records, "data/accuracy.csv")


def views(comparison: Comparison) -> Iterator[Shown]:
    """Compare every self-tuning with every tuned algorithm: at equal runs, at equal compute, and tuned without limit."""
    records = comparison.records("cost_views")
    for record in records:
        record["pair"] = f"{record['challenger']} against {record['baseline']}: {record['view']}"
        # A t interval over fewer architectures is too wide to be informative.
        enough = record["architectures"] >= FEWEST_FOR_MEAN
        record["interval"] = interval(record, "difference_low", "difference_high", points_lost) if enough else None
    if not records:
        return
    columns = (
        Column("Self-tuning against tuned", "what is held equal", "pair", numeric=False),
        Column("Tuned, %", "test accuracy of the tuned algorithm, mean over architectures", "baseline_accuracy", per_cent),
        Column("Self-tuning, %", "test accuracy of the self-tuning algorithm, mean over architectures", "challenger_accuracy", per_cent),
        Column("Difference, points", "self-tuning − tuned; above 0: the self-tuning algorithm is better", "difference", points_lost),
        Column("95 % interval", "t interval over architectures, paired", "interval", numeric=False),
        Column("Tuned: trainings", "charged trainings per architecture", "baseline_trainings", times),
        Column("Self-tuning: trainings", "charged trainings per architecture", "challenger_trainings", times),
        Column("Architectures", "compared", "architectures"),
        Column("Remark", "reason for missing numbers", "note", numeric=False, prose=True),
    )
    caption = "Accuracy at equal runs, at equal total compute, and tuned without limit"
    yield make_table(f"{comparison.anchor}-views", caption, columns, records, "data/cost_views.csv")


def scopes(comparison: Comparison) -> Iterator[Shown]:
    """The effect of cheaper tuning scopes on the ranking."""
    records = comparison.records("scope_bias")
    if not records:
        return
    for record in records:
        record["pair"] = f"{record['algorithm']} against {record['reference']}"
        record["interval"] = interval(record, "gap_low", "gap_high", signed)
    columns = (
        Column("Entries", "an algorithm tuned in a cheaper scope against the same algorithm tuned per architecture", "pair", numeric=False),
        Column("Scope", "what shares one tuning study", "scope", numeric=False),
        Column("Kendall's tau", "agreement of the two rankings", "kendall_tau", times),
        Column("Noise ceiling", "tau if the rankings differed only by seed noise", "noise_ceiling", times),
        Column("Gap", "tau − ceiling: the bias introduced by the scope", "gap", signed),
        Column("95 % interval of the gap", "bootstrap", "interval", numeric=False),
        Column("Accuracy, points", "entry − reference", "accuracy_difference", points_lost),
        Column("× FLOPs", "FLOPs charged to the entry divided by those of the reference", "flops_ratio", times),
        Column(
            "Regret, points", "accuracy the reference loses if the entry's ranking chooses the architecture", "transfer_regret", points_lost
        ),
    )
    caption = "Rank bias of cheaper tuning scopes"
    yield make_table(f"{comparison.anchor}-scopes", caption, columns, records, "data/scope_bias.csv")


def calibrations(comparison: Comparison) -> Iterator[Shown]:
    """Settings tried by studies of the whole sweep, best first."""
    tried = comparison.records("calibrations")
    records = [record for label in comparison.algorithms for record in _best_first(tried, label)]
    if not records:
        return
    for record in records:
        record["setting"] = ", ".join(f"{name} {_short(value)}" for name, value in json.loads(record["setting"]).items())
    columns = (
        ALGORITHM,
        Column("Place", "by mean validation accuracy over all workloads; the final trials use place 1", "rank", place),
        Column("Setting", "proposed hyperparameters", "setting", numeric=False, prose=True),
        Column(
            "All workloads, %",
            "validation accuracy, mean over all search spaces, data sets and profiles of the sweep",
            "mean_val_accuracy",
            per_cent,
        ),
        Column("Here, %", "validation accuracy on this workload", "val_accuracy", per_cent),
        Column(
            "Not done", "trials of the setting, on any workload, that diverged or failed; a single one excludes the setting", "not_done"
        ),
    )
    caption = "Settings tried on all workloads, best of each algorithm first"
    yield make_table(f"{comparison.anchor}-calibrations", caption, columns, records, "data/calibrations.csv", filterable=True)


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
        ALGORITHM,
        Column("Pairs", "pairs of architectures trained to completion", "pairs"),
        Column(
            "Decided", "pairs with a known order by validation accuracy, corrected for all pairs, algorithms and interim looks", "decided"
        ),
        Column("Close", "pairs known to differ by less than the width set in the sweep", "close"),
        Column("Undecided", "pairs that are neither when the seeds are used up", "undecided"),
        Column("Seeds, mean", "mean number of seeds per architecture", "seeds_mean", times),
        Column("Seeds, most", "largest number of seeds for an architecture", "seeds_most"),
        Column("Trainings saved", "planned seeds that were not needed", "unneeded"),
    )
    yield make_table(f"{comparison.anchor}-decisions", "What adaptive seeds decided", columns, records, "data/order_decisions.csv")


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
        Column(
            "Lane", "device; timing: used exclusively, shared: other trials ran on it too; on a GPU, kind of step", "lane", numeric=False
        ),
        ALGORITHM,
        Column("Trials", "tuning and final trials in the lane", "trials"),
        Column("Cases", "pairs of architecture and seed that every algorithm has completed in the lane", "cases"),
        Column("Time per training", "mean over those cases", "seconds_per_trial", seconds),
        Column("× baseline", "divided by the baseline's time on those cases", "seconds_ratio", times),
    )
    yield make_table(f"{comparison.anchor}-lanes", "Time of a training by lane", columns, records, "data/lanes.csv")


def architectures(comparison: Comparison) -> Iterator[Shown]:
    """Rank and accuracy of every architecture under every algorithm."""
    wide = comparison.tables["ranks"].pivot(index="architecture", columns="algorithm", values=["rank", "accuracy"])
    # A partial run may have no rank by the baseline yet.
    order = ("rank", comparison.baseline if ("rank", comparison.baseline) in wide.columns else comparison.algorithms[0])
    wide = wide.sort_values(order, kind="stable") if order in wide.columns else wide
    shown = [label for label in comparison.algorithms if ("rank", label) in wide.columns]
    rows = []
    for name, values in zip(wide.index[:SHOWN_ARCHITECTURES], wide[:SHOWN_ARCHITECTURES].to_dict("records"), strict=True):
        cells = [Cell(str(name), str(name), comparison.around.architectures.get((comparison.group[0], str(name)), ""))]
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
    records = rows_of(table)
    for record in records:
        # A proof allows no exception beyond rounding, so even one shortfall is a finding.
        if record["guarantee"] == "yes" and record["shortfalls"]:
            yield (
                f"{record['algorithm']} guarantees the decrease of every step, but {record['shortfalls']} of {record['steps']} steps fell "
                "short: its bound, or the code that computes it, is wrong."
            )
        record["guarantee"] = {"yes": "guarantee", "no": "estimate"}.get(record["guarantee"])
    columns = (
        ALGORITHM,
        Column("Promises are", "a guarantee: proved for every step; an estimate: without proof", "guarantee", numeric=False),
        Column("Steps", "steps of all final trials", "steps"),
        Column("Promised", "promised decrease of the loss on a step's own batch, mean over steps", "promised", significant),
        Column("Realised", "actual decrease on the same batch, mean over steps", "realised", significant),
        Column("Realised / promised", "ratio of the two means", "ratio", times),
        Column("Fell short, steps", "steps whose loss decreased by less than promised, beyond rounding", "shortfalls"),
        Column("Fell short, %", "their share of all steps", "shortfall_share", per_cent),
    )
    caption = "Promised and realised decrease of single steps on their own batches"
    yield make_table(f"{comparison.anchor}-decreases", caption, columns, records, "data/decreases.csv")
