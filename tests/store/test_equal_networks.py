"""Published folders list the trials that took an equal network's results, and are read back with all rows."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from agd_bench.errors import StoreDamagedError
from agd_bench.leaderboard import publish_results
from agd_bench.records import CurvePoint
from agd_bench.scheduling.executors.protocol import Outcome, Task
from agd_bench.store import EVIDENCE, TABLES, Results, condense, load_results
from agd_bench.store.equal_networks import expand
from agd_bench.store.reader import read_results
from agd_bench.store.schema import Table
from tests.scheduling.plans import result_of
from tests.scheduling.scripted import Scripted, drive
from tests.scheduling.test_driver_representatives import shared_plan


def measured(task: Task) -> Outcome:
    """Return a result with every measurement, different for each trial; about every fifth trial diverges."""
    number = int(task.trial.id[:6], 16)
    point = CurvePoint(
        epoch=1, train_loss=number / 7, train_accuracy=0.3, val_loss=None, val_accuracy=0.1, train_seconds=2.0, diagnostics={"eta": 1 / 3}
    )
    more = {"curve": (point,), "flops": number, "parameters": 5, "peak_memory_bytes": number, "energy_joules": number / 3}
    result = result_of(task.trial, status="diverged") if number % 5 == 0 else result_of(task.trial).model_copy(update=more)
    return Outcome(task.trial.id, task.attempt, "result", result)


@pytest.fixture
def results(tmp_path: Path) -> Results:
    """Return a run in which a third of the final trials took another trial's results."""
    drive(tmp_path / "run", shared_plan(seeds=6), Scripted(measured))
    return load_results(tmp_path / "run")


def tables_of(results: Results) -> dict[Table, pd.DataFrame]:
    """Return all tables by name."""
    return {table: getattr(results, table) for table in (*TABLES, *EVIDENCE)}


def test_what_follows_from_other_rows_is_left_out_and_made_again(results: Results) -> None:
    """Rows of trials that were not trained are omitted, and restored exactly, including their types."""
    tables = tables_of(results)
    small = condense(tables)
    equals = small.pop("equals")
    assert len(equals) == results.trials["representative"].notna().sum() == 12
    assert len(small["trials"]) == len(tables["trials"]) - 12
    for name in ("trials", "curves", "diagnostics"):
        assert not small[name]["trial_id"].isin(equals["trial_id"]).any()
        assert len(small[name])
    assert {"done", "diverged"} <= set(results.trials.loc[results.trials["representative"].notna(), "status"])
    for name, table in expand(small, equals).items():
        pd.testing.assert_frame_equal(table, tables[name], check_exact=True)


@pytest.mark.parametrize("column", ["val_accuracy", "flops", "attempts"])
def test_rows_that_do_not_follow_are_kept(results: Results, column: str) -> None:
    """If a copied row was edited, all rows are kept, so that the edit is not lost."""
    tables = tables_of(results)
    copied = tables["trials"].index[tables["trials"]["representative"].notna()][0]
    edited = tables["trials"].copy()
    edited.loc[copied, column] = 1
    small = condense({**tables, "trials": edited})
    assert small.pop("equals").empty
    for name, table in small.items():
        pd.testing.assert_frame_equal(table, edited if name == "trials" else tables[name], check_exact=True)


def test_a_published_folder_is_read_whole(results: Results, tmp_path: Path, few_resamples: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """A published folder is read back with all rows; if a row that others refer to is missing, an error says so."""
    monkeypatch.setattr("agd_bench.report.sections.PARTS", ())
    folder = publish_results(results, tmp_path / "board")
    again = load_results(folder)
    for name in ("trials", "curves", "diagnostics"):
        pd.testing.assert_frame_equal(getattr(again, name), getattr(results, name), check_exact=True)
    assert "equals.csv" in (folder / "README.md").read_text()
    lines = (folder / "trials.csv").read_text().splitlines(keepends=True)
    assert len(lines) - 1 == len(results.trials) - 12
    needed = pd.read_csv(folder / "equals.csv")["representative"][0]
    (folder / "trials.csv").write_text("".join(line for line in lines if not line.startswith(needed)))
    with pytest.raises(StoreDamagedError, match=f"equals: trial .* has the results of {needed}"):
        read_results(folder, unchanged=False)
