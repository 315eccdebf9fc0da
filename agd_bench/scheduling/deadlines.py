"""How long a trial may take: what the sweep says, or a multiple of what others of its kind took."""

from __future__ import annotations

import bisect
from collections.abc import Mapping

from agd_bench.records import Plan, Trial
from agd_bench.store import Standing

LEAST_SECONDS = 600.0
TIMES_MEDIAN = 20.0
UNKNOWN_SECONDS = 86_400.0
"""Nothing of the kind has finished yet. Ten minutes would end every long trial, so a day; it shrinks once one is known."""


class Deadlines:
    """The longest time of a trial, by its kind: search space, data set and profile.

    Args:
        plan: says whether the sweep sets one itself.
        standings: trials that are done already.
    """

    def __init__(self, plan: Plan, standings: Mapping[str, Standing]) -> None:
        self._given = plan.sweep.deadline_seconds
        self._seconds: dict[tuple[str, str, str], list[float]] = {}
        for trial in plan.all_trials:
            standing = standings[trial.id]
            if standing.status == "done" and standing.attempts == 1 and standing.total_seconds:
                self.note(trial, standing.total_seconds)

    def note(self, trial: Trial, total_seconds: float) -> None:
        """A trial was done in one attempt, in so many seconds."""
        bisect.insort(self._seconds.setdefault(_kind(trial), []), total_seconds)

    def typical(self, trial: Trial) -> float | None:
        """Median seconds of the trials of its kind that are done; null: none is."""
        known = self._seconds.get(_kind(trial))
        return known[len(known) // 2] if known else None

    def seconds(self, trial: Trial) -> float:
        """How long an attempt at the trial may take, by what is known now."""
        if self._given is not None:
            return self._given
        typical = self.typical(trial)
        return UNKNOWN_SECONDS if typical is None else max(LEAST_SECONDS, TIMES_MEDIAN * typical)


def _kind(trial: Trial) -> tuple[str, str, str]:
    return trial.search_space_label, trial.dataset, trial.profile
