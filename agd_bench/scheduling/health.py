"""Whose fault it was: a node's, which is set aside, or a trial's own, which is a result.

What happened elsewhere tells one from the other.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import NamedTuple

from agd_bench.records import Trial
from agd_bench.scheduling.kinds import Comparison, comparison_of

# A bad node fails fastest of all and asks for more: it would soon take most of a sweep with it.
MOST_IN_A_ROW = 3
"""Trials that come to nothing on a node one after the other before it is set aside."""
MOST_FAULTS = 5
"""Faults of a trial after which it is given up, wherever they were."""


class _Kind(NamedTuple):
    comparison: Comparison
    algorithm: str


class Health:
    """What worked and what came to nothing, by node.

    Args:
        trials: all trials of the run.
    """

    def __init__(self, trials: Iterable[Trial]) -> None:
        # A bad plug-in fails wherever it runs, so failures of one kind alone say nothing about a node.
        self._fewest_kinds = min(2, len({_kind_of(trial) for trial in trials}))
        self._in_a_row: dict[str, list[tuple[str, _Kind]]] = {}
        self._proven: set[str] = set()
        self._sound: set[_Kind] = set()
        self._nodes_of_kind: dict[_Kind, set[str]] = {}
        self._nodes_of_trial: dict[str, list[str]] = {}

    def note_result(self, trial: Trial, node: str) -> None:
        """An attempt ended with a result."""
        # A node on which something works is not a bad one.
        self._in_a_row.pop(node, None)
        self._proven.add(node)
        self._sound.add(_kind_of(trial))

    def note_failure(self, trial: Trial, node: str) -> bool:
        """An attempt came to nothing; whether its node is to be set aside."""
        kind = _kind_of(trial)
        self._nodes_of_trial.setdefault(trial.id, []).append(node)
        self._nodes_of_kind.setdefault(kind, set()).add(node)
        row = self._in_a_row.setdefault(node, [])
        row.append((trial.id, kind))
        # A fault counts against the node where trials of its kind worked somewhere, or failed nowhere else.
        against = [(trial_id, kind) for trial_id, kind in row if kind in self._sound or self._nodes_of_kind[kind] == {node}]
        if not self._proven:  # nothing has worked anywhere: neither trials nor kinds can be told from nodes
            return len(row) >= MOST_IN_A_ROW and len({kind for _, kind in row}) >= self._fewest_kinds
        enough = any(kind in self._sound for _, kind in against) or len({kind for _, kind in against}) >= self._fewest_kinds
        return enough and len({trial_id for trial_id, _ in against}) >= MOST_IN_A_ROW

    def forget(self, node: str) -> None:
        """The node is gone or set aside: what came to nothing there says nothing about trials."""
        self._in_a_row.pop(node, None)
        for nodes in self._nodes_of_trial.values():
            nodes[:] = [one for one in nodes if one != node]

    def is_own(self, trial: Trial, nodes: Collection[str]) -> bool:
        """Whether the fault is the trial's own: on two nodes (twice, if there is one alone) of which one has worked before.

        Args:
            trial: which.
            nodes: those in use.
        """
        failed = self._nodes_of_trial.get(trial.id, [])
        enough = len(failed) >= 2 and len(set(failed)) >= min(2, len(nodes))
        # One of the nodes must have worked before: two untried ones may both be set up badly.
        own = len(failed) >= MOST_FAULTS or (enough and not self._proven.isdisjoint(failed))
        if own:
            for row in self._in_a_row.values():
                # The fault was not the nodes', so it no longer counts towards setting them aside.
                row[:] = [(trial_id, kind) for trial_id, kind in row if trial_id != trial.id]
        return own

    def avoids(self, trial: Trial, node: str, nodes: Collection[str]) -> bool:
        """Whether the trial should rather go to another node: it came to nothing there, and on some other it did not."""
        failed = self._nodes_of_trial.get(trial.id)
        # If it failed on every node it goes anywhere, so that it comes to an end.
        return failed is not None and node in failed and any(one not in failed for one in nodes)


def _kind_of(trial: Trial) -> _Kind:
    return _Kind(comparison_of(trial), trial.algorithm_label)
