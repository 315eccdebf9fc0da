"""Reading runs and published folders, and the errors for anything else."""

from __future__ import annotations

import json
import os
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agd_bench.errors import InputError, StoreDamagedError
from agd_bench.records import CurvePoint, Plan, TrialResult
from agd_bench.store import (
    COLUMNS,
    Results,
    Store,
    columns_of,
    dictionary,
    dictionary_markdown,
    ended_trials,
    export,
    load_results,
    status,
    stored_sweep,
)
from agd_bench.store.reader import read_csv
from agd_bench.store.schema import OPTIONAL, TABLES
from tests.analysis.synthetic import simulate_trials
from tests.scheduling.plans import plan, result_of, sweep, trial


def fill(folder: Path) -> Plan:
    """Write a run with trials of several statuses and return its plan."""
    planned = plan(architectures=2, seeds=3)
    ends = ("done", "diverged", "failed", "refused")
    with Store.open(folder, planned) as store:
        for one, end in zip(planned.trials, ends, strict=False):
            store.start(one, 1, "worker-0", 600.0)
            store.finish(result_of(one, status=end), 1)
        store.settle(planned.trials[5].id, "unneeded", "did without it")
    return planned


def assert_same(first: Results, second: Results) -> None:
    """Assert that two results are exactly equal, including their types."""
    for table in TABLES:
        pd.testing.assert_frame_equal(getattr(first, table), getattr(second, table), check_exact=True)
    assert first.sweep == second.sweep
    assert first.meta == second.meta


def test_an_export_is_read_as_the_run_was(tmp_path: Path) -> None:
    """The CSV and Parquet files of an export contain the same tables as the database."""
    fill(tmp_path / "run")
    results = load_results(tmp_path / "run")
    written = export(results, tmp_path / "export")
    assert all(path.is_file() for path in written)
    assert_same(results, load_results(tmp_path / "export"))
    for table in TABLES:
        if not (tmp_path / "export" / f"{table}.parquet").exists():
            assert table in OPTIONAL
            assert getattr(results, table).empty
            continue
        parquet = pd.read_parquet(tmp_path / "export" / f"{table}.parquet")
        pd.testing.assert_frame_equal(getattr(results, table), parquet.astype(getattr(results, table).dtypes), check_exact=True)


def test_what_optimizers_say_is_kept_by_epoch_and_name(tmp_path: Path) -> None:
    """An optimizer's diagnostics are read back from the database and from an export; without any, the table is empty."""
    planned = plan(architectures=1, seeds=1)
    one = planned.trials[0]
    result = result_of(one)
    said = {"eta/mean": 0.1 + 0.2, "relative_update/0.weight": 1e-7}
    curve = tuple(point.model_copy(update={"diagnostics": said}) for point in result.curve)
    with Store.open(tmp_path / "run", planned) as store:
        assert load_results(tmp_path / "run").diagnostics.empty
        store.start(one, 1, "worker-0", 600.0)
        store.finish(result.model_copy(update={"curve": curve}), 1)
    results = load_results(tmp_path / "run")
    rows = [(one.id, point.epoch, name, value) for point in curve for name, value in sorted(said.items())]
    assert rows
    assert list(results.diagnostics.itertuples(index=False, name=None)) == rows
    export(results, tmp_path / "export")
    assert_same(results, load_results(tmp_path / "export"))


@settings(max_examples=25, deadline=None)
@given(
    architectures=st.lists(
        st.text(st.characters(codec="utf-8", exclude_characters="\x00\r"), min_size=1, max_size=12)
        | st.sampled_from(["NA", "null", "nan", "None", '"', ",", "1e5", "007", " x "]),
        min_size=1,
        max_size=4,
        unique=True,
    ),
    numbers=st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=3, max_size=3),
    reason=st.sampled_from(["", "NA", "a, b", 'say "no"\nand more']),
)
def test_texts_and_numbers_survive_csv(
    tmp_path_factory: pytest.TempPathFactory, architectures: list[str], numbers: list[float], reason: str
) -> None:
    """Any architecture name and any measured number is read back unchanged from an export."""
    folder = tmp_path_factory.mktemp("run")
    planned = Plan(sweep=sweep(), trials=tuple(trial(name, 0) for name in architectures), studies=(), plugin_digests={})
    loss, val_loss, rate = numbers
    point = CurvePoint(
        epoch=1, train_loss=loss, train_accuracy=0.1, val_loss=val_loss, val_accuracy=0.2, train_seconds=1.0, learning_rate=rate
    )
    with Store.open(folder, planned) as store:
        for one in planned.trials:
            store.start(one, 1, "worker-0", 1.0)
            store.finish(TrialResult(trial_id=one.id, status="failed", reason=reason, train_loss=loss, curve=(point,)), 1)
    results = load_results(folder)
    assert list(results.trials["architecture"]) == architectures
    assert list(results.curves["learning_rate"]) == [rate] * len(architectures)
    export(results, folder / "export")
    assert_same(results, load_results(folder / "export"))


def test_statuses_are_counted_by_algorithm(tmp_path: Path) -> None:
    """Every trial of the plan is counted in one column; trials that were not started count as missing."""
    planned = fill(tmp_path)
    counts = status(tmp_path)
    assert list(counts.index) == ["free", "tuned"]
    assert list(counts.columns) == ["done", "running", "diverged", "failed", "refused", "pruned", "unneeded", "missing"]
    expected = {"done": 1, "running": 0, "diverged": 1, "failed": 1, "refused": 1, "pruned": 0, "unneeded": 1, "missing": 1}
    assert counts.loc["free"].to_dict() == expected
    assert counts.loc["tuned", "missing"] == counts.loc["tuned"].sum()
    assert counts.to_numpy().sum() == len(planned.all_trials)
    export(load_results(tmp_path), tmp_path / "export")
    pd.testing.assert_frame_equal(status(tmp_path / "export"), counts)


def test_ended_trials_are_found_wherever_a_run_is_and_none_where_none_is(tmp_path: Path) -> None:
    """Ended trials are read from a folder or a URL; a folder or database without a run has none."""
    assert ended_trials(tmp_path / "nowhere") == ()
    url = f"sqlite:///{tmp_path / 'database.sqlite'}"
    assert ended_trials(url) == ()
    assert stored_sweep(url) is None
    planned = fill(tmp_path / "run")
    expected = tuple(one.id for one in (*planned.trials[:4], planned.trials[5]))
    assert ended_trials(tmp_path / "run") == expected
    with Store.open(url, planned) as store:
        store.settle(planned.trials[1].id, "unneeded", "did without it")
    assert ended_trials(url) == (planned.trials[1].id,)


@pytest.mark.parametrize("read", [load_results, status])
def test_a_mistyped_url_is_said_and_leaves_no_file(tmp_path: Path, read: Callable[[str], object]) -> None:
    """A URL of a missing SQLite file is an error; SQLite itself would create the file."""
    with pytest.raises(InputError, match=r"sqlite:///.*typo\.db: no such file"):
        read(f"sqlite:///{tmp_path / 'typo.db'}")
    assert list(tmp_path.iterdir()) == []


def test_a_settled_trial_measured_nothing(tmp_path: Path) -> None:
    """A trial that was not executed has missing values instead of zeros, and costs nothing."""
    fill(tmp_path)
    row = load_results(tmp_path).trials.iloc[5]
    assert row[["train_seconds", "total_seconds", "val_accuracy", "flops"]].isna().all()
    assert (row["charged_seconds"], row["attempts"], row["reason"]) == (0.0, 0, "did without it")


def test_a_folder_that_is_no_run_says_what_one_holds(tmp_path: Path) -> None:
    """Every kind of wrong path gets an error message that says what a run folder contains."""
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match=r"no such folder; give a run folder \(it contains results.sqlite"):
        load_results(tmp_path / "nowhere")
    with pytest.raises(InputError, match="a file; give a run folder"):
        load_results(tmp_path / "file")
    with pytest.raises(InputError, match=r"a run folder contains results.sqlite, a published folder sweep.json"):
        status(tmp_path)
    (tmp_path / "results.sqlite").touch()
    with pytest.raises(InputError, match="not written anything yet"):
        load_results(tmp_path)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("trials.csv", "trial_id,position\nx,0\n"),
        ("curves.csv", "\x00\x01"),
        ("sweep.json", "{"),
        ("meta.json", "[1"),
        ("sweep.json", '{"name": "x"}'),
    ],
)
def test_a_torn_published_folder_is_refused(tmp_path: Path, name: str, content: str) -> None:
    """The error names the file that is truncated or malformed."""
    fill(tmp_path / "run")
    export(load_results(tmp_path / "run"), tmp_path / "export")
    (tmp_path / "export" / name).write_text(content)
    with pytest.raises(StoreDamagedError, match=name):
        load_results(tmp_path / "export")


def test_a_truncated_database_is_refused(tmp_path: Path) -> None:
    """A partly copied database is refused instead of being read as far as possible."""
    fill(tmp_path)
    file = tmp_path / "results.sqlite"
    os.truncate(file, file.stat().st_size // 2)
    with pytest.raises(StoreDamagedError, match="damaged"):
        load_results(tmp_path)


def test_a_database_whose_table_lost_its_rows_is_refused(tmp_path: Path) -> None:
    """The page of one table has become that of an empty table: each is sound, and only the index still knows the rows."""
    fill(tmp_path)
    file = tmp_path / "results.sqlite"
    with closing(sqlite3.connect(file)) as connection:
        roots = dict(connection.execute("select name, rootpage from sqlite_master where type = 'table'"))
        size = connection.execute("pragma page_size").fetchone()[0]
        assert connection.execute("select count(*) from curves").fetchone()[0] > 0
        assert connection.execute("select count(*) from diagnostics").fetchone()[0] == 0
    content = bytearray(file.read_bytes())
    empty = content[(roots["diagnostics"] - 1) * size : roots["diagnostics"] * size]
    content[(roots["curves"] - 1) * size : roots["curves"] * size] = empty
    file.write_bytes(bytes(content))
    with pytest.raises(StoreDamagedError, match="damaged"):
        load_results(tmp_path)


def test_a_run_under_way_can_be_read(tmp_path: Path) -> None:
    """A reader neither waits for the driver nor disturbs it, and leaves no files behind."""
    planned = plan()
    with Store.open(tmp_path, planned) as store:
        store.start(planned.trials[0], 1, "worker-0", 600.0)
        with store._engine.begin() as connection:
            connection.exec_driver_sql("update trials set reason='not yet' where position=1")
            results = load_results(tmp_path)
        assert results.trials.loc[0, "status"] == "running"
        assert results.trials.loc[1, "reason"] == ""
        store.finish(result_of(planned.trials[0]), 1)
    assert [path.name for path in tmp_path.iterdir()] == ["results.sqlite"]


def test_devices_come_from_the_results(tmp_path: Path) -> None:
    """The metadata names the devices that were used for training, but no host."""
    fill(tmp_path)
    meta = load_results(tmp_path).meta
    assert json.loads(meta["devices"]) == ["imagined"]
    assert json.loads(meta["versions"])["agd-bench"]
    assert os.uname().nodename not in " ".join(meta.values()).split()


def test_every_column_is_documented_once(tmp_path: Path) -> None:
    """The dictionary, the docstring and the tables have the same columns; columns of seconds state their unit."""
    fill(tmp_path)
    results = load_results(tmp_path)
    markdown = dictionary_markdown()
    for table in TABLES:
        columns = [entry["column"] for entry in dictionary()[table]]
        assert columns == list(getattr(results, table).columns) == [column.name for column in columns_of(table)]
        assert all(f"| `{column}` |" in markdown and str(column) in str(Results.__doc__) for column in columns)
    assert all(column.meaning and column.unit == "seconds" for column in COLUMNS if column.name.endswith("seconds"))
    assert len({(column.table, column.name) for column in COLUMNS}) == len(COLUMNS)
    assert "proposal" not in results.trials
    assert "deadline_at" not in results.attempts


def test_reading_imports_neither_torch_nor_ray_nor_optuna() -> None:
    """Reading results must not import heavy libraries, so that a leaderboard can be rebuilt on a laptop."""
    check = "import sys, agd_bench.store as s; sys.exit(bool({'torch', 'ray', 'optuna'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", check], check=False).returncode == 0


def test_numbers_of_a_published_table_are_read_exactly(tmp_path: Path) -> None:
    """Integers above 2^53, floats to the last bit, and texts that look like missing values are read exactly."""
    trials = simulate_trials(3, 2)
    trials.loc[0, "flops"], trials.loc[1, "flops"] = 2**60 + 1, pd.NA
    trials.loc[:3, "test_accuracy"] = [0.1 + 0.2, 5e-324, 1 / 3, float("nan")]
    trials.loc[0, "reason"], trials.loc[1, "reason"] = "NA", 'two\nlines, "quoted"'
    trials.to_csv(tmp_path / "trials.csv", index=False, lineterminator="\n")
    pd.testing.assert_frame_equal(read_csv("trials", tmp_path / "trials.csv"), trials, check_exact=True)


@pytest.mark.parametrize(
    ("column", "value"), [("seed", ""), ("seed", "1.5"), ("flops", "many"), ("dataset_share", ""), ("epochs", "9" * 20)]
)
def test_a_field_of_another_type_is_damage(column: str, value: str, tmp_path: Path) -> None:
    """A required value that is missing, or one that is not a number of the column's type, is an error that names the file."""
    trials = simulate_trials(2, 1).astype(object)
    trials.loc[1, column] = value
    trials.to_csv(tmp_path / "trials.csv", index=False)
    with pytest.raises(StoreDamagedError, match=r"trials\.csv: not a table 'trials'"):
        read_csv("trials", tmp_path / "trials.csv")
