"""The named queries that a claim can ask: each reads an estimate and its 95 % interval from the published tables."""

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
    """What a query found.

    Attributes:
        estimate: in the query's unit; NaN: nothing to estimate from.
        low: lower end of the 95 % interval; NaN: no interval can be given.
        high: its upper end.
        n: architectures that it is estimated from.
        state: of the claim, where the report's own rule decides it; empty: the interval does.
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
        summary: what it estimates, and its sign.
        unit: of estimate and threshold.
        arguments: names of the arguments that it needs.
        ask: from the tables of one comparison group and the arguments to the estimate.
    """

    summary: str
    unit: str
    arguments: tuple[str, ...]
    ask: Callable[[Tables, Arguments], Estimate]


def _check_labels(tables: Tables, arguments: Arguments, names: tuple[str, ...]) -> None:
    """Algorithms of the group: one of which nothing was trained to its end is known, though other tables have no row of it."""
    known = {str(label) for label in tables["accuracy"]["algorithm"]}
    for name in names:
        if arguments[name] not in known:
            raise UnknownNameError(name, arguments[name], known)


def _row(tables: Tables, table: pd.DataFrame, arguments: Arguments, columns: tuple[str, ...]) -> Row:
    """The row with these labels; empty where known labels have none."""
    _check_labels(tables, arguments, columns)
    return first_row(table, **{column: arguments[column] for column in columns})


def _estimate(row: Row, estimate: str, low: str, high: str) -> Estimate:
    if not row:
        return Estimate()
    value, lower, upper = (float(str(row[name])) if row.get(name) is not None else math.nan for name in (estimate, low, high))
    return Estimate(value, lower, upper, int(str(row["architectures"])))


def _look_up(table: str, columns: tuple[str, ...], estimate: str, low: str, high: str) -> Callable[[Tables, Arguments], Estimate]:
    """A query that one row of a table answers."""
    return lambda tables, arguments: _estimate(_row(tables, tables[table], arguments, columns), estimate, low, high)


def _look_up_pair(table: str, estimate: str, low: str, high: str) -> Callable[[Tables, Arguments], Estimate]:
    """A query that the row of an unordered pair of algorithms answers."""

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
    # `standings` counts failures as accuracy 0; `accuracy_difference` leaves them out.
    row = first_row(tables["standings"], baseline=arguments["baseline"], algorithm=arguments["challenger"])
    return _estimate(row, "difference", "difference_low", "difference_high")


def _ranking_decision(tables: Tables, arguments: Arguments) -> Estimate:
    row = _row(tables, tables["ranking_decisions"], arguments, PAIR)
    states = {"differs": "holds", "same": "fails"}
    return replace(_estimate(row, "gap", "gap_low", "gap_high"), state=states.get(str(row.get("decision")), "undecided"))


def _crossover(tables: Tables, arguments: Arguments) -> Estimate:
    """Trainings after which tuning overtakes: 1 where it is ahead from the start, infinite where it never does."""
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
        "tau minus its noise ceiling; the claim that it is below 0 holds if the report's rule says that the rankings differ, and fails if "
        "it says that they are the same",
        "tau",
        PAIR,
        _ranking_decision,
    ),
    "kendall_gap": Query(
        "Kendall's tau of two rankings minus its noise ceiling; below 0: they differ more than seed noise explains",
        "tau",
        ("first", "second"),
        _look_up_pair("kendall_tau", "gap", "gap_low", "gap_high"),
    ),
    "kendall_gap_top_decile": Query(
        "the same among the tenth of the architectures that is best by other seeds",
        "tau",
        ("first", "second"),
        _look_up_pair("kendall_tau_top_decile", "gap", "gap_low", "gap_high"),
    ),
    "crossover": Query(
        "charged trainings per architecture after which tuning `tuned` overtakes `self_tuning`; infinite: not as far as was tried",
        "trainings",
        ("tuned", "self_tuning"),
        _crossover,
    ),
    "equal_compute_difference": Query(
        "test accuracy of a self-tuning challenger minus that of a tuned baseline that may spend no more than it",
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
        "test accuracy lost by `trained_by` when `chosen_by`'s ranking chooses its architecture",
        "share",
        ("chosen_by", "trained_by"),
        _look_up("transfer_regret", ("chosen_by", "trained_by"), "transfer_regret", "regret_low", "regret_high"),
    ),
}
"""By name. A new one reads a table of `agd_bench.tables.aggregates`, so that whoever verifies the table verifies the claim."""
