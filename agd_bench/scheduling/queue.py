"""Which trial is next: a pure policy, without a clock, a disk or Ray.

Finals of self-tuning algorithms are ready from the start; a study's rounds follow one after the other, or are ready together where
its sampler's proposals do not depend on results; its finals when all rounds ended. With adaptive seeds, finals wait for their release
as well.
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
    """What the queue asks about a study; every answer is a function of the arguments alone."""

    def propose(self, study: Study, told: Sequence[tuning.Observation]) -> Scalars:
        """The values of the next round."""

    def choose(self, told: Sequence[tuning.Observation]) -> Scalars | None:
        """The values for the finals; None: no round finished."""

    def stop_below(self, study: Study, curves: Sequence[Sequence[CurvePoint]]) -> dict[int, float]:
        """The validation accuracy under which a trial of the next round stops, by epoch."""

    def sampler(self, study: Study) -> str:
        """Who proposes, with version and settings, for the provenance of the study's tuning trials."""


class OptunaTuner:
    """The tuner of sweeps: `agd_bench.tuning` over the RANGES of the algorithms' plug-ins.

    Args:
        folders: further plug-ins' folders by kind.
    """

    def __init__(self, folders: Mapping[Kind, Sequence[Any]]) -> None:
        self._folders = folders

    def propose(self, study: Study, told: Sequence[tuning.Observation]) -> Scalars:
        """The values of the next round."""
        ranges = ranges_of(load("algorithms", study.algorithm, self._folders.get("algorithms", ())))
        return tuning.propose(study, ranges, told)

    def choose(self, told: Sequence[tuning.Observation]) -> Scalars | None:
        """The values for the finals; None: no round finished."""
        return tuning.choose(told)

    def stop_below(self, study: Study, curves: Sequence[Sequence[CurvePoint]]) -> dict[int, float]:
        """The validation accuracy under which a trial of the next round stops, by epoch."""
        return tuning.stop_below(study, curves)

    def sampler(self, study: Study) -> str:
        """Who proposes, with version and settings, for the provenance of the study's tuning trials."""
        return tuning.SAMPLERS[study.sampler]


class _Walk:
    """One study on its way through its rounds to its finals."""

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
        # Rounds whose proposals do not depend on results are ready together.
        self._stages = [numbers] if study.sampler in tuning.INDEPENDENT else [range(number, number + 1) for number in numbers]
        self._stage = 0
        self._told: list[tuning.Observation] = []
        self._left = 0
        self.hopeless: tuple[Trial, ...] = ()

    def advance(self) -> list[Trial]:
        """The trials of the next rounds that have any left to do, with their proposals, or the finals when the rounds are over."""
        while self._stage < len(self._stages):
            opened = [trial for number in self._stages[self._stage] for trial in self._round(number)]
            if opened:
                self._left = len(opened)
                return opened
            # All of it ended in an earlier run: the sampler learns its outcome, as it did then.
            self._tell()
        return self.release(self.study.final)

    def _round(self, number: int) -> list[Trial]:
        """What is left to do of a round, with its proposal."""
        trials = self.study.rounds[number]
        left = [trial for trial in trials if self._standings[trial.id].status not in TERMINAL]
        return self._with_proposal(trials, left, number) if left else []

    def release(self, trials: Sequence[Trial]) -> list[Trial]:
        """Those of its finals that are left to do and may be sent, with the chosen values; none before the rounds are over."""
        if self._stage < len(self._stages):
            return []
        left = [trial for trial in trials if _is_to_train(trial, self._standings) and self._seeding.allows(trial)]
        return self._with_proposal(self.study.final, left) if left else []

    def ended(self, trial: Trial) -> list[Trial]:
        """One trial of the study ended; the next stage's trials if it was its stage's last one."""
        if trial.purpose == "final":
            return []
        self._left -= 1
        if self._left:
            return []
        self._tell()
        return self.advance()

    def _tell(self) -> None:
        """The rounds of this stage have ended."""
        self._told += [self._outcome(number) for number in self._stages[self._stage]]
        self._stage += 1

    def _outcome(self, number: int) -> tuning.Observation:
        trials = self.study.rounds[number]
        standings = [self._standings[trial.id] for trial in trials]
        found = [getattr(standing, self.study.metric) for standing in standings if standing.status == "done"]
        measured = [value for value in found if value is not None]
        # A mean over some of the networks or seeds would not compare with those of other rounds.
        value = statistics.fmean(measured) if len(measured) == len(trials) else None
        if value is not None and self.study.metric == "train_loss":
            # The tuner maximises.
            value = -value
        values = next((standing.proposal for standing in standings if standing.proposal is not None), {})
        return tuning.Observation(number, values, value)

    def _with_proposal(self, trials: Sequence[Trial], left: Sequence[Trial], number: int | None = None) -> list[Trial]:
        """Trials with the values of a round, or those chosen for the finals."""
        # What was sent before a crash stays valid, should another version of the tuner propose differently by now.
        values = next((p for trial in trials if (p := self._standings[trial.id].proposal) is not None), None)
        if values is None:
            values = self._tuner.choose(self._told) if number is None else self._tuner.propose(self.study, self._told_before(number))
        if values is None:
            self.hopeless = tuple(left)
            return []
        thresholds = {} if number is None else self._thresholds(number)
        return [trial.model_copy(update={"proposal": values, "stop_below": thresholds}) for trial in left]

    def _told_before(self, number: int) -> list[tuning.Observation]:
        """What a round's proposal follows from; of rounds that are ready together, that they come before it."""
        # Samplers that do not depend on results only count them.
        return [*self._told, *(tuning.Observation(earlier, {}, None) for earlier in range(len(self._told), number))]

    def _thresholds(self, number: int) -> dict[int, float]:
        if self.study.pruner == "none":
            return {}
        earlier = [self._curves.get(trial.id, ()) for trials in self.study.rounds[:number] for trial in trials]
        return self._tuner.stop_below(self.study, [curve for curve in earlier if curve])


class Queue:
    """The trials of a plan that are still to be done.

    Attributes:
        standings: where every trial stands, kept up to date.
        hopeless: trials that can only be settled: finals of studies of which nothing finished. The driver empties it.
        unneeded: trials that adaptive seeds can do without. The driver settles them too.
        represented: trials that take the results of an equal network's, which has ended. The driver passes them on.
    """

    def __init__(
        self, plan: Plan, tuner: Tuner, standings: Mapping[str, Standing], curves: Mapping[str, Sequence[CurvePoint]] | None = None
    ) -> None:
        """Set up from what the store knows.

        Args:
            plan: all trials.
            tuner: proposes and chooses.
            standings: of every trial, and perhaps of others; none of them running.
            curves: of ended tuning trials of studies that prune.
        """
        self.standings = dict(standings)
        self.hopeless: deque[Trial] = deque()
        self.unneeded: deque[Trial] = deque()
        self.represented: deque[Trial] = deque()
        # The same dict, not a copy: it sees every result that `end` notes.
        self._seeding = Seeding(plan, self.standings)
        self._curves = dict(curves or {})
        # Distinct, so that the heaps never compare the trials themselves.
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
        # Before anything is released: which seeds may be sent follows from the rows.
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
        """Finals that may be sent, or will be once their study chose for them."""
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
            # Counts as begun, or its algorithm would seem behind and be preferred.
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
        """How one of the `hopeless` ends, and why: refused, if all that its study tried was."""
        standings = [self.standings[tried.id] for part in self._walks[trial.id].study.rounds for tried in part]
        if standings and all(standing.status == "refused" for standing in standings):
            return "refused", f"its study was refused: {standings[0].reason}"
        return "failed", HOPELESS

    def take(self) -> Trial | None:
        """The next trial to be sent, no longer in the queue; None: nothing is ready now."""
        waiting = [label for label in self._labels if self._ready[label]]
        if not waiting:
            return None
        # All algorithms get on evenly, and the long chains of the studies start early.
        label = min(waiting, key=lambda label: self._begun[label] / self._totals[label])
        trial = heapq.heappop(self._ready[label])[1]
        self._begun[label] += 1
        return trial

    def put_back(self, trial: Trial) -> None:
        """A trial that was taken and came to nothing: it is ready again, before others of its algorithm."""
        self._begun[trial.algorithm_label] -= 1
        self._add([trial])

    def end(self, trial: Trial, result: TrialResult) -> None:
        """A trial ended, for good; what waited for it becomes ready.

        Args:
            trial: as it was taken, or one of `hopeless`, `unneeded` or `represented`.
            result: how it ended.
        """
        before = self.standings[trial.id]
        if before.status in TERMINAL:
            # `unfinished` would reach 0 too early, and the run end with trials left.
            raise ValueError(f"trial {trial.id} ended twice, as {before.status} and as {result.status}")
        # Before what follows: studies and adaptive seeds decide by the standings.
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
            # Other curves are never read, and would fill the memory in a large run.
            if walk.study.pruner != "none" and trial.purpose == "tuning" and result.curve:
                self._curves[trial.id] = result.curve
            self._open(walk, walk.ended(trial))
        released, unneeded = self._seeding.ended(trial)
        self._release(released)
        self._spare(unneeded)
        self._pass_on(trial.id)


def _is_to_train(trial: Trial, standings: Mapping[str, Standing]) -> bool:
    return trial.representative is None and standings[trial.id].status not in TERMINAL
