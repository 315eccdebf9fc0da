"""Parts of a sweep's design that are missing from a published folder, derived from the sweep alone."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product

import pandas as pd

from agd_bench import plugins
from agd_bench.errors import InputError
from agd_bench.records import AlgorithmChoice, IndexRange, SearchSpaceChoice
from agd_bench.store import Results, planned_counts
from agd_bench.store.results import PLANNED

CELL = ["search_space", "dataset", "profile"]


def missing_parts(results: Results) -> list[str]:
    """List parts of the sweep's design without rows, and rows beyond it, one line each.

    Numbers of architectures, seeds and proposals come from the sweep. If rows of trials that have not started are left out, the stated
    numbers of planned trials are checked instead.
    """
    sweep, trials = results.sweep, results.trials
    # The key is present if rows of trials that have not started are left out.
    growing, counts = PLANNED in results.meta, planned_counts(results)
    rows_of = dict(list(trials.groupby([*CELL, "algorithm"], sort=False)))
    stated = counts.groupby([*CELL, "algorithm", "purpose"], sort=False)["planned"].sum().to_dict()
    lines = []
    for space in sweep.search_spaces:
        asked = _asked(space, counts, len(sweep.seeds))
        for dataset, profile, choice in product(sweep.datasets, sweep.profiles, sweep.algorithms):
            cell = (space.label, dataset.label, profile)
            rows = rows_of.get((*cell, choice.label), trials.iloc[:0])
            where = " / ".join(cell)
            planned = asked * len(sweep.seeds)
            if growing and stated.get((*cell, choice.label, "final"), 0) != planned:
                found = stated.get((*cell, choice.label, "final"), 0)
                lines.append(f"meta.json: {where}: {found} final trials of {choice.label} planned, but the design has {planned}")
            lines += _final_faults(rows[rows["purpose"] == "final"], choice.label, where, planned, growing)
            lines += _listed_faults(rows, space, choice.label, where, growing)
            if choice.tuning_trials and not growing:
                lines += _tuning_faults(rows, trials, choice, where)
    known = counts.groupby([*CELL, "algorithm", "purpose"], sort=False)["planned"].sum()
    begun = trials.groupby([*CELL, "algorithm", "purpose"], sort=False).size().reindex(known.index, fill_value=0)
    # Rows that are in no plan may have been added by hand.
    beyond = known.index[begun.to_numpy() > known.to_numpy()]
    return lines + [f"trials.csv: {' / '.join(key)}: more rows than were planned" for key in beyond]


def _asked(space: SearchSpaceChoice, counts: pd.DataFrame, seeds: int) -> int:
    """Number of architectures of a space in the sweep."""
    if isinstance(space.architectures, int):
        return space.architectures
    if isinstance(space.architectures, IndexRange):
        return space.architectures.count
    if isinstance(space.architectures, tuple):
        return len(space.architectures)
    # "all": the sweep does not state the number, so use the most that any algorithm has planned.
    own = counts[(counts["search_space"] == space.label) & (counts["purpose"] == "final")]
    return max(1, int(own["planned"].max()) // seeds if len(own) else 1)


def _final_faults(final: pd.DataFrame, label: str, where: str, planned: int, growing: bool) -> Iterator[str]:
    """Too few or too many final trials, or duplicates of an architecture and seed."""
    if len(final) > planned or (len(final) < planned and not growing):
        yield f"trials.csv: {where}: {len(final)} final trials of {label}, but the design has {planned}"
    if final.duplicated(["architecture", "seed"]).any():
        yield f"trials.csv: {where}: final trials of {label} repeat an architecture and seed"


def _listed_faults(rows: pd.DataFrame, space: SearchSpaceChoice, label: str, where: str, growing: bool) -> Iterator[str]:
    """Final trials of architectures that the sweep does not list."""
    if isinstance(space.architectures, tuple):
        found, listed = set(rows.loc[rows["purpose"] == "final", "architecture"]), set(space.architectures)
        if found - listed or (listed - found and not growing):
            odd = sorted(found ^ listed)[0]
            yield (
                f"trials.csv: {where}: the architectures of the final trials of {label} differ from those listed in the sweep, for "
                f"example {odd}"
            )


def _tuning_faults(rows: pd.DataFrame, trials: pd.DataFrame, choice: AlgorithmChoice, where: str) -> Iterator[str]:
    """Trained final trials without the proposals of their study, or with a study on fewer architectures than the sweep specifies."""
    # Refused trials and trials that reuse an equal network's results need no study.
    trained = rows[(rows["purpose"] == "final") & (rows["status"] != "refused") & rows["representative"].isna()]
    if trained["study"].isna().any():
        yield f"trials.csv: {where}: final trials of {choice.label} have no study"
    tuning = rows[rows["purpose"] == "tuning"]
    wanted = set(range(choice.tuning_trials))
    for key in trained["study"].dropna().unique():
        tried = tuning[tuning["study"] == key]
        sizes = tried.groupby("number").size()
        if set(sizes.index) != wanted or sizes.nunique() != 1:
            found = len(wanted & set(sizes.index))
            yield (
                f"trials.csv: {where}: {found} of {choice.tuning_trials} proposals of {choice.label} have all their tuning trials "
                f"in study {key}"
            )
        elif choice.tuning_scope != "architecture" and _tries_too_few(tried, rows, choice):
            yield f"trials.csv: {where}: study {key} of {choice.label} tried its proposals on fewer than {choice.proxies} architectures"
    if choice.tuning_scope == "architecture":
        owners = trained.dropna(subset="study").groupby("study")["architecture"].nunique()
        if (owners > 1).any():
            yield f"trials.csv: {where}: architectures of {choice.label} share a study, but its tuning scope is the architecture"


def _tries_too_few(tried: pd.DataFrame, rows: pd.DataFrame, choice: AlgorithmChoice) -> bool:
    """Whether a study of several architectures left out proxies; one shallow network may replace all proxies."""
    own = rows[(rows["purpose"] == "final") & (rows["status"] != "refused") & rows["representative"].isna()]
    sound, proxies = set(own["architecture"]), set(tried["architecture"])
    # The algorithm's own rule may train one shallow network instead of all proxies.
    alone = len(proxies) == 1 and _has_study_rule(choice.name)
    return not alone and proxies <= sound and len(proxies) < min(choice.proxies, len(sound))


def _has_study_rule(algorithm: str) -> bool:
    """Whether an algorithm defines what its studies train, if its source can be found; nothing is imported."""
    try:
        return "STUDY" in plugins.locate("algorithms", algorithm, ()).path.read_text(encoding="utf-8")
    except (InputError, OSError):
        # Without its source, do not report a fault.
        return True
