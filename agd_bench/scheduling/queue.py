"""Which trial is next: a pure policy without access to clock, disk or Ray.

Final trials of self-tuning algorithms are ready from the start. A study's rounds become ready one after the other, or all at once if its
sampler does not depend on results; its final trials become ready when all rounds have ended. With adaptive seeds, final trials also wait
for their release.
"""

from __future__ import annotations

import heapq
import statistics
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Protocol

from agd_bench import tuning
from agd_bench.plugins import Kind, load, ranges_of
from agd_bench.records import TERMINAL, CurvePoint, Plan, Scalars, Status, Study, Trial, TrialResult
from agd_bench.scheduling.seed_rounds import Seeding
from agd_bench.store import Standing

HOPELESS = "no proposal of its study finished, so there are no hyperparameters to train with"


class Tuner(Protocol):
    """Tuner of the queue; every method is a function of its arguments alone."""

    def propose(self, study: Study, told: Sequence[tuning.Observation]) -> Scalars:
        """The hyperparameters of the next round."""

    def choose(self, told: Sequence[tuning.Observation]) -> Scalars | None:
        """The hyperparameters for the final trials; None if no round finished."""

    def stop_below(self, study: Study, number: int, curves: Sequence[tuple[int, Sequence[CurvePoint]]]) -> dict[int, float]:
        """The validation accuracy by epoch below which a trial of a round stops, from numbered curves of earlier rounds."""

    def sampler(self, study: Study) -> str:
        """The sampler with version and settings, for the provenance of the study's tuning trials."""


class OptunaTuner:
    """The tuner of sweeps: `agd_bench.tuning` over the RANGES of the algorithms' plug-ins.

    Args:
        folders: folders of further plug-ins by kind.
    """

    def __init__(self, folders: Mapping[Kind, Sequence[Any]]) -> None:
        self._folders = folders

    def propose(self, study: Study, told: Sequence[tuning.Observation]) -> Scalars:
        """The hyperparameters of the next round."""
        ranges = ranges_of(load("algorithms", study.algorithm, self._folders.get("algorithms", ())))
        return tuning.propose(study, ranges, told)

    def choose(self, told: Sequence[tuning.Observation]) -> Scalars | None:
        """The hyperparameters for the final trials; None if no round finished."""
        return tuning.choose(told)

    def stop_below(self, study: Study, number: int, curves: Sequence[tuple[int, Sequence[CurvePoint]]]) -> dict[int, float]:
        """The validation accuracy by epoch below which a trial of a round stops, from numbered curves of earlier rounds."""
        return tuning.stop_below(study, number, curves)

    def sampler(self, study: Study) -> str:
        """The sampler with version and settings, for the provenance of the study's tuning trials."""
        return tuning.describe_sampler(study.sampler)


class _Walk:
    """Progress of one study through its rounds to its final trials."""

    def __init__(
        self,
        study: Study,
        tuner: Tuner,
        seeding: Seeding,
        standings: Mapping[str, Standing],
        curves: Mapping[str, Sequence[CurvePoint]],
    ) -> None:
        self.study, self._tuner, self._seeding, self._standings, self._curves = study, tuner, seeding, standings, curves
        numbers = range(len(study.rounds))
        # Rounds with proposals that do not depend on results are ready together; a pruner compares each with the earlier ones.
        together = study.sampler in tuning.INDEPENDENT and study.pruner == "none"
        self._stages = [numbers] if together else [range(number, number + 1) for number in numbers]
        self._stage = 0
        self._told: list[tuning.Observation] = []
        self._left = 0
        self.hopeless: tuple[Trial, ...] = ()

    def advance(self) -> list[Trial]:
        """The remaining trials of the next unfinished rounds with their proposals, or the final trials when the rounds are over."""
        while self._stage < len(self._stages):
            opened = [trial for number in self._stages[self._stage] for trial in self._round(number)]
            if opened:
                self._left = len(opened)
                return opened
            # The whole round ended in an earlier run; the sampler sees its outcome as it did then.
            self._tell()
        return self.release(self.study.final)

    def _round(self, number: int) -> list[Trial]:
        """The remaining trials of a round with its proposal."""
        trials = self.study.rounds[number]
        left = [trial for trial in trials if self._standings[trial.id].status not in TERMINAL]
        return self._with_proposal(trials, left, number) if left else []

    def release(self, trials: Sequence[Trial]) -> list[Trial]:
        """The remaining final trials that may be sent, with the chosen values; none before the rounds are over."""
        if self._stage < len(self._stages):
            return []
        left = [trial for trial in trials if _is_to_train(trial, self._standings) and self._seeding.allows(trial)]
        return self._with_proposal(self.study.final, left) if left else []

    def ended(self, trial: Trial) -> list[Trial]:
        """Record that a trial ended; return the next stage's trials if it was the last one of its stage."""
        if trial.purpose == "final":
            return []
        self._left -= 1
        if self._left:
            return []
        self._tell()
        return self.advance()

    def _tell(self) -> None:
        """Record that the rounds of this stage have ended."""
        self._told += [self._outcome(number) for number in self._stages[self._stage]]
        self._stage += 1

    def _outcome(self, number: int) -> tuning.Observation:
        trials = self.study.rounds[number]
        standings = [self._standings[trial.id] for trial in trials]
        found = [getattr(standing, self.study.metric) for standing in standings if standing.status == "done"]
        measured = [value for value in found if value is not None]
        # A mean over some of the networks or seeds would not be comparable with those of other rounds.
        value = statistics.fmean(measured) if len(measured) == len(trials) else None
        if value is not None and self.study.metric == "train_loss":
            # The tuner maximises.
            value = -value
        values = next((standing.proposal for standing in standings if standing.proposal is not None), {})
        return tuning.Observation(number, values, value)

    def _with_proposal(self, trials: Sequence[Trial], left: Sequence[Trial], number: int | None = None) -> list[Trial]:
        """Trials with the values of a round, or with those chosen for the final trials."""
        # Values sent before a crash stay valid even if another version of the tuner would now propose different ones.
        values = next((p for trial in trials if (p := self._standings[trial.id].proposal) is not None), None)
        if values is None:
            values = self._tuner.choose(self._told) if number is None else self._tuner.propose(self.study, self._told_before(number))
        if values is None:
            self.hopeless = tuple(left)
            return []
        thresholds = {} if number is None else self._thresholds(number)
        return [trial.model_copy(update={"proposal": values, "stop_below": thresholds}) for trial in left]

    def _told_before(self, number: int) -> list[tuning.Observation]:
        """The earlier rounds on which a proposal depends; for rounds that are ready together, only their number matters."""
        # Samplers that do not depend on results only count earlier rounds.
        return [*self._told, *(tuning.Observation(earlier, {}, None) for earlier in range(len(self._told), number))]

    def _thresholds(self, number: int) -> dict[int, float]:
        if self.study.pruner == "none":
            return {}
        rounds = self.study.rounds[:number]
        earlier = [(other, self._curves.get(trial.id, ())) for other, trials in enumerate(rounds) for trial in trials]
        return self._tuner.stop_below(self.study, number, [(other, curve) for other, curve in earlier if curve])


class Queue:
    """The remaining trials of a plan.

    Attributes:
        standings: state of every trial, kept up to date.
        hopeless: final trials of studies in which no proposal finished, to be settled by the driver.
        unneeded: trials that adaptive seeds do not need, also to be settled by the driver.
        represented: trials that reuse the results of an equal network, which has ended, to be settled by the driver.
    """

    def __init__(
        self, plan: Plan, tuner: Tuner, standings: Mapping[str, Standing], curves: Mapping[str, Sequence[CurvePoint]] | None = None
    ) -> None:
        """Initialise from the stored state.

        Args:
            plan: all trials.
            tuner: proposes and selects hyperparameters.
            standings: state of every trial, possibly of others too; none is running.
            curves: learning curves of ended tuning trials of studies with a pruner.
        """
        self.standings = dict(standings)
        self.hopeless: deque[Trial] = deque()
        self.unneeded: deque[Trial] = deque()
        self.represented: deque[Trial] = deque()
        # The same dict, not a copy, so it reflects every result recorded by `end`.
        self._seeding = Seeding(plan, self.standings)
        self._curves = dict(curves or {})
        # Distinct, so the heaps never compare the trials themselves.
        self._positions = {trial.id: position for position, trial in enumerate(plan.all_trials)}
        self._labels = list(dict.fromkeys(trial.algorithm_label for trial in plan.all_trials))
        self._totals = dict.fromkeys(self._labels, 0)
        self._begun = dict.fromkeys(self._labels, 0)
        self._ready: dict[str, list[tuple[int, Trial]]] = {label: [] for label in self._labels}
        self._walks: dict[str, _Walk] = {}
        for trial in plan.all_trials:
            ended = self.standings[trial.id].status in TERMINAL
            self._totals[trial.algorithm_label] += 1
            self._begun[trial.algorithm_label] += ended
        self.unfinished = sum(self.standings[trial.id].status not in TERMINAL for trial in plan.all_trials)
        # Before anything is released, because the seeds that may be sent follow from the rows.
        self._spare(self._seeding.begin())
        self._equals: dict[str, list[Trial]] = {}
        for trial in plan.all_trials:
            if trial.representative is not None and self.standings[trial.id].status not in TERMINAL:
                self._equals.setdefault(trial.representative, []).append(trial)
        for trained in [trained for trained in self._equals if self.standings[trained].status in TERMINAL]:
            self._pass_on(trained)
        self._release(plan.trials)
        for study in plan.studies:
            walk = _Walk(study, tuner, self._seeding, self.standings, self._curves)
            self._walks |= {trial.id: walk for part in (*study.rounds, study.final) for trial in part}
            self._open(walk, walk.advance())

    def _add(self, trials: Iterator[Trial] | Sequence[Trial]) -> None:
        for trial in trials:
            heapq.heappush(self._ready[trial.algorithm_label], (self._positions[trial.id], trial))

    def _release(self, trials: Sequence[Trial]) -> None:
        """Final trials that may be sent, or will be once their study has chosen values."""
        by_walk: dict[_Walk | None, list[Trial]] = {}
        for trial in trials:
            by_walk.setdefault(self._walks.get(trial.id), []).append(trial)
        for walk, own in by_walk.items():
            if walk is None:
                self._add(trial for trial in own if _is_to_train(trial, self.standings) and self._seeding.allows(trial))
            else:
                self._open(walk, walk.release(own))

    def _spare(self, trials: Sequence[Trial]) -> None:
        self.unneeded.extend(trials)
        for trial in trials:
            # Counts as started; otherwise its algorithm would seem behind and be preferred.
            self._begun[trial.algorithm_label] += 1

    def _pass_on(self, trained: str) -> None:
        equal = self._equals.pop(trained, [])
        self.represented.extend(equal)
        for trial in equal:
            self._begun[trial.algorithm_label] += 1

    def _open(self, walk: _Walk, trials: Sequence[Trial]) -> None:
        self._add(trials)
        self.hopeless.extend(walk.hopeless)
        for trial in walk.hopeless:
            self._begun[trial.algorithm_label] += 1
        walk.hopeless = ()

    def fate(self, trial: Trial) -> tuple[Status, str]:
        """Status and reason of one of the `hopeless` trials: refused if all trials of its study were refused."""
        standings = [self.standings[tried.id] for part in self._walks[trial.id].study.rounds for tried in part]
        if standings and all(standing.status == "refused" for standing in standings):
            return "refused", f"its study was refused: {standings[0].reason}"
        return "failed", HOPELESS

    def take(self) -> Trial | None:
        """Take the next trial out of the queue; None if nothing is ready."""
        waiting = [label for label in self._labels if self._ready[label]]
        if not waiting:
            return None
        # All algorithms advance evenly, and the long chains of studies start early.
        label = min(waiting, key=lambda label: self._begun[label] / self._totals[label])
        trial = heapq.heappop(self._ready[label])[1]
        self._begun[label] += 1
        return trial

    def put_back(self, trial: Trial) -> None:
        """Put back a trial whose attempt gave no result, ahead of others of its algorithm."""
        self._begun[trial.algorithm_label] -= 1
        self._add([trial])

    def end(self, trial: Trial, result: TrialResult) -> None:
        """Record the final result of a trial; trials that waited for it become ready.

        Args:
            trial: a trial returned by `take`, or one of `hopeless`, `unneeded` or `represented`.
            result: how it ended.
        """
        before = self.standings[trial.id]
        if before.status in TERMINAL:
            # `unfinished` would reach 0 too early, and the run would end with trials left.
            raise ValueError(f"trial {trial.id} ended twice, as {before.status} and as {result.status}")
        # First, because studies and adaptive seeds decide by the standings.
        self.standings[trial.id] = before._replace(
            status=result.status,
            proposal=trial.proposal,
            val_accuracy=result.val_accuracy,
            train_loss=result.train_loss,
            total_seconds=result.total_seconds,
            reason=result.reason,
        )
        self.unfinished -= 1
        walk = self._walks.get(trial.id)
        if walk is not None:
            # Other curves are never read and would fill the memory in a large run.
            if walk.study.pruner != "none" and trial.purpose == "tuning" and result.curve:
                self._curves[trial.id] = result.curve
            self._open(walk, walk.ended(trial))
        released, unneeded = self._seeding.ended(trial)
        self._release(released)
        self._spare(unneeded)
        self._pass_on(trial.id)


def _is_to_train(trial: Trial, standings: Mapping[str, Standing]) -> bool:
    return trial.representative is None and standings[trial.id].status not in TERMINAL
