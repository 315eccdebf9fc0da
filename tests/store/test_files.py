"""Files are replaced all at once or not at all, and a failed write leaves nothing behind."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

from agd_bench.cli import extend
from agd_bench.errors import StorageFullError, StoreError
from agd_bench.leaderboard import write_index
from agd_bench.report import build_report
from agd_bench.report.page import write_page
from agd_bench.report.surroundings import ALONE
from agd_bench.scaffolding import scaffold
from agd_bench.store import Results, export, written_beside
from agd_bench.store.files import BESIDE
from tests.analysis.synthetic import simulate_results, simulate_trials

DEAD = 2**22 + 1
"""A process id above the largest that Linux assigns."""


@pytest.fixture(scope="module")
def results() -> Results:
    """Return a small finished run."""
    return simulate_results(simulate_trials(4, 2))


def files_in(folder: Path) -> dict[str, bytes]:
    """Return the content of every file by its path."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def fail_at(monkeypatch: pytest.MonkeyPatch, number: int, after: int) -> None:
    """Let `Path.open` raise this error for every file opened for writing after the first few."""
    opened = 0
    real = Path.open

    def refuse(path: Path, mode: str = "r", *more: object, **options: object) -> object:
        nonlocal opened
        opened += "w" in mode
        if "w" in mode and opened > after:
            raise OSError(number, os.strerror(number), str(path))
        return real(path, mode, *more, **options)  # type: ignore[call-overload]

    monkeypatch.setattr(Path, "open", refuse)


WRITERS: dict[str, Callable[[Results, Path], object]] = {
    "export": export,
    "report": build_report,
    "index": lambda results, folder: write_index(folder),
    "page": lambda results, folder: write_page(
        folder / "index.html", "site.html.jinja", around=ALONE, title="", lead=[], facts=[], picture=None, tables=[], cards=False
    ),
    "new": lambda results, folder: scaffold("datasets", "fresh_one", folder),
    "draw": lambda results, folder: extend.draw("fcn", folder / "fcn.svg"),
}


@pytest.mark.parametrize("writer", WRITERS)
@pytest.mark.parametrize(("number", "error"), [(errno.ENOSPC, StorageFullError), (errno.EIO, StoreError)])
def test_a_writer_that_fails_changes_nothing(
    results: Results,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    few_resamples: None,
    writer: str,
    number: int,
    error: type[StoreError],
) -> None:
    """If the disk fails at any file, an existing folder is unchanged and a new one is not created."""
    old, new = tmp_path / "old", tmp_path / "new"
    WRITERS[writer](results, old)
    before = files_in(old)
    for after in (0, 1) if len(before) > 1 else (0,):
        for folder in (old, new):
            with monkeypatch.context() as patch:
                fail_at(patch, number, after)
                with pytest.raises(error, match=folder.name):
                    WRITERS[writer](results, folder)
    assert files_in(old) == before
    assert not new.exists()


def test_what_a_killed_writer_left_is_removed_and_what_another_writes_is_not(tmp_path: Path) -> None:
    """Leftovers are recognised by the process id in the folder's name; those of a live process are kept."""
    for name in (f"{BESIDE}{DEAD}-abc", f"{BESIDE}{os.getppid()}-abc", f"{BESIDE}abc"):
        (tmp_path / name).mkdir()
    with written_beside(tmp_path) as beside:
        (beside / "file").touch()
    assert sorted(path.name for path in tmp_path.iterdir()) == [f"{BESIDE}{os.getppid()}-abc", "file"]


def test_the_last_file_arrives_last(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The last file is moved last, so that a manifest never lists files that are not there yet."""
    moved = []
    real = Path.replace

    def note(path: Path, target: Path) -> Path:
        moved.append(path.name)
        return real(path, target)

    monkeypatch.setattr(Path, "replace", note)
    with written_beside(tmp_path, last="a") as beside:
        for name in ("a", "b", "c"):
            (beside / name).touch()
    assert moved == ["b", "c", "a"]


def test_tables_of_an_export_are_equal_in_both_forms(results: Results, tmp_path: Path) -> None:
    """The Parquet files contain the same values as the CSV files."""
    export(results, tmp_path)
    parquet = pd.read_parquet(tmp_path / "trials.parquet")
    pd.testing.assert_frame_equal(parquet, results.trials, check_dtype=False, check_exact=True)
