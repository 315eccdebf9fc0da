"""The named queries that a claim can ask: each reads an estimate and its 95 % interval from the published tables."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from agd_bench.analysis.intervals import mean_interval
from agd_bench.analysis.rows import Row, Tables, find_pair, first_row
from agd_bench.analysis.scores import Floats
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
    """

    estimate: float = math.nan
    low: float = math.nan
    high: float = math.nan
    n: int = 0


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
    """The challenger's charge divided by the baseline's, summed over the architectures that both have an outcome for.

    The interval is Student's t of the linearised ratio over architectures.

    References:
        W. G. Cochran, Sampling Techniques, 3rd edition, Wiley, 1977, chapter 6 (ratio estimators).
    """

    def ask(tables: Tables, arguments: Arguments) -> Estimate:
        _check_labels(tables, arguments, PAIR)
        if column == "charged_seconds" and len(tables.get("lanes", ())):
            return Estimate()  # of devices that were shared and devices that were not: their sums compare nothing
        ranks, cost = tables["ranks"], tables["cost_by_architecture"]
        charges = []
        for name in ("baseline", "challenger"):
            ended = ranks.loc[ranks["algorithm"] == arguments[name], "architecture"]
            rows = cost[cost["algorithm"] == arguments[name]].set_index("architecture")[column]
            charges.append(rows.reindex(ended).astype(float))
        both = pd.concat(charges, axis=1, join="inner").to_numpy(dtype=float)
        return ratio_estimate(both[:, 0], both[:, 1])

    return ask


def ratio_estimate(divisors: Floats, values: Floats) -> Estimate:
    """Sum of `values` over the sum of `divisors`, with a t interval over the pairs.

    Args:
        divisors: one per architecture, (A,).
        values: one per architecture, (A,).
    """
    if len(values) == 0 or not np.isfinite(divisors).all() or not np.isfinite(values).all() or divisors.sum() <= 0:
        return Estimate(n=len(values))
    ratio = float(values.sum() / divisors.sum())
    low, high = mean_interval(ratio + (values - ratio * divisors) / divisors.mean())
    return Estimate(ratio, low, high, len(values))


def _crossover(tables: Tables, arguments: Arguments) -> Estimate:
    """Trainings after which tuning overtakes: 1 where it is ahead from the start, infinite where it never does."""
    row = _row(tables, tables["crossover"], arguments, ("tuned", "self_tuning"))
    found = _estimate(row, "crossover_trainings", "trainings_low", "trainings_high")
    ends = {"ahead from the start": 1.0, "not within the budget": math.inf}
    return replace(found, estimate=ends.get(str(row.get("state")), found.estimate))


def _equal_compute(tables: Tables, arguments: Arguments) -> Estimate:
    views = tables["cost_views"]
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
        "challenger's test accuracy minus that of the sweep's baseline, paired by architecture and seed",
        "share",
        PAIR,
        _look_up("accuracy_difference", PAIR, "difference", "low", "high"),
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
