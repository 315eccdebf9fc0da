"""Checkpoints: whatever happens to the files, a wrong state is never loaded."""

from __future__ import annotations

import errno
from pathlib import Path
from typing import Any

import pytest
import torch

from agd_bench.errors import StorageFullError
from agd_bench.training import checkpoints

CPU = torch.device("cpu")


def state(value: float) -> dict[str, Any]:
    """A state that tells which it is."""
    return {"network": {"w": torch.full((3,), value)}, "curve": [{"epoch": 1}], "rate": value}


def loaded_value(folder: Path) -> float | None:
    """Which state is found."""
    found = checkpoints.load(folder, CPU)
    return None if found is None else float(found["network"]["w"][0])


def test_the_newest_epoch_of_any_attempt_is_found(tmp_path: Path) -> None:
    """A retry goes on where the lost attempt had come to, and an attempt keeps one checkpoint."""
    checkpoints.save(tmp_path, 1, 2, state(2.0))
    checkpoints.save(tmp_path, 1, 10, state(10.0))
    checkpoints.save(tmp_path, 2, 9, state(9.0))
    assert loaded_value(tmp_path) == 10.0
    assert len(list(tmp_path.glob("attempt-1.*.safetensors"))) == 1


@pytest.mark.parametrize("damage", ["flip", "truncate", "empty", "no digest"])
def test_a_damaged_checkpoint_is_passed_over(tmp_path: Path, damage: str) -> None:
    """Flipped, cut, emptied or without its digest: the earlier sound one is used."""
    checkpoints.save(tmp_path, 1, 3, state(3.0))
    checkpoints.save(tmp_path, 2, 5, state(5.0))
    file = tmp_path / "attempt-2.epoch-5.safetensors"
    content = bytearray(file.read_bytes())
    if damage == "flip":
        content[len(content) // 2] ^= 1
    file.write_bytes({"flip": bytes(content), "truncate": bytes(content[:100]), "empty": b""}.get(damage, bytes(content)))
    if damage == "no digest":
        file.with_suffix(".sha256").unlink()
    assert loaded_value(tmp_path) == 3.0


def test_nothing_there_means_from_zero(tmp_path: Path) -> None:
    """A folder that does not exist, or holds only leftovers, gives nothing."""
    assert checkpoints.load(tmp_path / "none", CPU) is None
    (tmp_path / "attempt-1.epoch-1.pt.tmp").write_bytes(b"half")
    assert checkpoints.load(tmp_path, CPU) is None


def test_a_full_disk_is_a_clear_error_and_keeps_the_older_checkpoint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was saved stays loadable."""
    checkpoints.save(tmp_path, 1, 1, state(1.0))

    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(StorageFullError, match="no space left for a checkpoint"):
        checkpoints.save(tmp_path, 1, 2, state(2.0))
    assert loaded_value(tmp_path) == 1.0
    assert not list(tmp_path.glob("*.tmp"))
