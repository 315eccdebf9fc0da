"""Attribute faults: to a node, which is then no longer used, or to a trial, which makes it a result.

Outcomes on other nodes decide between the two.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import NamedTuple

from agd_bench.records import Trial
from agd_bench.scheduling.kinds import Comparison, comparison_of

# A bad node fails quickly and takes the next trial, so it would soon fail most of a sweep.
MOST_IN_A_ROW = 3
"""Number of consecutive failures on a node before it is no longer used."""
MOST_FAULTS = 5
"""Number of faults on any nodes after which a trial is given up."""


class _Kind(NamedTuple):
    comparison: Comparison
    algorithm: str


class Health:
    """Successes and faults by node.

    Args:
        trials: all trials of the run.
    """

    def __init__(self, trials: Iterable[Trial]) -> None:
        # A bad plug-in fails everywhere, so failures of a single kind are no evidence about a node.
        self._fewest_kinds = min(2, len({_kind_of(trial) for trial in trials}))
        self._in_a_row: dict[str, list[tuple[str, _Kind]]] = {}
        self._proven: set[str] = set()
        self._sound: set[_Kind] = set()
        self._nodes_of_kind: dict[_Kind, set[str]] = {}
        self._nodes_of_trial: dict[str, list[str]] = {}

    def note_result(self, trial: Trial, node: str) -> None:
        """An attempt ended with a result."""
        # A node with a success is not bad.
        self._in_a_row.pop(node, None)
        self._proven.add(node)
        self._sound.add(_kind_of(trial))

    def note_failure(self, trial: Trial, node: str) -> bool:
        """Record a fault; return whether its node should no longer be used."""
        kind = _kind_of(trial)
        self._nodes_of_trial.setdefault(trial.id, []).append(node)
        self._nodes_of_kind.setdefault(kind, set()).add(node)
        row = self._in_a_row.setdefault(node, [])
        row.append((trial.id, kind))
        # A fault counts against the node if trials of its kind worked somewhere, or failed nowhere else.
        against = [(trial_id, kind) for trial_id, kind in row if kind in self._sound or self._nodes_of_kind[kind] == {node}]
        if not self._proven:  # nothing has worked anywhere, so faults of trials or kinds cannot be distinguished from faults of nodes
            return len(row) >= MOST_IN_A_ROW and len({kind for _, kind in row}) >= self._fewest_kinds
        enough = any(kind in self._sound for _, kind in against) or len({kind for _, kind in against}) >= self._fewest_kinds
        return enough and len({trial_id for trial_id, _ in against}) >= MOST_IN_A_ROW

    def forget(self, node: str) -> None:
        """Forget a node that is gone or no longer used: its faults are no evidence about trials."""
        self._in_a_row.pop(node, None)
        for nodes in self._nodes_of_trial.values():
            nodes[:] = [one for one in nodes if one != node]

    def is_own(self, trial: Trial, nodes: Collection[str]) -> bool:
        """Whether the trial is at fault: it failed on two nodes (or twice on the only node), one of which has worked before.

        Args:
            trial: the trial.
            nodes: the nodes in use.
        """
        failed = self._nodes_of_trial.get(trial.id, [])
        enough = len(failed) >= 2 and len(set(failed)) >= min(2, len(nodes))
        # One of the nodes must have worked before: two untried ones may both be set up badly.
        own = len(failed) >= MOST_FAULTS or (enough and not self._proven.isdisjoint(failed))
        if own:
            for row in self._in_a_row.values():
                # The nodes were not at fault, so it no longer counts against them.
                row[:] = [(trial_id, kind) for trial_id, kind in row if trial_id != trial.id]
        return own

    def avoids(self, trial: Trial, node: str, nodes: Collection[str]) -> bool:
        """Whether the trial should go to another node: it failed on this one, but not on all others."""
        failed = self._nodes_of_trial.get(trial.id)
        # If it failed on every node, it may go anywhere, so it ends eventually.
        return failed is not None and node in failed and any(one not in failed for one in nodes)


def _kind_of(trial: Trial) -> _Kind:
    return _Kind(comparison_of(trial), trial.algorithm_label)
