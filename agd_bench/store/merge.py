"""Join the results of several runs of one sweep: slices trained on several machines, or continued from a published folder.

Two rows of one trial are equal if they measured the same: its status, its hyperparameters, every accuracy, loss, count and
curve point, to the last digit. Seconds, joules, memory and provenance say how it was measured and may differ.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import pandas as pd

from agd_bench.errors import InputError, RunChangedError
from agd_bench.records import TERMINAL, Plan, canonical_json
from agd_bench.store.plan_rows import MIXED_CODE_ADVICE, differences
from agd_bench.store.reader import Results, load_results, typed
from agd_bench.store.row_code import state_code, undeclared_code
from agd_bench.store.schema import Table, columns_of
from agd_bench.store.writer import LOST, MEASURED, OUT_OF_MEMORY, Store

NOT_COMPARED = frozenset({"train_seconds", "total_seconds", "energy_joules", "peak_memory_bytes"})
COMPARED: dict[Table, tuple[str, ...]] = {
    "trials": ("status", "hyperparameters", *(name for name in MEASURED if name not in NOT_COMPARED)),
    "curves": tuple(c.name for c in columns_of("curves") if not c.key and c.name not in NOT_COMPARED),
    "diagnostics": ("value",),
}
KEYS: dict[Table, list[str]] = {"trials": ["trial_id"], "curves": ["trial_id", "epoch"], "diagnostics": ["trial_id", "epoch", "name"]}


@dataclass(frozen=True)
class Joined:
    """Results of several runs in one.

    Attributes:
        results: rows of the trials that were begun anywhere, one each; those that nothing happened to are left out.
        repeated: trials that ended in more than one run, equally, and are kept once.
    """

    results: Results
    repeated: int


def join(named: Sequence[tuple[str, Results]]) -> Joined:
    """The rows of several runs of one sweep.

    A trial that ended in several runs is kept once, as the first of them measured it and with the attempts that it took there. Attempts
    that were lost anywhere stay charged; one that several runs tell of, because one went on from the other, is charged once.

    Args:
        named: at least one run, each with what messages call it.

    Raises:
        InputError: a trial that ended differently in two runs.
    """
    (first_name, first), *others = [(name, _begun(state_code(results))) for name, results in named]
    joined, repeated = first, 0
    for name, other in others:
        both = _ended(joined) & _ended(other)
        _check_equal(joined, other, both, f"{first_name} (or what was joined with it)" if repeated else first_name, name)
        joined, repeated = _join_two(joined, other), repeated + len(both)
    return Joined(joined, repeated)


def _ended(results: Results) -> set[str]:
    return set(results.trials.loc[results.trials["status"].isin(TERMINAL), "trial_id"])


def _begun(results: Results) -> Results:
    """The rows of trials that ended or lost attempts; what still runs elsewhere counts as not begun."""
    attempts = results.attempts[results.attempts["outcome"] != "running"]
    trials = results.trials.copy()
    trials["status"] = trials["status"].replace("running", "pending")
    trials = trials[trials["status"].isin(TERMINAL) | trials["trial_id"].isin(attempts["trial_id"])]
    return replace(results, trials=trials.reset_index(drop=True), attempts=attempts.reset_index(drop=True))


def _join_two(first: Results, second: Results) -> Results:
    ended, begun = _ended(first), set(first.trials["trial_id"])
    added = (_ended(second) - ended) | (set(second.trials["trial_id"]) - begun)
    frames = {}
    for table in ("trials", "curves", "diagnostics"):
        ours, theirs = getattr(first, table), getattr(second, table)
        kept, new = ours[~ours["trial_id"].isin(added)], theirs[theirs["trial_id"].isin(added)]
        frames[table] = _stack(kept, new)
    theirs = second.attempts
    lost = theirs["outcome"].isin([LOST, OUT_OF_MEMORY])
    attempts = _stack(first.attempts, theirs[theirs["trial_id"].isin(added) | lost])
    attempts = attempts.drop_duplicates(["trial_id", "started_at"]).sort_values(["trial_id", "started_at", "attempt"], ignore_index=True)
    attempts["attempt"] = attempts.groupby("trial_id").cumcount() + 1
    trials = _charged(frames["trials"], attempts)
    return replace(first, trials=trials, curves=frames["curves"], attempts=attempts, diagnostics=frames["diagnostics"])


def _stack(*frames: pd.DataFrame) -> pd.DataFrame:
    filled = [frame for frame in frames if len(frame)]
    return pd.concat(filled, ignore_index=True) if filled else frames[0]


def _charged(trials: pd.DataFrame, attempts: pd.DataFrame) -> pd.DataFrame:
    """The trials with what all their attempts took; where none was added, as it was."""
    by_trial = attempts.groupby("trial_id")["seconds"]
    counts = trials["trial_id"].map(by_trial.size()).fillna(0).astype("int64")
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
            raise InputError(_refusal(first, names, trial_id, table, "one has rows that the other lacks", 1))
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
    more = f", and so do {count - 1} more" if count > 1 else ""
    return (
        f"{names[0]} and {names[1]} tell of one trial differently: {whose}, {table}: {what}{more}; devices that round differently"
        " can do that, so let every machine train a --part of its own, and leave one of the two runs out"
    )


def check_same_sweep(name: str, results: Results, plan: Plan, allow_mixed_code: bool = False) -> None:
    """Make sure that results are of this plan.

    Args:
        name: what messages call the results.
        results: of a run or a published folder.
        plan: what is asked now.
        allow_mixed_code: whether rows of plug-ins whose code has changed may meet.

    Raises:
        RunChangedError: of another sweep, of plug-ins that were edited since, or with rows of code that their run does not declare.
    """
    old = {"plugin_digests": "{}", "plan_digest": "", **results.meta, "sweep": results.sweep.model_dump_json()}
    changed = differences(old, plan, allow_mixed_code)
    undeclared = [] if allow_mixed_code else undeclared_code(results)
    if undeclared and not changed:
        raise RunChangedError(f"{name}: {'; '.join(undeclared[:4])}; leave this run out, or {MIXED_CODE_ADVICE}")
    if changed:
        raise RunChangedError(
            f"{name} holds results of something else: {', '.join(changed[:4])} changed; give runs of one sweep and the same plug-ins,"
            f" or {MIXED_CODE_ADVICE}"
        )


def merge_into(store: Store, plan: Plan, joined: Joined) -> int:
    """Take joined results into a run that is open for its driver, in one transaction.

    Losses of attempts elsewhere are charged, but not held against a trial that has not ended.

    Args:
        store: open for the plan; what it holds is joined with the rest.
        plan: all trials.
        joined: of the same sweep.

    Returns:
        Trials that the run had not ended before and has now.

    Raises:
        InputError: a trial that ended otherwise in the store.
    """
    present = _begun(load_results(store.location))
    whole = join([(str(store.location), present), ("what is to be merged", joined.results)]).results
    before = present.trials.set_index("trial_id")["attempts"]
    ended = _ended(present)
    changed = whole.trials[~whole.trials["trial_id"].isin(ended) | (whole.trials["attempts"] != whole.trials["trial_id"].map(before))]
    ids = set(changed["trial_id"])
    new = ids - ended
    store.take_in(
        list(_trial_rows(changed, plan)),
        _rows("attempts", whole.attempts, ids),
        _rows("curves", whole.curves, new),
        _rows("diagnostics", whole.diagnostics, new),
    )
    return len(_ended(whole) - ended)


def _rows(table: Table, frame: pd.DataFrame, ids: set[str]) -> list[dict[str, Any]]:
    """Rows of some trials as the database takes them: missing values as None."""
    chosen = typed(table, frame[frame["trial_id"].isin(ids)].copy())
    return [{str(key): value for key, value in row.items()} for row in chosen.astype(object).where(chosen.notna(), None).to_dict("records")]


def _trial_rows(changed: pd.DataFrame, plan: Plan) -> Iterator[dict[str, Any]]:
    planned = {trial.id: trial for trial in plan.all_trials}
    for row in _rows("trials", changed, set(changed["trial_id"])):
        trial = planned[row["trial_id"]]
        settings = json.loads(row["hyperparameters"]) if row["hyperparameters"] is not None else {}
        # What a tuner proposed is what the plan did not know: a sweep cannot fix what it tunes.
        proposed = {name: value for name, value in settings.items() if name not in trial.hyperparameters}
        yield row | {"proposal": canonical_json(proposed) if trial.study and settings else None}
