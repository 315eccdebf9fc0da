"""Any two algorithms compared: a table of pairs, and the same numbers for the page's script, which shows the two that a reader chooses."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from agd_bench.analysis.rows import known
from agd_bench.report.cells import Column, interval, make_table, multiple, points_lost, signed, times
from agd_bench.report.comparison import Comparison, Shown
from agd_bench.report.ranking_tables import shown_pairs

NUMBERS = ("difference", "low", "high", "kendall_tau", "noise_ceiling", "gap_low", "gap_high")
COLUMNS = (
    Column("Algorithm", "the first algorithm", "algorithm", numeric=False),
    Column("Other", "the second algorithm", "other", numeric=False),
    Column("Difference, points", "mean test accuracy of the first minus that of the second", "difference", points_lost),
    Column("95 % interval", "simultaneous for all pairs; the places follow from it", "interval", numeric=False),
    Column("Charged cost", "FLOPs of the first, tuning included, as a multiple of those of the second", "cost", multiple),
    Column("Kendall's tau", "agreement of the two rankings of the architectures: 1 equal, 0 unrelated", "kendall_tau", times),
    Column("Noise ceiling", "tau if the rankings differed only by seed noise", "noise_ceiling", times),
    Column("95 % interval of the gap", "tau − ceiling; below 0: the rankings differ more than seed noise explains", "gap", numeric=False),
)  # fmt: skip


@dataclass(frozen=True)
class Pairs:
    """The numbers of every two algorithms, for the page's script.

    Attributes:
        algorithms: labels.
        numbers: JSON; for each pair (0, 1), (0, 2), …, (1, 2), … of them, the numbers in `NUMBERS`, null where missing.
        costs: JSON; charged cost of each as a multiple of the baseline's.
    """

    algorithms: tuple[str, ...]
    numbers: str
    costs: str


def pair_numbers(comparison: Comparison) -> Pairs | None:
    """The numbers of every two algorithms of a comparison; None if there are not two."""
    rows = pair_rows(comparison)
    if not rows:
        return None
    algorithms = tuple(dict.fromkeys([rows[0]["algorithm"], *(row["other"] for row in rows)]))
    costs = {row["algorithm"]: row["cost_ratio"] for row in comparison.records("standings")}
    numbers = [[row.get(name) for name in NUMBERS] for row in rows]
    return Pairs(algorithms, _compact(numbers), _compact([costs.get(label) for label in algorithms]))


def pair_rows(comparison: Comparison) -> list[dict[str, Any]]:
    """One row per unordered pair: the difference in accuracy, the ratio of charged costs, and the agreement of the rankings."""
    agreement = {frozenset((row["algorithm"], row["other"])): row for row in comparison.records("kendall_tau")}
    costs = {row["algorithm"]: row["cost_ratio"] for row in comparison.records("standings")}
    rows = comparison.records("pairwise_differences")
    for row in rows:
        found = agreement.get(frozenset((row["algorithm"], row["other"])), {})
        row |= {name: found.get(name, math.nan) for name in NUMBERS[3:]}
        row["cost"] = costs.get(row["algorithm"], math.nan) / (costs.get(row["other"], 0.0) or math.nan)
        add_intervals(row)
    return rows


def add_intervals(row: dict[str, Any]) -> None:
    """Add the texts of the two intervals of a row of `pair_rows`."""
    row["interval"] = interval(row, "low", "high", points_lost)
    row["gap"] = interval(row, "gap_low", "gap_high", signed)


def against(rows: Sequence[dict[str, Any]], label: str) -> list[dict[str, Any]]:
    """The rows of `pair_rows` about one algorithm, with it as the first of each pair.

    >>> row = {"algorithm": "a", "other": "b", "difference": 0.1, "low": 0.0, "high": 0.2, "cost": 2.0, "kendall_tau": 0.5}
    >>> (found,) = against([row], "b")
    >>> found["other"], found["difference"], found["interval"], found["cost"]
    ('a', -0.1, '−20.0\\xa0to\\xa0−0.0', 0.5)
    """
    found = []
    for row in rows:
        if row["other"] == label:
            turned = {"algorithm": label, "other": row["algorithm"], "cost": 1 / row["cost"] if known(row, "cost") else math.nan}
            row = row | turned | {"difference": -row["difference"], "low": -row["high"], "high": -row["low"]}
            add_intervals(row)
        if row["algorithm"] == label:
            found.append(row)
    return found


def pair_table(comparison: Comparison) -> Iterator[Shown]:
    """The table of pairs."""
    rows = pair_rows(comparison)
    if rows:
        shown, which = shown_pairs(comparison, rows, "algorithm", "other")
        caption = f"Every two algorithms{which}"
        yield make_table(f"{comparison.anchor}-pairs", caption, COLUMNS, shown, "data/pairwise_differences.csv", len(rows), filterable=True)


def _compact(numbers: list[Any]) -> str:
    """JSON without blanks, with four decimals, and null for missing numbers."""

    def short(value: Any) -> Any:
        if isinstance(value, list):
            return [short(one) for one in value]
        return round(float(value), 4) if value is not None and math.isfinite(value) else None

    return json.dumps(short(numbers), separators=(",", ":"))
