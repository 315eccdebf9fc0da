"""How long a trial may take: what the sweep says, or a multiple of what others of its kind took."""

from __future__ import annotations

import bisect
from collections.abc import Mapping, Sequence

from agd_bench.records import Plan, Trial
from agd_bench.scheduling.kinds import Comparison, Kind, comparison_of, kind_of
from agd_bench.store import Standing

LEAST_SECONDS = 600.0
TIMES_TYPICAL = 20.0
UNKNOWN_SECONDS = 86_400.0
"""No trial of the kind has finished yet. Ten minutes would end every long one, so a day; it shrinks once one has."""


class Deadlines:
    """The longest time of a trial, from the trials of its kind that are done.

    Trials of another algorithm, purpose or number of epochs say nothing about it: a one-epoch tuning trial must not set the
    deadline of a final of 100 epochs.

    Args:
        plan: says whether the sweep sets a deadline itself.
        standings: trials that are done already.
    """

    def __init__(self, plan: Plan, standings: Mapping[str, Standing]) -> None:
        self._given = plan.sweep.deadline_seconds
        self._seconds: dict[Kind, list[float]] = {}
        self._flops: dict[Kind, list[int]] = {}
        self._architectures: dict[tuple[Comparison, str], int] = {}
        for trial in plan.all_trials:
            standing = standings[trial.id]
            if standing.status == "done" and standing.attempts == 1 and standing.total_seconds:
                self.note(trial, standing.total_seconds, standing.forward_flops)

    def note(self, trial: Trial, total_seconds: float, forward_flops: int | None) -> None:
        """Learn from a trial that was done in one attempt.

        Args:
            trial: which.
            total_seconds: of its attempt.
            forward_flops: of one image through its network; None: not measured.
        """
        kind = kind_of(trial)
        bisect.insort(self._seconds.setdefault(kind, []), total_seconds)
        if forward_flops is not None:
            bisect.insort(self._flops.setdefault(kind, []), forward_flops)
            self._architectures[kind.comparison, trial.architecture] = forward_flops

    def typical(self, trial: Trial) -> float | None:
        """Seconds that the trial is expected to take; None: no trial of its kind is done.

        The median of its kind, and more for an architecture that is known to be heavier than that of the median. A lighter one
        gets no less: on a GPU small networks take as long as their kernels take to launch.
        """
        kind = kind_of(trial)
        seconds = self._seconds.get(kind)
        if seconds is None:
            return None
        own = self._architectures.get((comparison_of(trial), trial.architecture))
        heavier = own / max(1, _median(self._flops[kind])) if own is not None and kind in self._flops else 1.0
        return _median(seconds) * max(1.0, heavier)

    def seconds(self, trial: Trial) -> float:
        """How long an attempt at the trial may take, by what is known now."""
        if self._given is not None:
            return self._given
        typical = self.typical(trial)
        return UNKNOWN_SECONDS if typical is None else max(LEAST_SECONDS, TIMES_TYPICAL * typical)


def _median(ordered: Sequence[float]) -> float:
    return ordered[len(ordered) // 2]
