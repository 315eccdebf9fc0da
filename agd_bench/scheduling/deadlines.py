"""How long a trial may take: the limit set in the sweep, or a multiple of the time taken by trials of its kind."""

from __future__ import annotations

import bisect
from collections.abc import Mapping, Sequence

from agd_bench.records import Plan, Trial
from agd_bench.scheduling.kinds import Comparison, Kind, comparison_of, kind_of
from agd_bench.store import Standing

# A floor, because the time of short trials depends more on the disk and the node than on their work.
LEAST_SECONDS = 600.0
# Generous, because a deadline should end trials that hang, not trials that are slow.
TIMES_TYPICAL = 20.0
UNKNOWN_SECONDS = 86_400.0
"""Used until a trial of the kind has finished: a day, because ten minutes would end every long trial."""


class Deadlines:
    """The longest time allowed for a trial, from completed trials of its kind.

    Args:
        plan: states whether the sweep sets a deadline.
        standings: trials that are already completed.
    """

    def __init__(self, plan: Plan, standings: Mapping[str, Standing]) -> None:
        self._given = plan.sweep.deadline_seconds
        self._seconds: dict[Kind, list[float]] = {}
        self._flops: dict[Kind, list[int]] = {}
        self._architectures: dict[tuple[Comparison, str], int] = {}
        for trial in plan.all_trials:
            standing = standings[trial.id]
            # A repeated attempt may have resumed from a checkpoint, so its seconds are not those of a whole training.
            if standing.status == "done" and standing.attempts == 1 and standing.total_seconds:
                self.note(trial, standing.total_seconds, standing.forward_flops)

    def note(self, trial: Trial, total_seconds: float, forward_flops: int | None) -> None:
        """Learn from a trial that completed in one attempt.

        Args:
            trial: the trial.
            total_seconds: of its attempt.
            forward_flops: FLOPs of one image through its network; None: not measured.
        """
        # A one-epoch tuning trial must not set the deadline of a final of 100 epochs.
        kind = kind_of(trial)
        # Kept sorted, because the median is needed at each start and, for all running attempts, at each tick.
        bisect.insort(self._seconds.setdefault(kind, []), total_seconds)
        if forward_flops is not None:
            bisect.insort(self._flops.setdefault(kind, []), forward_flops)
            # By comparison, because FLOPs depend on the image size; a count under one algorithm also serves the others.
            self._architectures[kind.comparison, trial.architecture] = forward_flops

    def typical(self, trial: Trial) -> float | None:
        """Expected seconds of the trial; None if no trial of its kind has completed.

        The median of its kind, scaled up for an architecture known to be heavier than the median one.
        """
        kind = kind_of(trial)
        seconds = self._seconds.get(kind)
        if seconds is None:
            return None
        own = self._architectures.get((comparison_of(trial), trial.architecture))
        heavier = own / max(1, _median(self._flops[kind])) if own is not None and kind in self._flops else 1.0
        # Do not scale down for lighter networks: on a GPU, small networks are bound by kernel launches.
        return _median(seconds) * max(1.0, heavier)

    def seconds(self, trial: Trial) -> float:
        """How long an attempt at the trial may take, from current knowledge."""
        if self._given is not None:
            return self._given
        typical = self.typical(trial)
        return UNKNOWN_SECONDS if typical is None else max(LEAST_SECONDS, TIMES_TYPICAL * typical)


def _median(ordered: Sequence[float]) -> float:
    # For an even number take the upper one, because the longer deadline is safer.
    return ordered[len(ordered) // 2]
