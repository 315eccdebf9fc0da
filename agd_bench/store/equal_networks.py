"""Condense published tables: list trials that took an equal network's results instead of repeating its rows, and expand them again."""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd

from agd_bench.errors import StoreDamagedError
from agd_bench.store.schema import EQUALS, SORTING, TAKEN_AS_ZERO, UNTAKEN, Table, columns_of

NAMED = [column.name for column in columns_of(EQUALS)]
TRACED: tuple[Table, ...] = ("curves", "diagnostics")
"""Tables in which such a trial repeats the rows of its representative."""


def condense(tables: Mapping[Table, pd.DataFrame]) -> dict[Table, pd.DataFrame]:
    """Remove the rows that follow from those of an equal network.

    Args:
        tables: `trials`, `curves`, `diagnostics` and any others, sorted as in `Results`.

    Returns:
        The condensed tables and `equals`, the trials that `expand` restores. If `expand` would not restore exactly the same rows, the
        tables are unchanged and `equals` is empty.
    """
    trials = tables["trials"]
    # a pending trial has a representative in the plan, but has not taken its results yet
    taken = trials["representative"].isin(trials["trial_id"]) & (trials["status"] != "pending")
    equals = trials.loc[taken, NAMED].reset_index(drop=True)
    kept = {name: tables[name][~tables[name]["trial_id"].isin(equals["trial_id"])].reset_index(drop=True) for name in ("trials", *TRACED)}
    whole = {**tables, EQUALS: equals.iloc[:0]}
    # a chain: the representative took its results from another trial, so `expand` would not find its row
    if equals.empty or not equals["representative"].isin(kept["trials"]["trial_id"]).all():
        return whole
    # the only proof that nothing is lost is to expand and compare: somebody may have edited the rows
    again = expand({**whole, **kept}, equals)
    return {**whole, **kept, EQUALS: equals} if all(again[name].equals(tables[name]) for name in kept) else whole


def expand(tables: Mapping[Table, pd.DataFrame], equals: pd.DataFrame) -> dict[Table, pd.DataFrame]:
    """Restore the rows of trials that took an equal network's results, as `Store.pass_on` writes them.

    Args:
        tables: `trials`, `curves`, `diagnostics` and any others.
        equals: the trials to add, each with its `representative`.

    Raises:
        StoreDamagedError: a representative has no row.
    """
    trials = tables["trials"]
    orphans = equals.loc[~equals["representative"].isin(trials["trial_id"])]
    if len(orphans):
        one = orphans.iloc[0]
        raise StoreDamagedError(
            f"{EQUALS}: trial {one['trial_id']} has the results of {one['representative']}, which is missing in trials; restore the files"
        )
    places = pd.Series(trials.index, index=trials["trial_id"]).loc[equals["representative"]]
    taken = (
        trials.loc[places].reset_index(drop=True).assign(**{name: equals[name].array for name in NAMED}, attempts=0, charged_seconds=0.0)
    )
    for name in UNTAKEN:
        # missing in every row, with the dtype kept
        taken[name] = taken[name].where(taken[name].isna())
    for name in TAKEN_AS_ZERO:
        # a cost that nobody measured stays missing: 0 would claim that it was measured
        taken[name] = taken[name].where(taken[name].isna(), 0)
    whole = {**tables, "trials": _sorted("trials", trials, taken)}
    # one representative can serve many takers: the merge repeats its rows for each
    given = equals[["trial_id", "representative"]].rename(columns={"trial_id": "taker", "representative": "trial_id"})
    for name in TRACED:
        traced = tables[name].merge(given, on="trial_id")
        traced = traced.assign(trial_id=traced["taker"])[tables[name].columns]
        whole[name] = _sorted(name, tables[name], traced)
    return whole


def _sorted(name: Table, rows: pd.DataFrame, more: pd.DataFrame) -> pd.DataFrame:
    """Concatenate two parts of a table, and sort it."""
    parts = [part for part in (rows, more) if len(part)]  # empty frames would change the dtypes
    return pd.concat(parts).sort_values(SORTING[name], ignore_index=True) if parts else rows
