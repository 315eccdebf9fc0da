"""Choose the rows of a run that another sweep can reuse: those of equal trials, whatever else the two sweeps contain."""

from __future__ import annotations

import json
from collections.abc import Collection
from dataclasses import dataclass, replace

import pandas as pd

from agd_bench.errors import RunChangedError
from agd_bench.records import TERMINAL, Plan, canonical_json
from agd_bench.store.plan_rows import MIXED_CODE_ADVICE, differences, planned_row
from agd_bench.store.results import Results, typed
from agd_bench.store.row_code import DIGESTS, EARLIER, FIRST, changed_code, undeclared_code
from agd_bench.store.schema import columns_of


@dataclass(frozen=True)
class Reusable:
    """Rows of a run that belong to a plan.

    Attributes:
        results: the rows of equal trials, with their attempts and the code that made them.
        edited: plug-ins, as `KIND/NAME`, whose code has changed since; their rows are left out.
        omitted: number of trained trials that are left out, for this or any other reason.
    """

    results: Results
    edited: tuple[str, ...]
    omitted: int


def reusable_rows(name: str, results: Results, plan: Plan, allow_mixed_code: bool = False) -> Reusable:
    """Return the rows of a run that can be used for trials of a plan, for the same sweep or another one.

    A trial's id covers all its settings, so equal ids mean equal trainings. Where the sweeps differ, these rows are left out although
    their ids match: seeds that the other sweep's adaptive rule did not need; results of an equal network that the plan trains itself, and
    the reverse; final trials of a study without all of its tuning trials, which would hide what the tuning cost.

    Args:
        name: of the run, for messages.
        results: of a run or a published folder.
        plan: of the current sweep.
        allow_mixed_code: whether to keep rows of plug-ins that were edited since.

    Raises:
        RunChangedError: no row belongs to the plan, or rows were made by code that the run does not declare.
    """
    old = {"plugin_digests": "{}", "plan_digest": "", **results.meta, "sweep": results.sweep.model_dump_json()}
    changed = differences(old, plan, allow_mixed_code=True)
    trials = results.trials
    fits = _equal_trials(results, plan) if changed else trials["trial_id"].isin([trial.id for trial in plan.all_trials])
    used = _plugins_of(results, trials[fits])
    edited = [] if allow_mixed_code else [plugin for plugin in changed_code(old, plan) if plugin in set(used)]
    kept = _rows_of(results, trials.loc[fits & ~trials.index.isin(used.index[used.isin(edited)]), "trial_id"])
    # declared anew for the rows that are kept: code of the others is not this plan's business
    kept = replace(kept, meta=_declaring(kept.meta, set(used) - set(edited)))
    undeclared = [] if allow_mixed_code else undeclared_code(kept)
    if undeclared:
        raise RunChangedError(f"{name}: {'; '.join(undeclared[:4])}; leave this run out, or {MIXED_CODE_ADVICE}")
    trained = _trained(trials)
    if trained and not _trained(kept.trials):
        why = [*changed, *(f"the code of {plugin}" for plugin in edited)]
        raise RunChangedError(
            f"{name}: none of its {trained} trials can be reused: {', '.join(why[:4])} changed; give runs that share trials with this sweep"
            + (f", or {MIXED_CODE_ADVICE}" if edited else "")
        )
    return Reusable(kept, tuple(edited), trained - _trained(kept.trials))


def as_planned(results: Results, plan: Plan) -> Results:
    """Return results as those of a plan's own run: its labels and order, and a pending row for every trial without one.

    Args:
        results: rows of trials of the plan; see `reusable_rows`.
        plan: of the sweep that the results become those of.
    """
    nothing = dict.fromkeys(column.name for column in columns_of("trials"))
    rows = typed("trials", pd.DataFrame([nothing | planned_row(place, trial) for place, trial in enumerate(plan.all_trials)]))
    planned = [name for name in rows if name in _PLANNED]
    measured = results.trials.drop(columns=planned).merge(rows[["trial_id", *planned]], on="trial_id")
    absent = rows[~rows["trial_id"].isin(measured["trial_id"])]
    trials = pd.concat([part for part in (measured[rows.columns], absent) if len(part)])
    return replace(results, sweep=plan.sweep, trials=typed("trials", trials))


_PLANNED = ("position", "search_space", "dataset", "algorithm", "representative")
"""Columns that a sweep decides and a trial's id does not cover."""


def _equal_trials(results: Results, plan: Plan) -> pd.Series[bool]:
    """Return which trials of another sweep have results that the plan's trials would have."""
    trials = results.trials
    planned = {trial.id: trial for trial in plan.all_trials}
    # what the sweep wants recorded cannot be added to rows afterwards
    if not set(plan.sweep.diagnostics) <= set(results.sweep.diagnostics):
        return pd.Series(False, trials.index)
    own = trials["trial_id"].isin(planned.keys()) & (trials["status"] != "unneeded")
    representatives = trials["trial_id"].map({trial.id: trial.representative for trial in plan.all_trials})
    own &= (trials["representative"] == representatives) | (trials["representative"].isna() & representatives.isna())
    ended = set(trials.loc[own & trials["status"].isin(TERMINAL), "trial_id"])
    tuning = {study.key: {trial.id for part in study.rounds for trial in part} for study in plan.studies}
    unfinished = [key for key, ids in tuning.items() if not ids <= ended]
    return own & ~((trials["purpose"] == "final") & trials["study"].isin(unfinished))


def _plugins_of(results: Results, trials: pd.DataFrame) -> pd.Series[str]:
    """Return the plug-ins of trials as `KIND/NAME`, three for each, under the trial's index."""
    spaces = {choice.label: choice.name for choice in results.sweep.search_spaces}
    datasets = {choice.label: choice.name for choice in results.sweep.datasets}
    return pd.concat(
        [
            "search_spaces/" + trials["search_space"].map(spaces).astype("str"),
            "datasets/" + trials["dataset"].map(datasets).astype("str"),
            "algorithms/" + trials["algorithm_name"],
        ]
    )


def _rows_of(results: Results, trial_ids: pd.Series[str]) -> Results:
    tables = {name: getattr(results, name) for name in ("trials", "curves", "attempts", "diagnostics")}
    return replace(results, **{name: rows[rows["trial_id"].isin(trial_ids)].reset_index(drop=True) for name, rows in tables.items()})


def _declaring(meta: dict[str, str], plugins: Collection[str]) -> dict[str, str]:
    """Return the meta data with the code of these plug-ins only."""
    stated = {key: json.loads(meta[key]) for key in (DIGESTS, EARLIER, FIRST) if key in meta}
    return meta | {key: canonical_json({name: code[name] for name in code if name in plugins}) for key, code in stated.items()}


def _trained(trials: pd.DataFrame) -> int:
    """Return the number of trials that were trained to an end themselves."""
    return int((trials["status"].isin(TERMINAL) & (trials["status"] != "unneeded") & trials["representative"].isna()).sum())
