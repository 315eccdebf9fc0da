"""The tables that compare two rankings, derived from tables published with them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from agd_bench.analysis.rows import known
from agd_bench.report.cells import (
    Column,
    Table,
    interval,
    make_rows,
    p_value,
    per_cent,
    points_lost,
    signed,
    times,
)
from agd_bench.report.comparison import Comparison, Shown

SHOWN_PAIRS = 120
"""Largest number of rows about pairs on the page; if there are more, those with the baseline. The CSV file holds all rows."""


def agreement(comparison: Comparison) -> Iterator[Shown]:
    """Agreement of every two rankings, over all architectures and over the best tenth."""
    if len(comparison.algorithms) < 2:
        return
    for name, who in (("kendall_tau", "all architectures"), ("kendall_tau_top_decile", "the tenth that is best by other seeds")):
        # The agreement of a ranking with itself is the noise ceiling, which has its own column.
        records = [record for record in comparison.records(name) if record["algorithm"] != record["other"]]
        if not any(known(record, "kendall_tau") for record in records):
            continue
        for record in records:
            record["pair"] = f"{record['algorithm']} and {record['other']}"
            ends = (signed(record["gap_low"]), signed(record["gap_high"])) if known(record, "gap_low", "gap_high") else None
            record["interval"] = interval(*ends) if ends else None
        columns = (
            Column("Rankings of", "two algorithms", numeric=False),
            Column("Kendall's tau", "agreement of the two rankings: 1 equal, 0 unrelated"),
            Column("Noise ceiling", "tau if the rankings differed only by seed noise"),
            Column("Gap", "tau − ceiling; below 0: the rankings differ more than seed noise explains"),
            Column("95 % interval of the gap", "bootstrap, one pair at a time", numeric=False),
            Column("p", "test of no shift beyond seed noise, one pair at a time"),
            Column("True tau", "estimated tau between the noise-free rankings, by Spearman's correction for attenuation"),
            Column("Spearman's rho", "rank correlation of the two rankings"),
            Column("Tau with ties", "architectures that cannot be separated from seed noise count as tied"),
            Column("Architectures", "architectures with an outcome for every seed under both"),
        )
        writers = (
            ("pair", str), ("kendall_tau", times), ("noise_ceiling", times), ("gap", signed), ("interval", str), ("shift_p", p_value),
            ("corrected_tau", times), ("spearman", times), ("kendall_tau_noise_ties", times), ("architectures", str),
        )  # fmt: skip
        caption = (
            f"Agreement of the rankings over {who}, comparing half of the seeds with the other half (or the same seed if there is only one)"
        )
        shown, which = _pairs(comparison, records, "algorithm", "other")
        table = Table(
            f"{comparison.anchor}-{name.replace('_', '-')}",
            caption + which,
            columns,
            make_rows(shown, writers),
            len(records),
            f"data/{name}.csv",
        )
        yield table


def published(comparison: Comparison) -> Iterator[Shown]:
    """Agreement with the published ranking, and the cost of choosing by it."""
    records = comparison.records("published_agreement")
    if not records:
        return
    regrets = {(row["published_epochs"], row["split"], row["trained_by"]): row for row in comparison.records("published_regret")}
    for record in records:
        record["budget"] = f"{record['algorithm']}, {record['published_epochs']} epochs, {record['split']}"
        record["interval"] = interval(*map(signed, (record["tau_low"], record["tau_high"]))) if known(record, "tau_low") else None
        record["gap_interval"] = interval(*map(signed, (record["gap_low"], record["gap_high"]))) if known(record, "gap_low") else None
        record["regret"] = regrets.get((record["published_epochs"], record["split"], record["algorithm"]), {}).get("transfer_regret")
    columns = (
        Column("Ranking by, published budget", "algorithm; epochs and images of the published accuracy", numeric=False),
        Column("Tau of means", "Kendall's tau between means over all our seeds and over all published trainings"),
        Column("95 % interval", "bootstrap over architectures", numeric=False),
        Column("At most", "expected tau if the published ranking were noise-free and equal to ours"),
        Column("Tau at equal seeds", "with equal numbers of seeds on both sides, if individual trainings are published"),
        Column("Noise ceiling", "tau if the rankings differed only by seed noise"),
        Column("95 % interval of the gap", "bootstrap; below 0: the rankings differ more than seed noise explains", numeric=False),
        Column("p", "test of no difference beyond seed noise, one at a time"),
        Column("True tau", "estimated tau between the noise-free rankings"),
        Column("Regret, points", "accuracy lost if the published ranking chooses the architecture that this algorithm trains"),
        Column("Architectures", "compared"),
    )
    writers = (
        ("budget", str), ("tau_of_means", times), ("interval", str), ("ceiling_at_most", times), ("kendall_tau", times),
        ("noise_ceiling", times), ("gap_interval", str), ("shift_p", p_value), ("corrected_tau", times), ("regret", points_lost),
        ("architectures", str),
    )  # fmt: skip
    rows = make_rows(records, writers)
    caption = "Our rankings against the published one"
    yield Table(f"{comparison.anchor}-published", caption, columns, rows, len(rows), "data/published_agreement.csv")


def published_top(comparison: Comparison) -> Iterator[Shown]:
    """Agreement with the published ranking among its best architectures."""
    # The table above covers all architectures.
    records = [record for record in comparison.records("published_top") if record["top_share"] < 1]
    if not records:
        return
    for record in records:
        record["budget"] = f"{record['algorithm']}, {record['published_epochs']} epochs, {record['split']}"
        record["interval"] = interval(*map(signed, (record["tau_low"], record["tau_high"]))) if known(record, "tau_low") else None
    columns = (
        Column("Ranking by, published budget", "algorithm; epochs and images of the published accuracy", numeric=False),
        Column("Best, %", "share of the architectures, best by the published ranking"),
        Column("Tau of means", "Kendall's tau between means over all our seeds and over all published trainings"),
        Column("95 % interval", "bootstrap over architectures", numeric=False),
        Column("Published with itself", "mean tau between two individual published trainings of the same architectures"),
        Column("Architectures", "compared"),
    )
    writers = (
        ("budget", str), ("top_share", per_cent), ("tau_of_means", times), ("interval", str), ("published_tau", times),
        ("architectures", str),
    )  # fmt: skip
    rows = make_rows(records, writers)
    caption = (
        "Our rankings against the published one among its best architectures; the fewer there are, the less any ranking agrees with itself"
    )
    yield Table(f"{comparison.anchor}-published-top", caption, columns, rows, len(rows), "data/published_top.csv")


def overlap(comparison: Comparison) -> Iterator[Shown]:
    """How many of the best architectures every two rankings have in common."""
    records = [record for record in comparison.records("top_k_overlap") if record["algorithm"] != record["other"]]
    if not records:
        return
    for record in records:
        record["pair"] = f"{record['algorithm']} and {record['other']}"
    columns = (
        Column("Rankings of", "two algorithms", numeric=False),
        Column("k", "how many of the best architectures are compared"),
        Column("Shared, %", "share of the k best that both have in common"),
        Column("Noise ceiling, %", "the same for a ranking and itself over other seeds"),
        Column("By chance, %", "the same for two unrelated rankings"),
        Column("p", "probability that unrelated rankings share as many or more"),
        Column("Architectures", "number of architectures with an outcome for every seed under both"),
    )
    writers = (
        ("pair", str), ("k", str), ("overlap", per_cent), ("noise_ceiling", per_cent), ("chance", per_cent), ("chance_p", p_value),
        ("architectures", str),
    )  # fmt: skip
    shown, which = _pairs(comparison, records, "algorithm", "other")
    caption = f"Overlap of the best architectures of two rankings, comparing half of the seeds with the other half{which}"
    yield Table(f"{comparison.anchor}-overlap", caption, columns, make_rows(shown, writers), len(records), "data/top_k_overlap.csv")


def transfer(comparison: Comparison) -> Iterator[Shown]:
    """Accuracy lost by choosing by another algorithm's ranking."""
    if len(comparison.algorithms) < 2:
        return
    records = comparison.records("transfer_regret")
    for record in records:
        record["pair"] = f"chosen by {record['chosen_by']}, trained by {record['trained_by']}"
        # If scored on the seed used for the choice, the trainer's own best profits from luck, which inflates the regret.
        record["fair"] = "other seeds" if record["disjoint"] else "the same seed (too high)"
        ends = ("regret_low", "regret_high")
        record["interval"] = interval(*(f"{100 * record[end]:+.1f}" for end in ends)) if known(record, *ends) else None
    columns = (
        Column("Architecture", "which algorithm's ranking chooses it, and which algorithm trains it", numeric=False),
        Column("Accuracy lost, points", "compared with the trainer's own choice; below 0: gained"),
        Column("95 % interval", "bootstrap over architectures; too narrow if the loss is close to 0", numeric=False),
        Column("Own best, %", "accuracy of the trainer with its own choice"),
        Column("Scored on", "whether the seeds differ from those used for the choice", numeric=False),
    )
    writers = (("pair", str), ("transfer_regret", points_lost), ("interval", str), ("own_best_accuracy", per_cent), ("fair", str))
    shown, which = _pairs(comparison, records, "chosen_by", "trained_by")
    caption = f"Cost of choosing by another algorithm's ranking; a diverged trial counts as accuracy 0{which}"
    yield Table(f"{comparison.anchor}-transfer", caption, columns, make_rows(shown, writers), len(records), "data/transfer_regret.csv")


def _pairs(comparison: Comparison, records: list[dict[str, Any]], *sides: str) -> tuple[list[dict[str, Any]], str]:
    """The rows about pairs of algorithms to show on the page, and the addition to the caption."""
    if len(records) <= SHOWN_PAIRS:
        return records, ""
    # Without the baseline there are no challengers, so the first algorithm takes its place.
    one = comparison.baseline if comparison.rivals else comparison.algorithms[0]
    return [record for record in records if one in [record[side] for side in sides]], f"; those with {one}"
