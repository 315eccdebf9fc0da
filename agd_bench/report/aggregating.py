"""Everything that is computed from the raw rows: the tables that the report shows, publishes and is verified by."""

from __future__ import annotations

import pandas as pd

from agd_bench.analysis import (
    GROUP,
    accuracy_difference,
    accuracy_table,
    charged_cost,
    comparison_groups,
    kendall_tau,
    rank_shift,
    ranks,
    top_k_overlap,
    transfer_regret,
)
from agd_bench.store import Results


def aggregates(results: Results) -> dict[str, pd.DataFrame]:
    """The tables of `analysis` for all comparison groups, algorithms in the sweep's order.

    Args:
        results: the raw rows.

    Returns:
        By name: `accuracy`, `cost`, `cost_by_architecture`, `ranks`, `kendall_tau`, `top_k_overlap`, `transfer_regret` as their
        functions give them; `accuracy_difference` and `rank_shift` with the columns `baseline` and `challenger` after the group's;
        `failures` (see `failures`).
    """
    trials = in_sweep_order(results)
    baseline = results.sweep.baseline_label
    tables = {
        "accuracy": accuracy_table(trials),
        "cost": charged_cost(trials, baseline),
        "cost_by_architecture": charged_cost(trials, baseline, by_architecture=True),
        "ranks": ranks(trials),
        "kendall_tau": kendall_tau(trials),
        "top_k_overlap": top_k_overlap(trials),
        "transfer_regret": transfer_regret(trials),
        "failures": failures(trials),
    }
    for name, compare in (("accuracy_difference", accuracy_difference), ("rank_shift", rank_shift)):
        parts = []
        for challenger in challengers(results):
            table = compare(trials, baseline, challenger)
            table.insert(len(GROUP), "baseline", baseline)
            table.insert(len(GROUP) + 1, "challenger", challenger)
            parts.append(table)
        tables[name] = pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=[*GROUP, "baseline", "challenger"])
    return tables


def in_sweep_order(results: Results) -> pd.DataFrame:
    """The trials, those of the sweep's first algorithm first; within an algorithm in plan order."""
    places = {choice.label: place for place, choice in enumerate(results.sweep.algorithms)}
    # A key first and a stable sort after: equal places keep the order of the plan.
    order = results.trials["algorithm"].map(places).fillna(len(places)).argsort(kind="stable")
    groups = {key: place for place, (key, _) in enumerate(comparison_groups(results.trials))}
    ordered = results.trials.iloc[order]
    keys = pd.Series([groups[key] for key in ordered[GROUP].itertuples(index=False, name=None)], index=ordered.index, dtype="int64")
    return ordered.iloc[keys.argsort(kind="stable")].reset_index(drop=True)


def challengers(results: Results) -> list[str]:
    """Labels of all algorithms but the baseline, in the sweep's order."""
    return [choice.label for choice in results.sweep.algorithms if choice.label != results.sweep.baseline_label]


def failures(trials: pd.DataFrame) -> pd.DataFrame:
    """Trials that ended otherwise than `done`, with equal reasons together.

    Args:
        trials: the table of trials.

    Returns:
        One row per group, algorithm, purpose, status and reason: `search_space`, `dataset`, `profile`, `algorithm`, `purpose`,
        `status`, `reason`; `trials` (how many), `architectures` (how many different), `example` (the first one's architecture),
        `charged_seconds` (their sum).
    """
    ended = trials[trials["status"].isin(["diverged", "failed", "refused", "pruned"])]
    keys = [*GROUP, "algorithm", "purpose", "status", "reason"]
    grouped = ended.assign(reason=ended["reason"].fillna("")).groupby(keys, sort=False)
    table = grouped.agg(
        trials=("architecture", "size"),
        architectures=("architecture", "nunique"),
        example=("architecture", "first"),
        charged_seconds=("charged_seconds", "sum"),
    )
    return table.reset_index()
