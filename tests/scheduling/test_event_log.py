"""Logging events as JSON lines, and counting them by node."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from agd_bench.errors import InputError
from agd_bench.scheduling.event_log import FILE, EventLog, count_by_node
from agd_bench.scheduling.executors.protocol import Outcome, Task
from tests.scheduling import plans
from tests.scheduling.scripted import Scripted, drive, good


def lose_on_the_second_node(task: Task) -> Outcome:
    """Lose the first attempt at seed 1."""
    if task.trial.seed == 1 and task.attempt == 1:
        return Outcome(task.trial.id, task.attempt, "lost", message="the cable")
    return good(task)


def test_each_event_is_a_line_and_nodes_are_counted(tmp_path: Path) -> None:
    """Every event is logged, and attempts are counted on the node where they ran, with the last reason for a loss."""
    planned = plans.plan(rounds=0)
    events = drive(tmp_path / "run", planned, Scripted(lose_on_the_second_node, nodes=2))
    with EventLog(tmp_path / FILE) as log:
        for event in events:
            log(event, None)  # type: ignore[arg-type]
            log(None, None)  # type: ignore[arg-type]
    lines = [json.loads(line) for line in (tmp_path / FILE).read_text().splitlines()]
    assert [(line["event"], line["trial_id"], line["attempt"]) for line in lines] == [
        (event.kind, event.trial.id, event.attempt) for event in events
    ]
    counted = count_by_node(tmp_path / FILE)
    assert set(counted["node"]) == {"node-0", "node-1"}
    losses = sum(event.kind == "lost" for event in events)
    assert losses == sum(trial.seed == 1 for trial in planned.all_trials)
    assert counted[["started", "done", "lost"]].sum().tolist() == [4 + losses, 4, losses]
    assert set(counted.loc[counted["lost"] > 0, "last_problem"]) == {"the cable"}


def test_half_a_line_of_a_killed_driver_is_passed_over(tmp_path: Path) -> None:
    """An incomplete line is skipped, and the next driver starts a new line."""
    events = drive(tmp_path / "run", plans.plan(architectures=1, seeds=1, rounds=0), Scripted(good))
    (tmp_path / FILE).write_text('{"event": "sta')
    with EventLog(tmp_path / FILE) as log:
        for event in events:
            log(event, None)  # type: ignore[arg-type]
    assert count_by_node(tmp_path / FILE)[["started", "done"]].to_numpy().tolist() == [[1, 1]]


def test_a_run_without_events_is_said(tmp_path: Path) -> None:
    """Without an event log, as in published folders and databases, counting by node is an error."""
    with pytest.raises(InputError, match="nodes"):
        count_by_node(tmp_path / FILE)
