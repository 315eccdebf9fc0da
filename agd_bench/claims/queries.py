"""The named queries for claims; each reads an estimate and its 95 % interval from the published tables."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import pandas as pd

from agd_bench.analysis.costs.charges import cost_ratio
from agd_bench.analysis.rows import Row, Tables, find_pair, first_row
from agd_bench.errors import UnknownNameError

Arguments = Mapping[str, str]


@dataclass(frozen=True)
class Estimate:
    """The result of a query.

    Attributes:
        estimate: in the query's unit; NaN if there is no data.
        low: lower end of the 95 % interval; NaN if no interval can be computed.
        high: its upper end.
        n: number of architectures.
        state: state of the claim if the report's rule decides it; empty if the interval decides it.
    """

    estimate: float = math.nan
    low: float = math.nan
    high: float = math.nan
    n: int = 0
    state: str = ""


@dataclass(frozen=True)
class Query:
    """A named estimate.

    Attributes:
        summary: what is estimated, and its sign.
        unit: unit of estimate and threshold.
        arguments: names of the required arguments.
        ask: computes the estimate from the tables of one comparison group and the arguments.
    """

    summary: str
    unit: str
    arguments: tuple[str, ...]
    ask: Callable[[Tables, Arguments], Estimate]


def _check_labels(tables: Tables, arguments: Arguments, names: tuple[str, ...]) -> None:
    """Algorithms of the group, including those without a completed training, which have no rows in other tables."""
    known = {str(label) for label in tables["accuracy"]["algorithm"]}
    for name in names:
        if arguments[name] not in known:
            raise UnknownNameError(name, arguments[name], known)


def _row(tables: Tables, table: pd.DataFrame, arguments: Arguments, columns: tuple[str, ...]) -> Row:
    """The row with these labels; empty if the labels are known but have no row."""
    _check_labels(tables, arguments, columns)
    return first_row(table, **{column: arguments[column] for column in columns})


def _estimate(row: Row, estimate: str, low: str, high: str) -> Estimate:
    if not row:
        return Estimate()
    value, lower, upper = (float(str(row[name])) if row.get(name) is not None else math.nan for name in (estimate, low, high))
    return Estimate(value, lower, upper, int(str(row["architectures"])))


def _look_up(table: str, columns: tuple[str, ...], estimate: str, low: str, high: str) -> Callable[[Tables, Arguments], Estimate]:
    """A query answered by one row of a table."""
    return lambda tables, arguments: _estimate(_row(tables, tables[table], arguments, columns), estimate, low, high)


def _look_up_pair(table: str, estimate: str, low: str, high: str) -> Callable[[Tables, Arguments], Estimate]:
    """A query answered by the row of an unordered pair of algorithms."""

    def ask(tables: Tables, arguments: Arguments) -> Estimate:
        _check_labels(tables, arguments, ("first", "second"))
        return _estimate(find_pair(tables[table], arguments["first"], arguments["second"]), estimate, low, high)

    return ask


def _charged_ratio(column: str) -> Callable[[Tables, Arguments], Estimate]:
    """The challenger's charge divided by the baseline's."""

    def ask(tables: Tables, arguments: Arguments) -> Estimate:
        _check_labels(tables, arguments, PAIR)
        found = cost_ratio(tables, arguments["baseline"], arguments["challenger"], column)
        return Estimate(found.ratio, found.low, found.high, found.n)

    return ask


def _difference(tables: Tables, arguments: Arguments) -> Estimate:
    _check_labels(tables, arguments, PAIR)
    # `standings` counts failures as accuracy 0; `accuracy_difference` excludes them.
    row = first_row(tables["standings"], baseline=arguments["baseline"], algorithm=arguments["challenger"])
    return _estimate(row, "difference", "difference_low", "difference_high")


def _ranking_decision(tables: Tables, arguments: Arguments) -> Estimate:
    row = _row(tables, tables["ranking_decisions"], arguments, PAIR)
    states = {"differs": "holds", "same": "fails"}
    return replace(_estimate(row, "gap", "gap_low", "gap_high"), state=states.get(str(row.get("decision")), "undecided"))


def _crossover(tables: Tables, arguments: Arguments) -> Estimate:
    """Number of trainings after which tuning overtakes: 1 if it is ahead from the start, infinite if it never does."""
    row = _row(tables, tables["crossover"], arguments, ("tuned", "self_tuning"))
    found = _estimate(row, "crossover_trainings", "trainings_low", "trainings_high")
    ends = {"ahead from the start": 1.0, "not within the budget": math.inf}
    return replace(found, estimate=ends.get(str(row.get("state")), found.estimate))


def _equal_compute(tables: Tables, arguments: Arguments) -> Estimate:
    views = tables["cost_views"]
    # An empty table may have no columns.
    views = views[views["view"] == "equal total compute"] if len(views) else views
    row = _row(tables, views, arguments, PAIR)
    return _estimate(row, "difference", "difference_low", "difference_high")


PAIR = ("baseline", "challenger")
QUERIES: dict[str, Query] = {
    "mean_accuracy": Query(
        "mean test accuracy of an algorithm over the architectures",
        "share",
        ("algorithm",),
        _look_up("accuracy", ("algorithm",), "mean_accuracy", "mean_low", "mean_high"),
    ),
    "accuracy_difference": Query(
        "challenger's test accuracy minus that of the sweep's baseline, paired by architecture; failures count as accuracy 0",
        "share",
        PAIR,
        _difference,
    ),
    "ranking_decision": Query(
        "tau minus its noise ceiling; a claim that it is below 0 holds if the report's rule decides that the rankings differ, and fails if "
        "it decides that they are the same",
        "tau",
        PAIR,
        _ranking_decision,
    ),
    "kendall_gap": Query(
        "Kendall's tau of two rankings minus its noise ceiling; below 0: they differ by more than seed noise explains",
        "tau",
        ("first", "second"),
        _look_up_pair("kendall_tau", "gap", "gap_low", "gap_high"),
    ),
    "kendall_gap_top_decile": Query(
        "the same among the best tenth of the architectures, chosen by other seeds",
        "tau",
        ("first", "second"),
        _look_up_pair("kendall_tau_top_decile", "gap", "gap_low", "gap_high"),
    ),
    "crossover": Query(
        "charged trainings per architecture after which tuning `tuned` overtakes `self_tuning`; infinite: not within the budget tried",
        "trainings",
        ("tuned", "self_tuning"),
        _crossover,
    ),
    "equal_compute_difference": Query(
        "test accuracy of a self-tuning challenger minus that of a tuned baseline with at most the same budget",
        "share",
        PAIR,
        _equal_compute,
    ),
    "flops_ratio": Query(
        "challenger's charged FLOPs, tuning included, divided by the baseline's on the same architectures",
        "times",
        PAIR,
        _charged_ratio("flops"),
    ),
    "seconds_ratio": Query(
        "challenger's charged seconds, tuning and lost attempts included, divided by the baseline's on the same architectures",
        "times",
        PAIR,
        _charged_ratio("charged_seconds"),
    ),
    "transfer_regret": Query(
        "test accuracy lost by `trained_by` if `chosen_by`'s ranking chooses its architecture",
        "share",
        ("chosen_by", "trained_by"),
        _look_up("transfer_regret", ("chosen_by", "trained_by"), "transfer_regret", "regret_low", "regret_high"),
    ),
}
"""Queries by name. A new query must read a table of `agd_bench.tables.aggregates`, so verifying the table verifies the claim."""
