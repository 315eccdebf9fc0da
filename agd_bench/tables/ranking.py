"""The algorithms by result in one table: places, charged cost, and whether they rank the architectures alike."""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd

from agd_bench import analysis
from agd_bench.analysis import GROUP, trained_rows
from agd_bench.analysis.scores import shared_work
from agd_bench.store import Results
from agd_bench.tables.aggregation import WHOLE, compared_trials, decoded, with_costs

NEEDED = ("standings", "ranks", "cost_by_architecture", "kendall_tau")
DECIDED = ["decision", "p_holm", "kendall_tau", "noise_ceiling", "gap", "gap_low", "gap_high"]


def rank_algorithms(results: Results) -> pd.DataFrame:
    """Compute the algorithms by result, without the other tables of a report.

    Args:
        results: complete or partial; as in `aggregates`, only complete cases count.

    Returns:
        The table of `tabulate_ranking`.
    """
    _, complete = compared_trials(results)
    trials = trained_rows(complete)
    with shared_work():
        tables = {name: WHOLE[name](trials, results) for name in NEEDED}
    tables["standings"] = with_costs(tables, results.sweep.baseline_label)
    tables["ranking_decisions"] = analysis.ranking_decisions(tables["kendall_tau"], results.sweep.baseline_label)
    return tabulate_ranking({name: decoded(table) for name, table in tables.items()})


def tabulate_ranking(tables: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    """Join the standings with the decisions about the rankings of architectures.

    Args:
        tables: `standings` and `ranking_decisions` of `aggregates`.

    Returns:
        One row per group and algorithm, the best first: the columns of `standings` with `cost_ratio` (charged FLOPs, tuning included, as a
        multiple of the baseline's); then `decision` (`differs`, `same` or `cannot tell`: whether it ranks the architectures like the
        baseline), `p_holm`, `kendall_tau`, `noise_ceiling`, `gap`, `gap_low` and `gap_high` of `ranking_decisions`, missing for the
        baseline.
    """
    decisions = tables["ranking_decisions"].rename(columns={"challenger": "algorithm"})
    keys = [*GROUP, "algorithm"]
    return tables["standings"].merge(decisions[[*keys, *DECIDED]], on=keys, how="left", validate="1:1")
