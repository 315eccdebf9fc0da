"""Which final trials may be sent: all, or round by round with adaptive seeds.

A round of a comparison group consists of the seeds that its architectures should have so far, for all algorithms. When all trials of a
round have ended, a function of their rows decides which architectures get more seeds (`analysis.adaptive_seeds`); the seeds of the others
are no longer needed.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import pandas as pd

from agd_bench.analysis.adaptive_seeds import METRIC, next_seeds
from agd_bench.records import TERMINAL, AdaptiveSeeds, Plan, Trial
from agd_bench.scheduling.kinds import Comparison, comparison_of
from agd_bench.store import Standing


class _Group:
    """The final trials of one comparison group: one search space, data set and profile.

    Attributes:
        waiting: ids of released trials that have not ended.
    """

    def __init__(self, trials: Sequence[Trial]) -> None:
        self.waiting: set[str] = set()
        self._trials = trials
        self._counts = dict.fromkeys((trial.architecture for trial in trials), 0)
        seeds = sorted({trial.seed for trial in trials})
        # The rank of a seed among the sorted ones, as rules give numbers of seeds.
        self._place = {trial.id: (trial.architecture, seeds.index(trial.seed)) for trial in trials}
        self._rows = pd.DataFrame(
            {
                "search_space": trial.search_space_label,
                "dataset": trial.dataset_label,
                "profile": trial.profile,
                "algorithm": trial.algorithm_label,
                "architecture": trial.architecture,
                "seed": trial.seed,
                "purpose": "final",
            }
            for trial in trials
        )

    def allows(self, trial_id: str) -> bool:
        """Whether one of the group's trials is released."""
        architecture, number = self._place[trial_id]
        return number < self._counts[architecture]

    def look(self, rule: AdaptiveSeeds, standings: Mapping[str, Standing]) -> tuple[list[Trial], list[Trial]]:
        """Start the next round determined by the rows.

        Returns:
            The trials that it releases, and those that are no longer needed; ended trials are left out.
        """
        told = [standings[trial.id] for trial in self._trials]
        accuracies = [math.nan if row.val_accuracy is None else row.val_accuracy for row in told]
        rows = self._rows.assign(status=[row.status for row in told])
        rows[METRIC] = accuracies
        left = [trial for trial, row in zip(self._trials, told, strict=True) if row.status not in TERMINAL]
        before = {trial.id for trial in left if self.allows(trial.id)}
        # From the rows alone, so a killed run releases the same trials as an uninterrupted one.
        self._counts = next_seeds(rows, rule)
        self.waiting = {trial.id for trial in left if self.allows(trial.id)}
        most = max(self._counts.values())
        # Fewer seeds than the largest number: no more needed. If nothing waits, the group is done and the rest is not needed.
        passed = [trial for trial in left if trial.id not in self.waiting and (not self.waiting or self._counts[trial.architecture] < most)]
        return [trial for trial in left if trial.id in self.waiting - before], passed


class Seeding:
    """The gate for final trials.

    Args:
        plan: all trials.
        standings: state of every trial, kept up to date by the caller.
    """

    def __init__(self, plan: Plan, standings: Mapping[str, Standing]) -> None:
        self._rule, self._standings = plan.sweep.adaptive_seeds, standings
        self._groups: dict[str, _Group] = {}
        if self._rule is None:
            return
        finals: dict[Comparison, list[Trial]] = {}
        for trial in plan.all_trials:
            if trial.purpose == "final":
                finals.setdefault(comparison_of(trial), []).append(trial)
        for trials in finals.values():
            self._groups |= dict.fromkeys((trial.id for trial in trials), _Group(trials))

    def begin(self) -> list[Trial]:
        """Start the rounds determined by the rows; return the trials that are no longer needed."""
        if self._rule is None:
            return []
        # Each group once, because it is listed under every trial.
        groups = dict.fromkeys(self._groups.values())
        return [trial for group in groups for trial in group.look(self._rule, self._standings)[1]]

    def allows(self, trial: Trial) -> bool:
        """Whether the trial may be sent now."""
        group = self._groups.get(trial.id)
        return group is None or group.allows(trial.id)

    def ended(self, trial: Trial) -> tuple[list[Trial], list[Trial]]:
        """Record that a trial ended; return the trials this releases, and those that are no longer needed."""
        group = self._groups.get(trial.id)
        # An unneeded trial ends too, but must not start a round.
        if self._rule is None or group is None or trial.id not in group.waiting:
            return [], []
        group.waiting.remove(trial.id)
        return ([], []) if group.waiting else group.look(self._rule, self._standings)
