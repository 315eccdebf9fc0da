"""Impossible values are refused on reading, by every command that reads results, and the error names them."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from time import monotonic

import pandas as pd
import pytest

from agd_bench import api
from agd_bench.errors import StoreDamagedError
from agd_bench.leaderboard import publish_results
from agd_bench.records import Plan
from agd_bench.scheduling.driver import Run
from agd_bench.store import Results, Store, export, load_results
from agd_bench.store.reader import faults_of
from tests.analysis.synthetic import simulate_results, simulate_trials
from tests.scheduling import plans
from tests.scheduling.scripted import Scripted, good


@pytest.fixture(scope="module")
def results() -> Results:
    """Return valid results."""
    return simulate_results(simulate_trials(4, 2, tuned=("sgd",)))


def test_sound_results_have_no_fault(results: Results) -> None:
    """Valid results have no faults."""
    assert faults_of(results) == []


@pytest.mark.parametrize(
    ("table", "column", "value"),
    [
        ("trials", "test_accuracy", 1.7),
        ("trials", "val_accuracy", -0.1),
        ("trials", "train_loss", float("inf")),
        ("trials", "flops", -5),
        ("trials", "charged_seconds", 0.0),
        ("trials", "charged_seconds", float("nan")),
        ("trials", "status", "won"),
        ("trials", "purpose", "fun"),
        ("trials", "profile", "as-published"),
        ("trials", "algorithm", "intruder"),
        ("trials", "dataset", "../x"),
        ("trials", "search_space", "elsewhere"),
        ("trials", "epochs", 0),
        ("trials", "seed", -1),
        ("trials", "dataset_share", 0.0),
        ("trials", "attempts", 3),
        ("trials", "position", 1),
        ("trials", "trial_id", "../../etc/passwd"),
        ("trials", "hyperparameters", "[1]"),
        ("trials", "hyperparameters", "{not json"),
        ("trials", "representative", "f" * 16),
        ("curves", "trial_id", "f" * 16),
        ("curves", "epoch", 4),
        ("curves", "val_accuracy", 2.0),
        ("attempts", "seconds", -1.0),
        ("attempts", "seconds", float("nan")),
        ("attempts", "outcome", "<script>"),
        ("attempts", "provenance", "[1, 2]"),
        ("attempts", "trial_id", "f" * 16),
    ],
)
def test_a_value_that_cannot_be_is_named(results: Results, table: str, column: str, value: object) -> None:
    """An impossible value in a single cell is reported with the name of its table."""
    frame = getattr(results, table).copy()
    frame[column] = [value, *frame[column].iloc[1:]]
    faults = faults_of(replace(results, **{table: frame}))
    assert faults
    assert all(fault.partition(": ")[0] in ("trials", "curves", "attempts") for fault in faults)


@pytest.mark.parametrize("table", ["trials", "curves", "attempts"])
def test_rows_that_stand_there_twice_are_found(results: Results, table: str) -> None:
    """Two rows with the same key are reported."""
    frame = getattr(results, table)
    twice = pd.concat([frame, frame.iloc[[0]]], ignore_index=True)
    assert any(fault.startswith(f"{table}: ") and "twice" in fault for fault in faults_of(replace(results, **{table: twice})))


@pytest.mark.parametrize(
    ("key", "text"), [("plugin_digests", "[1]"), ("versions", "7"), ("devices", "nonsense"), ("planned_trials", "[[1]]")]
)
def test_meta_data_of_another_shape_are_found(results: Results, key: str, text: str) -> None:
    """Metadata that readers parse must have the expected structure."""
    assert any(fault.startswith(f"meta: {key}") for fault in faults_of(replace(results, meta={**results.meta, key: text})))


def test_every_cut_of_an_export_is_found(results: Results, tmp_path: Path) -> None:
    """A truncated file is never accepted as complete, whether it ends between two rows or within one."""
    export(results, tmp_path)
    for name in ("trials.csv", "curves.csv", "attempts.csv", "meta.json", "sweep.json"):
        whole = (tmp_path / name).read_bytes()
        for end in range(0, len(whole) - 1, 97 if len(whole) > 3000 else 17):
            (tmp_path / name).write_bytes(whole[:end])
            with pytest.raises(StoreDamagedError):
                load_results(tmp_path)
        for line in (i + 1 for i, letter in enumerate(whole[:-1]) if letter == ord("\n") and name.endswith(".csv")):
            (tmp_path / name).write_bytes(whole[:line])
            with pytest.raises(StoreDamagedError):
                load_results(tmp_path)
        (tmp_path / name).write_bytes(whole)
    assert len(load_results(tmp_path).trials) == len(results.trials)


def _published(tmp_path: Path) -> tuple[Plan, Path]:
    """Run a plan to its end and publish the results."""
    planned = plans.plan(architectures=2)
    with Store.open(tmp_path / "run", planned) as store:
        Run(planned, store, Scripted(good), plans.HashTuner()).drive()
    return planned, publish_results(load_results(tmp_path / "run"), tmp_path / "board")


def _set_cell(name: str, column: str, value: str) -> Callable[[Path], None]:
    def edit(folder: Path) -> None:
        table = pd.read_csv(folder / name, dtype=str, keep_default_na=False)
        table.loc[0, column] = value
        table.to_csv(folder / name, index=False, lineterminator="\n")

    return edit


@pytest.mark.parametrize(
    "damage",
    [
        pytest.param(lambda folder: (folder / "manifest.json").unlink(), id="no manifest"),
        pytest.param(_set_cell("trials.csv", "test_accuracy", "0.123"), id="another digest"),
        pytest.param(_set_cell("trials.csv", "test_accuracy", "1.7"), id="impossible accuracy"),
    ],
)
def test_a_damaged_folder_is_not_merged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, damage: Callable[[Path], None]) -> None:
    """A folder without a manifest, or with files that differ from it, is refused, and no target is created."""
    planned, board = _published(tmp_path)
    monkeypatch.setattr(api, "plan", lambda *_: planned)
    assert api.merge([board], tmp_path / "sound").taken == len(planned.all_trials)
    damage(board)
    with pytest.raises(StoreDamagedError, match="board"):
        api.merge([board], tmp_path / "target")
    assert not (tmp_path / "target").exists()


@pytest.mark.parametrize(
    "damage",
    [
        pytest.param(lambda folder: (folder / "manifest.json").unlink(), id="no manifest"),
        pytest.param(_set_cell("trials.csv", "test_accuracy", "0.123"), id="another digest"),
        pytest.param(_set_cell("trials.csv", "test_accuracy", "1.7"), id="impossible accuracy"),
        pytest.param(lambda folder: (folder / "curves.csv").write_bytes((folder / "curves.csv").read_bytes()[:-9]), id="cut off"),
    ],
)
def test_a_run_does_not_start_from_a_damaged_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, damage: Callable[[Path], None]
) -> None:
    """`run --from` refuses the folder before it trains anything, and creates no run."""
    planned, board = _published(tmp_path)
    monkeypatch.setattr(api, "plan", lambda *_: planned)
    damage(board)
    with pytest.raises(StoreDamagedError, match="board"):
        api.run(planned.sweep, tmp_path / "target", start_from=[board], executor="in-process", device="cpu")
    assert not (tmp_path / "target").exists()


def test_a_million_rows_are_checked_in_seconds() -> None:
    """Checking 400,000 rows takes less than a minute."""
    results = simulate_results(simulate_trials(8_000, 5))
    rows = len(results.trials) + len(results.curves) + len(results.attempts)
    before = monotonic()
    assert faults_of(results) == []
    assert rows == 400_000
    assert monotonic() - before < 60, json.dumps(rows)
