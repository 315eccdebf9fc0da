"""How long a trial may take: what the sweep says, or a multiple of what others of its kind took."""

from __future__ import annotations

import bisect
from collections.abc import Mapping, Sequence

from agd_bench.records import Plan, Trial
from agd_bench.scheduling.kinds import Comparison, Kind, comparison_of, kind_of
from agd_bench.store import Standing

# A floor, as the time of short trials depends more on the disk and the node than on their work.
LEAST_SECONDS = 600.0
# Wide, as a deadline is to end trials that hang, not those that are slow.
TIMES_TYPICAL = 20.0
UNKNOWN_SECONDS = 86_400.0
"""No trial of the kind has finished yet. Ten minutes would end every long one, so a day; it shrinks once one has."""


class Deadlines:
    """The longest time of a trial, from the trials of its kind that are done.

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
            # A repeated attempt may have gone on from a checkpoint: its seconds are not those of a whole training.
            if standing.status == "done" and standing.attempts == 1 and standing.total_seconds:
                self.note(trial, standing.total_seconds, standing.forward_flops)

    def note(self, trial: Trial, total_seconds: float, forward_flops: int | None) -> None:
        """Learn from a trial that was done in one attempt.

        Args:
            trial: which.
            total_seconds: of its attempt.
            forward_flops: of one image through its network; None: not measured.
        """
        # A one-epoch tuning trial must not set the deadline of a final of 100 epochs.
        kind = kind_of(trial)
        # Kept sorted, as the median is asked for at each start and, of all attempts under way, at each tick.
        bisect.insort(self._seconds.setdefault(kind, []), total_seconds)
        if forward_flops is not None:
            bisect.insort(self._flops.setdefault(kind, []), forward_flops)
            # By comparison, as FLOPs depend on the image size; a count under one algorithm serves the others.
            self._architectures[kind.comparison, trial.architecture] = forward_flops

    def typical(self, trial: Trial) -> float | None:
        """Seconds that the trial is expected to take; None: no trial of its kind is done.

        The median of its kind, and more for an architecture that is known to be heavier than that of the median.
        """
        kind = kind_of(trial)
        seconds = self._seconds.get(kind)
        if seconds is None:
            return None
        own = self._architectures.get((comparison_of(trial), trial.architecture))
        heavier = own / max(1, _median(self._flops[kind])) if own is not None and kind in self._flops else 1.0
        # A lighter network gets no less: on a GPU small ones take as long as their kernels take to launch.
        return _median(seconds) * max(1.0, heavier)

    def seconds(self, trial: Trial) -> float:
        """How long an attempt at the trial may take, by what is known now."""
        if self._given is not None:
            return self._given
        typical = self.typical(trial)
        return UNKNOWN_SECONDS if typical is None else max(LEAST_SECONDS, TIMES_TYPICAL * typical)


def _median(ordered: Sequence[float]) -> float:
    # Of an even number the upper one: the longer deadline is the safer one.
    return ordered[len(ordered) // 2]
