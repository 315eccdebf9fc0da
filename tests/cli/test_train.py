"""Tests for watching the status of a run."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from agd_bench.cli import app, train
from agd_bench.errors import InputError
from agd_bench.scheduling.progress import Event, Snapshot
from agd_bench.scheduling.resources import Resources
from agd_bench.scheduling.runs import run_plan
from agd_bench.store import Store
from tests.scheduling import plans


def run_in(folder: Path) -> None:
    """Finish the run in a folder, with a stand-in for training."""
    here, tuner = Resources("in-process"), plans.HashTuner()
    run_plan(plans.plan(rounds=0), folder, plans.workplace(folder.parent), here, run_trial=plans.succeed, tuner=tuner)


def test_watching_ends_with_the_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With --watch the status is printed until no trial is left; without it, an unfinished run exits with 1."""
    run = tmp_path / "run"
    Store.open(run, plans.plan(rounds=0)).close()
    assert CliRunner().invoke(app, ["status", str(run)]).exit_code == 1
    waits: list[float] = []

    def wait(seconds: float) -> None:
        monkeypatch.undo()
        waits.append(seconds)
        run_in(run)

    monkeypatch.setattr("time.sleep", wait)
    watched = CliRunner().invoke(app, ["status", str(run), "--watch"])
    assert (watched.exit_code, waits) == (0, [train.WATCH_SECONDS])
    assert watched.output.count("missing") == 2


def test_nodes_are_counted_from_the_events_of_the_run(tmp_path: Path) -> None:
    """Every run logs its events, so per-node counts are available."""
    run_in(tmp_path / "run")
    shown = CliRunner().invoke(app, ["status", str(tmp_path / "run"), "--nodes", "--json"])
    (row,) = json.loads(shown.output)
    assert (row["started"], row["done"], row["lost"], row["last_problem"]) == (4, 4, 0, "")


def test_logs_are_opened_by_kind(tmp_path: Path) -> None:
    """Several at once; what is unknown or incomplete is refused."""
    said = []

    def display(event: Event | None, snapshot: Snapshot) -> None:
        said.append(event)

    with train._logging([f"json:{tmp_path / 'a.jsonl'}", f"json:{tmp_path / 'b.jsonl'}"], tmp_path / "run", display) as observer:
        observer(None, Snapshot(0, {}, (), 0.0, None, {}))
    assert said == [None]
    assert {path.name for path in tmp_path.iterdir()} == {"a.jsonl", "b.jsonl"}
    for wrong in ("mine.jsonl", "xml:mine", "json:", "tensorboard:"):
        with pytest.raises(InputError, match="json:FILE"), train._logging([wrong], tmp_path, display):
            pytest.fail(f"{wrong} was accepted")
