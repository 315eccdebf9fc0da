"""The tables that compare two rankings, derived from tables published with them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from agd_bench.analysis.rows import known
from agd_bench.report.cells import (
    Column,
    interval,
    make_table,
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
            record["interval"] = interval(record, "gap_low", "gap_high", signed)
        columns = (
            Column("Rankings of", "two algorithms", "pair", numeric=False),
            Column("Kendall's tau", "agreement of the two rankings: 1 equal, 0 unrelated", "kendall_tau", times),
            Column("Noise ceiling", "tau if the rankings differed only by seed noise", "noise_ceiling", times),
            Column("Gap", "tau − ceiling; below 0: the rankings differ more than seed noise explains", "gap", signed),
            Column("95 % interval of the gap", "bootstrap, one pair at a time", "interval", numeric=False),
            Column("p", "test of no shift beyond seed noise, one pair at a time", "shift_p", p_value),
            Column(
                "True tau",
                "estimated tau between the noise-free rankings, by Spearman's correction for attenuation",
                "corrected_tau",
                times,
            ),
            Column("Spearman's rho", "rank correlation of the two rankings", "spearman", times),
            Column(
                "Tau with ties", "architectures that cannot be separated from seed noise count as tied", "kendall_tau_noise_ties", times
            ),
            Column("Architectures", "architectures with an outcome for every seed under both", "architectures"),
        )
        caption = (
            f"Agreement of the rankings over {who}, comparing half of the seeds with the other half (or the same seed if there is only one)"
        )
        shown, which = shown_pairs(comparison, records, "algorithm", "other")
        anchor = f"{comparison.anchor}-{name.replace('_', '-')}"
        yield make_table(anchor, caption + which, columns, shown, f"data/{name}.csv", len(records))


def published(comparison: Comparison) -> Iterator[Shown]:
    """Agreement with the published ranking, and the cost of choosing by it."""
    records = comparison.records("published_agreement")
    if not records:
        return
    regrets = {(row["published_epochs"], row["split"], row["trained_by"]): row for row in comparison.records("published_regret")}
    for record in records:
        record["budget"] = f"{record['algorithm']}, {record['published_epochs']} epochs, {record['split']}"
        record["interval"] = interval(record, "tau_low", "tau_high", signed)
        record["gap_interval"] = interval(record, "gap_low", "gap_high", signed)
        record["regret"] = regrets.get((record["published_epochs"], record["split"], record["algorithm"]), {}).get("transfer_regret")
    columns = (
        Column("Ranking by, published budget", "algorithm; epochs and images of the published accuracy", "budget", numeric=False),
        Column("Tau of means", "Kendall's tau between means over all our seeds and over all published trainings", "tau_of_means", times),
        Column("95 % interval", "bootstrap over architectures", "interval", numeric=False),
        Column("At most", "expected tau if the published ranking were noise-free and equal to ours", "ceiling_at_most", times),
        Column(
            "Tau at equal seeds", "with equal numbers of seeds on both sides, if individual trainings are published", "kendall_tau", times
        ),
        Column("Noise ceiling", "tau if the rankings differed only by seed noise", "noise_ceiling", times),
        Column(
            "95 % interval of the gap",
            "bootstrap; below 0: the rankings differ more than seed noise explains",
            "gap_interval",
            numeric=False,
        ),
        Column("p", "test of no difference beyond seed noise, one at a time", "shift_p", p_value),
        Column("True tau", "estimated tau between the noise-free rankings", "corrected_tau", times),
        Column(
            "Regret, points",
            "accuracy lost if the published ranking chooses the architecture that this algorithm trains",
            "regret",
            points_lost,
        ),
        Column("Architectures", "compared", "architectures"),
    )
    caption = "Our rankings against the published one"
    yield make_table(f"{comparison.anchor}-published", caption, columns, records, "data/published_agreement.csv")


def published_top(comparison: Comparison) -> Iterator[Shown]:
    """Agreement with the published ranking among its best architectures."""
    # The table above covers all architectures.
    records = [record for record in comparison.records("published_top") if record["top_share"] < 1]
    if not records:
        return
    for record in records:
        record["budget"] = f"{record['algorithm']}, {record['published_epochs']} epochs, {record['split']}"
        record["interval"] = interval(record, "tau_low", "tau_high", signed)
    columns = (
        Column("Ranking by, published budget", "algorithm; epochs and images of the published accuracy", "budget", numeric=False),
        Column("Best, %", "share of the architectures, best by the published ranking", "top_share", per_cent),
        Column("Tau of means", "Kendall's tau between means over all our seeds and over all published trainings", "tau_of_means", times),
        Column("95 % interval", "bootstrap over architectures", "interval", numeric=False),
        Column(
            "Published with itself", "mean tau between two individual published trainings of the same architectures", "published_tau", times
        ),
        Column("Architectures", "compared", "architectures"),
    )
    caption = (
        "Our rankings against the published one among its best architectures; the fewer there are, the less any ranking agrees with itself"
    )
    yield make_table(f"{comparison.anchor}-published-top", caption, columns, records, "data/published_top.csv")


def overlap(comparison: Comparison) -> Iterator[Shown]:
    """How many of the best architectures every two rankings have in common."""
    records = [record for record in comparison.records("top_k_overlap") if record["algorithm"] != record["other"]]
    if not records:
        return
    for record in records:
        record["pair"] = f"{record['algorithm']} and {record['other']}"
    columns = (
        Column("Rankings of", "two algorithms", "pair", numeric=False),
        Column("k", "how many of the best architectures are compared", "k"),
        Column("Shared, %", "share of the k best that both have in common", "overlap", per_cent),
        Column("Noise ceiling, %", "the same for a ranking and itself over other seeds", "noise_ceiling", per_cent),
        Column("By chance, %", "the same for two unrelated rankings", "chance", per_cent),
        Column("p", "probability that unrelated rankings share as many or more", "chance_p", p_value),
        Column("Architectures", "number of architectures with an outcome for every seed under both", "architectures"),
    )
    shown, which = shown_pairs(comparison, records, "algorithm", "other")
    caption = f"Overlap of the best architectures of two rankings, comparing half of the seeds with the other half{which}"
    yield make_table(f"{comparison.anchor}-overlap", caption, columns, shown, "data/top_k_overlap.csv", len(records))


def transfer(comparison: Comparison) -> Iterator[Shown]:
    """Accuracy lost by choosing by another algorithm's ranking."""
    if len(comparison.algorithms) < 2:
        return
    records = comparison.records("transfer_regret")
    for record in records:
        record["pair"] = f"chosen by {record['chosen_by']}, trained by {record['trained_by']}"
        # If scored on the seed used for the choice, the trainer's own best profits from luck, which inflates the regret.
        record["fair"] = "other seeds" if record["disjoint"] else "the same seed (too high)"
        record["interval"] = interval(record, "regret_low", "regret_high", points_lost)
    columns = (
        Column("Architecture", "which algorithm's ranking chooses it, and which algorithm trains it", "pair", numeric=False),
        Column("Accuracy lost, points", "compared with the trainer's own choice; below 0: gained", "transfer_regret", points_lost),
        Column("95 % interval", "bootstrap over architectures; too narrow if the loss is close to 0", "interval", numeric=False),
        Column("Own best, %", "accuracy of the trainer with its own choice", "own_best_accuracy", per_cent),
        Column("Scored on", "whether the seeds differ from those used for the choice", "fair", numeric=False),
    )
    shown, which = shown_pairs(comparison, records, "chosen_by", "trained_by")
    caption = f"Cost of choosing by another algorithm's ranking; a diverged trial counts as accuracy 0{which}"
    yield make_table(f"{comparison.anchor}-transfer", caption, columns, shown, "data/transfer_regret.csv", len(records))


def shown_pairs(comparison: Comparison, records: list[dict[str, Any]], *sides: str) -> tuple[list[dict[str, Any]], str]:
    """The rows about pairs of algorithms to show on the page, and the addition to the caption."""
    if len(records) <= SHOWN_PAIRS:
        return records, ""
    # Without the baseline there are no challengers, so the first algorithm takes its place.
    one = comparison.baseline if comparison.rivals else comparison.algorithms[0]
    return [record for record in records if one in [record[side] for side in sides]], f"; those with {one}"
