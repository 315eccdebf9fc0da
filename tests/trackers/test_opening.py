"""Trackers by name."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

from agd_bench.errors import InputError, UnknownNameError
from agd_bench.trackers import TRACKERS, open_tracker


@pytest.mark.parametrize("name", TRACKERS)
def test_a_missing_package_names_its_extra(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Before anything is written."""
    monkeypatch.setattr(importlib.util, "find_spec", lambda package: None)
    with pytest.raises(InputError, match=rf"agd-bench\[{name}\]"):
        open_tracker(name, str(tmp_path / "logs"))
    assert not (tmp_path / "logs").exists()


def test_an_unknown_tracker_and_a_folder_that_is_a_file_are_refused(tmp_path: Path) -> None:
    """Both name what was given."""
    with pytest.raises(UnknownNameError, match="tensorbord"):
        open_tracker("tensorbord", str(tmp_path))
    pytest.importorskip("tensorboardX")
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match="tensorboard:"):
        open_tracker("tensorboard", str(tmp_path / "file"))
