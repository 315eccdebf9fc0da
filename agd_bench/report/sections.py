"""What the page says of one comparison group: findings, pictures, tables."""

from __future__ import annotations

from dataclasses import dataclass

import pandas as pd

from agd_bench import figures
from agd_bench.analysis import GROUP, Finding, finding
from agd_bench.figures import Picture
from agd_bench.report.aggregating import challengers, in_sweep_order
from agd_bench.report.tables import Cell, Column, Table, cell, interval, make_rows, per_cent, place, scientific, seconds, signed, times
from agd_bench.store import Results

SHOWN_ARCHITECTURES = 200
"""Rows of the table of architectures that the page holds; all of them are in the CSV file."""


@dataclass(frozen=True)
class Section:
    """One comparison group on the page.

    Attributes:
        id: its anchor.
        title: search space, data set and profile in words.
        findings: one per challenger.
        alone: what is said instead where there is only one algorithm.
        partial: what is missing, of a run that has not ended; else empty.
        shifts: rank-shift pictures, one per challenger, by the name of their files.
        pictures: the other pictures by the name of their files.
        tables: algorithms, agreement, transfer, architectures.
    """

    id: str
    title: str
    findings: tuple[Finding, ...]
    alone: str
    partial: str
    shifts: dict[str, Picture]
    pictures: dict[str, Picture]
    tables: tuple[Table, ...]


def make_sections(results: Results, tables: dict[str, pd.DataFrame]) -> list[Section]:
    """The sections of a report, in the order of the plan.

    Args:
        results: the raw rows.
        tables: `aggregates` of them.
    """
    trials = in_sweep_order(results)
    groups = list(trials[GROUP].drop_duplicates().itertuples(index=False, name=None))
    return [_section(results, group, _of(trials, group), _own(tables, group), f"g{number}") for number, group in enumerate(groups, 1)]


def _of(table: pd.DataFrame, group: tuple[str, str, str]) -> pd.DataFrame:
    chosen = pd.Series(True, index=table.index)
    for column, value in zip(GROUP, group, strict=True):
        chosen &= table[column] == value
    return table[chosen].reset_index(drop=True)


def _own(tables: dict[str, pd.DataFrame], group: tuple[str, str, str]) -> dict[str, pd.DataFrame]:
    return {name: _of(table, group) for name, table in tables.items()}


def _section(results: Results, group: tuple[str, str, str], trials: pd.DataFrame, own: dict[str, pd.DataFrame], anchor: str) -> Section:
    baseline = results.sweep.baseline_label
    present = set(trials["algorithm"])
    rivals = [label for label in challengers(results) if label in present] if baseline in present else []
    findings = tuple(finding(trials, baseline, rival, agreement=own["kendall_tau"]) for rival in rivals)
    shifts = {}
    for number, rival in enumerate(rivals, 1):
        shift = own["rank_shift"][own["rank_shift"]["challenger"] == rival].reset_index(drop=True)
        shifts[f"{anchor}-rank-shift-{number}"] = figures.rank_shift_picture(shift, baseline, rival)
    pictures = {
        f"{anchor}-cost": figures.accuracy_against_cost(own["accuracy"], own["cost"]),
        f"{anchor}-agreement": figures.tau_matrix(own["kendall_tau"]),
        f"{anchor}-curves": figures.learning_curves(results.curves, trials),
    }
    tables = [_algorithms(own, anchor), _architectures(own, baseline, list(dict.fromkeys(trials["algorithm"])), anchor)]
    if rivals:
        tables[1:1] = [_agreement(own, anchor), _transfer(own, anchor)]
    return Section(
        anchor, group_title(group), findings, _alone(own["accuracy"], rivals), _partial(trials), shifts, pictures, tuple(tables)
    )  # fmt: skip


def group_title(group: tuple[str, str, str]) -> str:
    """A comparison group in words."""
    search_space, dataset, profile = group
    return f"{search_space} on {dataset}, {profile} networks"


def _alone(accuracy: pd.DataFrame, rivals: list[str]) -> str:
    if rivals or accuracy.empty:
        return ""
    row = accuracy.iloc[0]
    if row["architectures"] == 0:
        return f"No final trial of {row['algorithm']} was trained to its end yet, and there is no other algorithm to compare it with."
    scope = f"{row['architectures']} architecture(s), {row['seeds']} seed(s)"
    reached = f"{row['algorithm']} reached {100 * row['mean_accuracy']:.1f} % test accuracy on average ({scope})."
    return f"{reached} With one algorithm there is nothing to compare it with."


def _partial(trials: pd.DataFrame) -> str:
    waiting = int(trials["status"].isin(["pending", "running"]).sum())
    if not waiting:
        return ""
    return f"Partial results: {len(trials) - waiting} of {len(trials)} planned trials have ended. Every number here can still change."


def _algorithms(own: dict[str, pd.DataFrame], anchor: str) -> Table:
    records = own["accuracy"].merge(own["cost"], on=[*GROUP, "algorithm"]).to_dict("records")
    for record in records:
        known = record["mean_low"] == record["mean_low"]  # NaN is not equal to itself
        record["interval"] = interval(f"{100 * record['mean_low']:.1f}", f"{100 * record['mean_high']:.1f}") if known else None
    columns = (
        Column("Algorithm", "label in the sweep", numeric=False),
        Column("Mean accuracy, %", "test accuracy, mean over architectures of their means over seeds; done trials only"),
        Column("95 % interval", "t interval of that mean over architectures", numeric=False),
        Column("Best, %", "highest mean accuracy of an architecture"),
        Column("Seed SD, points", "pooled standard deviation over the seeds of one architecture"),
        Column("Charged FLOPs", "floating-point operations of all trials, tuning included; 2 per multiply-add"),
        Column("× baseline", "charged FLOPs divided by the baseline's"),
        Column("Charged time", "seconds of all attempts, tuning and lost ones included"),
        Column("of it tuning", "seconds of all attempts at tuning trials"),
        Column("Done", "final trials trained to their end"),
        Column("Diverged", "final trials whose loss or weights stopped being finite"),
        Column("Failed", "final trials that ended with an error"),
        Column("Refused", "final trials that the algorithm cannot do, by its definition"),
        Column("Not ended", "final trials that are planned or under way"),
    )
    writers = (
        ("algorithm", str), ("mean_accuracy", per_cent), ("interval", str), ("best_accuracy", per_cent), ("seed_sd", per_cent),
        ("flops", scientific), ("flops_ratio", times), ("charged_seconds", seconds), ("tuning_seconds", seconds),
        ("done", str), ("diverged", str), ("failed", str), ("refused", str), ("unfinished", str),
    )  # fmt: skip
    rows = make_rows([{str(key): value for key, value in record.items()} for record in records], writers)
    return Table(f"{anchor}-algorithms", "The algorithms, in the order of the sweep", columns, rows, len(rows), "data/accuracy.csv")


def _agreement(own: dict[str, pd.DataFrame], anchor: str) -> Table:
    table = own["kendall_tau"][own["kendall_tau"]["algorithm"] != own["kendall_tau"]["other"]]
    records = table.merge(own["top_k_overlap"], on=[*GROUP, "algorithm", "other"], suffixes=("", "_of_overlap")).to_dict("records")
    for record in records:
        record["pair"] = f"{record['algorithm']} and {record['other']}"
        known = record["gap_low"] == record["gap_low"]
        record["interval"] = interval(signed(record["gap_low"]), signed(record["gap_high"])) if known else None
    columns = (
        Column("Rankings of", "two algorithms", numeric=False),
        Column("Kendall's tau", "agreement of the two rankings: 1 equal, 0 unrelated"),
        Column("Noise ceiling", "what it would be if only seed noise set the rankings apart"),
        Column("Gap", "tau − ceiling; below 0: the rankings differ more than seed noise explains"),
        Column("95 % interval of the gap", "bootstrap over architectures, one pair at a time", numeric=False),
        Column("Top k", "how many of the best architectures the next column compares"),
        Column("Shared top, %", "share of the k best that both have in common"),
        Column("its ceiling, %", "the same of a ranking with itself over other seeds"),
        Column("by chance, %", "the same of two unrelated rankings"),
        Column("Architectures", "with an outcome for every seed under both"),
    )
    writers = (
        ("pair", str), ("kendall_tau", times), ("noise_ceiling", times), ("gap", signed), ("interval", str), ("k", str),
        ("overlap", per_cent), ("noise_ceiling_of_overlap", per_cent), ("chance", per_cent), ("architectures", str),
    )  # fmt: skip
    rows = make_rows([{str(key): value for key, value in record.items()} for record in records], writers)
    caption = "Agreement of the rankings, all values at half the seeds against the other half (at one seed: the same one)"
    return Table(f"{anchor}-tau", caption, columns, rows, len(rows), "data/kendall_tau.csv")


def _transfer(own: dict[str, pd.DataFrame], anchor: str) -> Table:
    records = own["transfer_regret"].to_dict("records")
    for record in records:
        record["pair"] = f"chosen by {record['chosen_by']}, trained by {record['trained_by']}"
        record["fair"] = "other seeds" if record["disjoint"] else "the same seed (too high)"
    columns = (
        Column("Architecture", "whose ranking chooses it, and who trains it", numeric=False),
        Column("Accuracy lost, points", "against what the trainer reaches with its own choice"),
        Column("Own best, %", "accuracy of the trainer with its own choice"),
        Column("Scored on", "whether other seeds than those that the choice was made from", numeric=False),
    )
    writers = (("pair", str), ("transfer_regret", lambda share: f"{100 * share:+.1f}"), ("own_best_accuracy", per_cent), ("fair", str))
    rows = make_rows([{str(key): value for key, value in record.items()} for record in records], writers)
    caption = "What choosing by one algorithm's ranking costs another; a diverged trial counts as accuracy 0"
    return Table(f"{anchor}-transfer", caption, columns, rows, len(rows), "data/transfer_regret.csv")


def _architectures(own: dict[str, pd.DataFrame], baseline: str, algorithms: list[str], anchor: str) -> Table:
    wide = own["ranks"].pivot(index="architecture", columns="algorithm", values=["rank", "accuracy"])
    order = ("rank", baseline if ("rank", baseline) in wide.columns else algorithms[0])
    wide = wide.sort_values(order, kind="stable") if order in wide.columns else wide
    shown = [label for label in algorithms if ("rank", label) in wide.columns]
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
    caption = "The architectures, best of the baseline first" + (f"; the first {len(rows)} of {total}" if total > len(rows) else "")
    return Table(f"{anchor}-architectures", caption, tuple(columns), tuple(rows), total, "data/ranks.csv", filterable=True)
