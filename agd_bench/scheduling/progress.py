"""Progress of a run: events, snapshots and an estimate of the remaining time."""

from __future__ import annotations

import itertools
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from agd_bench.records import Plan, Trial, TrialResult
from agd_bench.scheduling.kinds import Kind, kind_of

if TYPE_CHECKING:
    from agd_bench.store import Standing


@dataclass(frozen=True)
class Event:
    """Something that happened to a trial.

    Attributes:
        kind: an attempt started, ended with a result, or was lost; a trial that was lost or ran out of memory is retried; a node is no
            longer used.
        trial: the trial.
        attempt: number of the attempt (of the new one, if retried).
        result: its result, if it ended.
        message: message for the user; empty for ordinary events.
        node: node of the attempt; empty if there is none.
    """

    kind: Literal["started", "ended", "lost", "retried", "set aside"]
    trial: Trial
    attempt: int
    result: TrialResult | None = None
    message: str = ""
    node: str = ""


@dataclass(frozen=True)
class Snapshot:
    """Progress of a run.

    Attributes:
        total: number of trials in the plan.
        counts: number of trials by status, including `running` and `pending`.
        running: running trials; if there are many, those that started first.
        elapsed_seconds: time since this driver started.
        remaining_seconds: upper estimate from the mean seconds of trials so far (adaptive seeds may need fewer trials); None: no data yet.
        best: by algorithm label, the best validation accuracy of a finished trial and its architecture.
    """

    total: int
    counts: dict[str, int]
    running: tuple[Trial, ...]
    elapsed_seconds: float
    remaining_seconds: float | None
    best: dict[str, tuple[float, str]]


# A display shows only a few, and a snapshot is taken twice per second.
MOST_SHOWN = 8

Observer = Callable[[Event | None, Snapshot], None]


def both(first: Observer, second: Observer | None) -> Observer:
    """An observer that tells two others."""
    if second is None:
        return first

    def tell(event: Event | None, snapshot: Snapshot) -> None:
        first(event, snapshot)
        second(event, snapshot)

    return tell


class Meter:
    """Counts a run's trials and times them.

    Args:
        plan: all trials.
        standings: their state at the start.
        clock: a monotonic clock in seconds.
    """

    def __init__(self, plan: Plan, standings: Mapping[str, Standing], clock: Callable[[], float] = time.monotonic) -> None:
        self._clock, self._begun = clock, clock()
        self._counts: Counter[str] = Counter()
        self._left: Counter[Kind] = Counter()
        self._seconds: Counter[Kind] = Counter()
        self._timed: Counter[Kind] = Counter()
        self._running: dict[str, tuple[Trial, float]] = {}
        self._at_work: Counter[Kind] = Counter()
        self._since: Counter[Kind] = Counter()
        self._best: dict[str, tuple[float, str]] = {}
        self._total = len(plan.all_trials)
        for trial in plan.all_trials:
            standing = standings[trial.id]
            self._counts[standing.status] += 1
            if standing.status == "pending":
                # Represented trials take no time.
                self._left[kind_of(trial)] += trial.representative is None
            else:
                self._note(trial, standing.status, standing.val_accuracy, standing.total_seconds)

    def _note(self, trial: Trial, status: str, val_accuracy: float | None, total_seconds: float | None) -> None:
        # Refused and given-up trials took no time and would lower the mean.
        if total_seconds:
            self._seconds[kind_of(trial)] += total_seconds  # type: ignore[assignment]
            self._timed[kind_of(trial)] += 1
        best = self._best.get(trial.algorithm_label)
        if status == "done" and val_accuracy is not None and (best is None or val_accuracy > best[0]):
            self._best[trial.algorithm_label] = (val_accuracy, trial.architecture)

    def started(self, trial: Trial) -> None:
        """pending → running."""
        self._counts["pending"] -= 1
        self._counts["running"] += 1
        now, kind = self._clock(), kind_of(trial)
        self._running[trial.id] = (trial, now)
        self._at_work[kind] += 1
        # A sum of start times: with the count it gives the total elapsed seconds without iterating.
        self._since[kind] += now  # type: ignore[assignment]

    def stopped(self, trial: Trial) -> None:
        """running → pending."""
        _, since = self._running.pop(trial.id)
        kind = kind_of(trial)
        self._at_work[kind] -= 1
        self._since[kind] -= since  # type: ignore[assignment]
        self._counts["running"] -= 1
        self._counts["pending"] += 1

    def ended(self, trial: Trial, result: TrialResult) -> None:
        """Move a trial from pending (or running, after `stopped`) to its final status."""
        self._counts["pending"] -= 1
        self._counts[result.status] += 1
        self._left[kind_of(trial)] -= trial.representative is None
        self._note(trial, result.status, result.val_accuracy, result.total_seconds)

    def snapshot(self, slots: int) -> Snapshot:
        """The current progress.

        Args:
            slots: number of trials that can run at the same time.
        """
        now = self._clock()
        return Snapshot(
            total=self._total,
            counts={status: count for status, count in self._counts.items() if count},
            running=tuple(trial for trial, _ in itertools.islice(self._running.values(), MOST_SHOWN)),
            elapsed_seconds=now - self._begun,
            remaining_seconds=self._remaining(now, slots),
            best=dict(self._best),
        )

    def _remaining(self, now: float, slots: int) -> float | None:
        if not any(self._left.values()):
            return 0.0
        if not self._timed:
            return None
        work = sum(count * self._mean(kind) for kind, count in self._left.items())
        # By kind, not by trial, so thousands of trials cost nothing.
        # At most the mean each, so a long trial does not make the others look finished.
        under_way = sum(min(count * now - self._since[kind], count * self._mean(kind)) for kind, count in self._at_work.items() if count)
        return max(0.0, work - under_way) / max(1, slots)

    def _mean(self, kind: Kind) -> float:
        """Mean seconds of the kind; if unknown, scaled by epochs from the algorithm in the comparison, the algorithm, or all trials."""
        if self._timed[kind]:
            return self._seconds[kind] / self._timed[kind]
        near = [other for other in self._timed if other.algorithm == kind.algorithm]
        nearest = [other for other in near if other.comparison == kind.comparison]
        others = nearest or near or list(self._timed)
        epochs = sum(self._timed[other] * other.epochs for other in others)
        return kind.epochs * sum(self._seconds[other] for other in others) / epochs
