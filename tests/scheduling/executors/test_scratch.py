"""Folders for checkpoints on a node's own disk."""

from __future__ import annotations

import os
import stat
import tempfile
from pathlib import Path

import pytest

from agd_bench.scheduling.executors import scratch


@pytest.fixture
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Make the test's own folder the temporary folder, and return it."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


def test_each_run_has_a_private_folder(temporary: Path) -> None:
    """Runs do not share a folder, and other users cannot write to it."""
    names = [scratch.name_of(Path(run) / "checkpoints") for run in ("/a", "/b")]
    opened = [scratch.open_scratch(name) for name in names]
    assert opened == [temporary / f"agd-bench-{os.getuid()}" / name for name in names]
    assert len(set(names)) == 2
    assert stat.S_IMODE((temporary / f"agd-bench-{os.getuid()}").stat().st_mode) == 0o700


def test_what_was_forgotten_is_removed(temporary: Path) -> None:
    """Checkpoints of trials that ended on another node are removed by a later run once they are old."""
    folder = scratch.open_scratch("run")
    assert folder is not None
    for name, age in (("old", scratch.FORGOTTEN_SECONDS + 60), ("new", 60.0)):
        (folder / name).mkdir()
        (folder / name / "attempt-1.epoch-1.pt").touch()
        then = (folder / name).stat().st_mtime - age
        os.utime(folder / name, (then, then))
    scratch.open_scratch("other")
    assert [path.name for path in folder.iterdir()] == ["new"]


@pytest.mark.parametrize("kind", ["file", "link"])
def test_what_is_not_ours_is_not_used(temporary: Path, caplog: pytest.LogCaptureFixture, kind: str) -> None:
    """If the folder's path is a file or a link, no checkpoints are written, and the worker runs anyway."""
    root = temporary / f"agd-bench-{os.getuid()}"
    if kind == "file":
        root.touch()
    else:
        (temporary / "elsewhere").mkdir()
        root.symlink_to(temporary / "elsewhere")
    assert scratch.open_scratch("run") is None
    assert "no checkpoints are written" in caplog.text
