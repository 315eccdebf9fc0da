"""How long a training must be: accuracy and agreement of rankings by budget, what a short training costs, and the sentences."""

from __future__ import annotations

from collections.abc import Iterator

from agd_bench import figures
from agd_bench.analysis.rankings.budgets import cheapest_budgets
from agd_bench.analysis.rows import Row, known, rows_of
from agd_bench.figures import Drawing
from agd_bench.report.cells import ALGORITHM, Column, interval, make_table, per_cent, points_lost, signed, times
from agd_bench.report.comparison import Comparison, Shown
from agd_bench.report.sentences import count

DECISIONS = {"as well": "as well", "less": "less", "cannot tell": "cannot tell"}
COLUMNS = (
    ALGORITHM,
    Column("Epochs", "length of the training", "epochs"),
    Column("Schedule", "own: of a training of this length; truncated: the longest training, stopped here", "schedule", numeric=False),
    Column("Accuracy, %", "mean validation accuracy", "accuracy", per_cent),
    Column("Tau with the reference", "Kendall's tau of this ranking and the reference, over different seeds", "kendall_tau", times),
    Column("Less than itself", "tau minus that of the baseline's longest training with itself", "difference", signed),
    Column("95 % interval", "jackknife over architectures", "interval", numeric=False),
    Column("Agrees", "whether it agrees with the reference as well as the baseline's longest training does", "decision", numeric=False),
    Column("Regret, points", "test accuracy lost if the reference trains what is best here", "transfer_regret", points_lost),
    Column("95 % interval of the regret", "bootstrap over architectures", "regrets", numeric=False),
    Column("Charged cost", "FLOPs, tuning included, as a multiple of the reference's", "cost_ratio", times),
)


def accuracy(comparison: Comparison) -> Iterator[Shown]:
    """Accuracy by budget, and whether the longest trainings still improve."""
    if not comparison.records("budget_proxies"):
        return
    picture = figures.accuracy_by_budget(comparison.tables["budget_proxies"], comparison.tables["learning_curves"])
    yield Drawing(f"{comparison.anchor}-budgets", picture, ("budget_proxies", "learning_curves"))
    yield from late_sentences(comparison)


def agreement(comparison: Comparison) -> Iterator[Shown]:
    """Kendall's tau between the rankings of all algorithms and budgets."""
    if comparison.records("budget_proxies"):
        picture = figures.tau_matrix(comparison.tables["budget_agreement"])
        yield Drawing(f"{comparison.anchor}-budget-agreement", picture, ("budget_agreement",))


def proxies(comparison: Comparison) -> Iterator[Shown]:
    """What a short training costs when it chooses for a long one."""
    records = comparison.records("budget_proxies")
    if not records:
        return
    for record in records:
        record["interval"] = interval(record, "difference_low", "difference_high", signed)
        record["regrets"] = interval(record, "regret_low", "regret_high", points_lost)
    reference = f"{comparison.baseline} trained longest, by test accuracy"
    caption = f"Rankings by validation accuracy after short trainings, against the reference: {reference}"
    yield make_table(f"{comparison.anchor}-proxies", caption, COLUMNS, records, "data/budget_proxies.csv")


def late_sentences(comparison: Comparison) -> Iterator[str]:
    """Whether each algorithm's longest training still improves."""
    records = [row for row in comparison.records("budget_proxies") if row["schedule"] == "own" and known(row, "late_gain_low")]
    most = max((row["epochs"] for row in records), default=0)
    for row in records:
        if row["epochs"] == most:
            ends = f"{points_lost(row['late_gain_low'])} to {points_lost(row['late_gain_high'])}"
            still = "still improves" if row["late_gain_low"] > 0 else "has not been shown to improve"
            yield (
                f"{row['algorithm']} {still} in the last quarter of {most} epochs: {points_lost(row['late_gain'])} points of validation "
                f"accuracy (95 % interval {ends})."
            )


def budget_sentences(comparison: Comparison) -> tuple[str, ...]:
    """For each algorithm, the cheapest budget that ranks like the reference."""
    if not comparison.records("budget_proxies"):
        return ()
    table = comparison.tables["budget_proxies"]
    found = {row["algorithm"]: row for row in rows_of(cheapest_budgets(table))}
    return tuple(budget_sentence(label, found.get(label, {}), comparison.baseline) for label in dict.fromkeys(table["algorithm"]))


def budget_sentence(label: str, row: Row, baseline: str) -> str:
    """The cheapest budget of one algorithm.

    Args:
        label: of the algorithm.
        row: of `cheapest_budgets`; empty if there is none.
        baseline: label of the baseline.

    >>> row = {"decision": "as well", "epochs": 16, "kendall_tau": 0.71, "self_tau": 0.7, "transfer_regret": 0.004}
    >>> print(budget_sentence("agd", row, "sgd"))
    agd: a training of 16 epochs ranks like the longest training of sgd (tau 0.71, with itself 0.70); choosing by this ranking costs \
+0.4 points.
    >>> budget_sentence("sgd", row | {"difference": 0.0, "difference_low": 0.0}, "sgd")
    'sgd: no shorter training is shown to rank like its longest one.'
    >>> budget_sentence("agd", {}, "sgd")
    'agd: at every budget its ranking agrees less with the longest training of sgd than that one agrees with itself.'
    """
    if not row:
        return f"{label}: at every budget its ranking agrees less with the longest training of {baseline} than that one agrees with itself."
    if label == baseline and row.get("difference_low") == row.get("difference") == 0:
        return f"{label}: no shorter training is shown to rank like its longest one."
    trained = count(row["epochs"], "epoch")
    numbers = f"(tau {times(row['kendall_tau'])}, with itself {times(row['self_tau'])})" if known(row, "kendall_tau") else "(one seed)"
    cost = f"; choosing by this ranking costs {points_lost(row['transfer_regret'])} points" if known(row, "transfer_regret") else ""
    if row["decision"] == "as well":
        return f"{label}: a training of {trained} ranks like the longest training of {baseline} {numbers}{cost}."
    return (
        f"{label}: no budget is shown to rank like the longest training of {baseline}; the shortest that is not shown to agree less "
        f"has {trained} {numbers}{cost}."
    )
