"""Failed trials: count and repeat them."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Literal, get_args

import sqlalchemy as sa

from agd_bench.errors import InputError
from agd_bench.records import Trial
from agd_bench.store.database import ATTEMPTS, CURVES, DIAGNOSTICS, TRIALS
from agd_bench.store.plan_rows import planned_row
from agd_bench.store.results import Results

Ending = Literal["failed", "lost", "refused", "diverged"]
"""Outcomes of trials that can be repeated; `lost`: failed because the last attempt was lost with its worker or ran out of memory."""
LOST_ENDINGS = ("lost", "out of memory")


def reopen(connection: sa.Connection, trials: Sequence[Trial], endings: Collection[str]) -> int:
    """Set ended trials with given outcomes back to pending; their measurements are removed, their cost stays charged.

    Args:
        connection: connection in the driver's transaction.
        trials: trials that may be repeated.
        endings: values of `Ending`.

    Returns:
        Number of trials to train again.

    Raises:
        InputError: an unknown outcome.
    """
    unknown = sorted(set(endings) - set(get_args(Ending)))
    if unknown:
        raise InputError(f"--retry {unknown[0]}: unknown outcome; allowed are {', '.join(get_args(Ending))}")
    # attempts count from 1, so the last one has the number of attempts; outer, because a trial may end without any
    last = (ATTEMPTS.c.trial_id == TRIALS.c.trial_id) & (ATTEMPTS.c.attempt == TRIALS.c.attempts)
    rows = connection.execute(sa.select(TRIALS.c.trial_id, TRIALS.c.status, ATTEMPTS.c.outcome).join(ATTEMPTS, last, isouter=True)).all()
    # once its attempts are used up, a lost trial is stored as failed: only its last attempt states why
    lost = {row.trial_id for row in rows if row.status == "failed" and row.outcome in LOST_ENDINGS and "lost" in endings}
    again = lost | {row.trial_id for row in rows if row.status in endings}
    # Values reported to a tuner, or chosen by one, are kept: a repeated trial keeps its hyperparameters.
    kept = {"trial_id", "position", "attempts", "charged_seconds", "hyperparameters", "proposal"}
    chosen = [trial for trial in trials if trial.id in again]
    for trial in chosen:
        # the position is kept, so 0 is never written
        fresh = planned_row(0, trial)
        values = {name: fresh.get(name, 0 if not column.nullable else None) for name, column in TRIALS.columns.items() if name not in kept}
        connection.execute(TRIALS.update().where(TRIALS.c.trial_id == trial.id).values(**values))
        closed = ATTEMPTS.update().where(ATTEMPTS.c.trial_id == trial.id)
        # otherwise the old losses would use up the maximum of attempts at once
        connection.execute(closed.values(blamed=0))
        # the scheduler gives up after the second "out of memory", and would count old ones
        connection.execute(closed.where(ATTEMPTS.c.outcome == "out of memory").values(outcome="lost"))
        for table in (CURVES, DIAGNOSTICS):
            # their keys would collide with the rows of the new training
            connection.execute(table.delete().where(table.c.trial_id == trial.id))
    return len(chosen)


def failed_trials(results: Results) -> str:
    """One line about failed trials by algorithm; empty if there are none."""
    failed = results.trials[results.trials["status"] == "failed"]
    if failed.empty:
        return ""
    counts = ", ".join(f"{label} {count}" for label, count in failed["algorithm"].value_counts(sort=False).items())
    return f"{len(failed)} of {len(results.trials)} trials failed ({counts}); repeat them with --retry failed"


def failed_algorithms(results: Results) -> list[str]:
    """Algorithms for which every trial to be trained failed."""
    # unneeded seeds are no evidence about the algorithm
    asked = results.trials[results.trials["status"] != "unneeded"]
    return [str(label) for label, rows in asked.groupby("algorithm", sort=False) if (rows["status"] == "failed").all()]
