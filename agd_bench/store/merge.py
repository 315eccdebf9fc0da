"""Merge the results of several runs: slices from several machines, a published folder that is continued, rows of other sweeps."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import pandas as pd

from agd_bench.errors import InputError
from agd_bench.records import TERMINAL, Plan, canonical_json
from agd_bench.store.database import shown
from agd_bench.store.reader import load_results
from agd_bench.store.results import Results, stack, typed
from agd_bench.store.row_code import state_code
from agd_bench.store.schema import LOST, OUT_OF_MEMORY, Table, columns_of
from agd_bench.store.writer import MEASURED, Store

# these depend on the machine and its load; every other measurement must agree to the last digit
NOT_COMPARED = frozenset({"train_seconds", "total_seconds", "energy_joules", "peak_memory_bytes"})
COMPARED: dict[Table, tuple[str, ...]] = {
    "trials": ("status", "hyperparameters", *(name for name in MEASURED if name not in NOT_COMPARED)),
    "curves": tuple(c.name for c in columns_of("curves") if not c.key and c.name not in NOT_COMPARED),
    "diagnostics": ("value",),
}
KEYS: dict[Table, list[str]] = {"trials": ["trial_id"], "curves": ["trial_id", "epoch"], "diagnostics": ["trial_id", "epoch", "name"]}


@dataclass(frozen=True)
class Joined:
    """Merged results of several runs.

    Attributes:
        results: one row per trial that was started in any run.
        repeated: number of trials that ended in more than one run, with equal results.
    """

    results: Results
    repeated: int


def join(named: Sequence[tuple[str, Results]]) -> Joined:
    """Merge the rows of several runs.

    A trial that ended in several runs is kept as the first of them measured it, with its attempts there. Lost attempts of all runs stay
    charged; an attempt that several runs contain, because one was continued from another, is charged once.

    Args:
        named: runs with their names for messages; at least one.

    Raises:
        InputError: a trial ended differently in two runs.
    """
    (first_name, first), *others = [(name, _begun(state_code(results))) for name, results in named]
    joined, repeated = first, 0
    for name, other in others:
        both = _ended(joined) & _ended(other)
        _check_equal(joined, other, both, f"{first_name} (or a run merged into it)" if repeated else first_name, name)
        joined, repeated = _join_two(joined, other), repeated + len(both)
    return Joined(joined, repeated)


def _ended(results: Results) -> set[str]:
    return set(results.trials.loc[results.trials["status"].isin(TERMINAL), "trial_id"])


def _begun(results: Results) -> Results:
    """Return the rows of trials that ended or have lost attempts. Trials that are still running count as not started."""
    attempts = results.attempts[results.attempts["outcome"] != "running"]
    trials = results.trials.copy()
    # another driver may still be at work on it; here its result would never arrive
    trials["status"] = trials["status"].replace("running", "pending")
    trials = trials[trials["status"].isin(TERMINAL) | trials["trial_id"].isin(attempts["trial_id"])]
    return replace(results, trials=trials.reset_index(drop=True), attempts=attempts.reset_index(drop=True))


def _join_two(first: Results, second: Results) -> Results:
    ended, begun = _ended(first), set(first.trials["trial_id"])
    # an ended trial replaces one that was only started; of two unended ones the first stays
    added = (_ended(second) - ended) | (set(second.trials["trial_id"]) - begun)
    frames = {}
    for table in ("trials", "curves", "diagnostics"):
        ours, theirs = getattr(first, table), getattr(second, table)
        kept, new = ours[~ours["trial_id"].isin(added)], theirs[theirs["trial_id"].isin(added)]
        frames[table] = stack(kept, new)
    theirs = second.attempts
    # their time was spent, whichever run supplies the result
    lost = theirs["outcome"].isin([LOST, OUT_OF_MEMORY])
    attempts = stack(first.attempts, theirs[theirs["trial_id"].isin(added) | lost])
    # an attempt is identified by its start: numbers repeat where runs trained the same trial
    attempts = attempts.drop_duplicates(["trial_id", "started_at"]).sort_values(["trial_id", "started_at", "attempt"], ignore_index=True)
    attempts["attempt"] = attempts.groupby("trial_id").cumcount() + 1
    trials = _charged(frames["trials"], attempts)
    return replace(first, trials=trials, curves=frames["curves"], attempts=attempts, diagnostics=frames["diagnostics"])


def _charged(trials: pd.DataFrame, attempts: pd.DataFrame) -> pd.DataFrame:
    """Update counts and charged seconds of the trials that gained attempts."""
    by_trial = attempts.groupby("trial_id")["seconds"]
    counts = trials["trial_id"].map(by_trial.size()).fillna(0).astype("int64")
    # a sum in another order differs in the last digits, so rows without new attempts keep theirs
    changed = counts != trials["attempts"]
    seconds = trials["charged_seconds"].mask(changed, trials["trial_id"].map(by_trial.sum()))
    return trials.assign(attempts=counts, charged_seconds=seconds)


def _check_equal(first: Results, second: Results, both: set[str], *names: str) -> None:
    for table, columns in COMPARED.items():
        sides = [getattr(results, table) for results in (first, second)]
        ours, theirs = (side[side["trial_id"].isin(both)].set_index(KEYS[table])[list(columns)].sort_index() for side in sides)
        unlike = ours.index.symmetric_difference(theirs.index)
        if len(unlike):
            trial_id = unlike[0] if table == "trials" else unlike[0][0]
            raise InputError(_refusal(first, names, trial_id, table, "some rows exist in one of them only", 1))
        # NaN differs from itself, but two missing values agree; fillna: comparing with a missing Int64 gives NA
        differs = ~((ours == theirs) | (ours.isna() & theirs.isna())).fillna(False).astype(bool)
        if differs.to_numpy().any():
            rows = differs.any(axis=1)
            key = rows.idxmax()
            column = str(differs.loc[key].idxmax())
            values = f"{ours.loc[key, column]!s} and {theirs.loc[key, column]!s}"
            trial_ids = rows[rows].index.get_level_values("trial_id")
            raise InputError(_refusal(first, names, trial_ids[0], table, f"{column} is {values}", trial_ids.nunique()))


def _refusal(results: Results, names: Sequence[str], trial_id: str, table: str, what: str, count: int) -> str:
    trial = results.trials.set_index("trial_id").loc[trial_id]
    whose = f"{trial['algorithm']} on {trial['architecture']}, seed {trial['seed']} (trial {trial_id})"
    more = f", and {count - 1} more trials differ" if count > 1 else ""
    return (
        f"{names[0]} and {names[1]} disagree on a trial: {whose}, {table}: {what}{more}; devices that round differently can cause this;"
        " train a separate --part on each machine, and merge only one of the two runs"
    )


def merge_into(store: Store, plan: Plan, joined: Joined) -> int:
    """Merge results into an open run, in one transaction.

    Attempts that were lost elsewhere are charged, but do not count towards a trial's maximum of attempts.

    Args:
        store: open for the plan.
        plan: of all trials.
        joined: results whose trials all belong to the plan; see `reusable_rows`.

    Returns:
        Number of trials that newly ended in this run.

    Raises:
        InputError: a trial ended differently in the store.
    """
    present = _begun(load_results(store.location))
    whole = join([(shown(store.location), present), ("the merged runs", joined.results)]).results
    before = present.trials.set_index("trial_id")["attempts"]
    ended = _ended(present)
    changed = whole.trials[~whole.trials["trial_id"].isin(ended) | (whole.trials["attempts"] != whole.trials["trial_id"].map(before))]
    ids = set(changed["trial_id"])
    # trials that had ended here have their curves already; they only gain lost attempts
    new = ids - ended
    store.take_in(
        list(_trial_rows(changed, plan)),
        _rows("attempts", whole.attempts, ids),
        _rows("curves", whole.curves, new),
        _rows("diagnostics", whole.diagnostics, new),
    )
    return len(_ended(whole) - ended)


def _rows(table: Table, frame: pd.DataFrame, ids: set[str]) -> list[dict[str, Any]]:
    """Return rows of some trials for the database, with missing values as None."""
    chosen = typed(table, frame[frame["trial_id"].isin(ids)].copy())
    # object first: float and Int64 columns would turn None back into NaN or NA
    return [{str(key): value for key, value in row.items()} for row in chosen.astype(object).where(chosen.notna(), None).to_dict("records")]


def _trial_rows(changed: pd.DataFrame, plan: Plan) -> Iterator[dict[str, Any]]:
    planned = {trial.id: trial for trial in plan.all_trials}
    for row in _rows("trials", changed, set(changed["trial_id"])):
        trial = planned[row["trial_id"]]
        settings = json.loads(row["hyperparameters"]) if row["hyperparameters"] is not None else {}
        # a sweep cannot fix what it tunes, so the values that the plan does not have are the proposal
        proposed = {name: value for name, value in settings.items() if name not in trial.hyperparameters}
        # `load_results` leaves out the column `proposal`, which a tuner needs to resume
        yield row | {"proposal": canonical_json(proposed) if trial.study and settings else None}
