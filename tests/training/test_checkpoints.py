"""Checkpoints: an incorrect state is never loaded, whatever happens to the files."""

from __future__ import annotations

import errno
import hashlib
import io
import math
import os
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from agd_bench.errors import StorageFullError, StoreError
from agd_bench.optim.agd import AGD
from agd_bench.training import checkpoints
from agd_bench.trial.attempt import ending

CPU = torch.device("cpu")


def state(value: float) -> dict[str, Any]:
    """Return a state that can be identified by `value`."""
    return {"network": {"w": torch.full((3,), value)}, "curve": [{"epoch": 1}], "rate": value}


def loaded_value(folder: Path) -> float | None:
    """Return the value of the loaded state, or None if there is none."""
    found = checkpoints.load(folder, CPU)
    return None if found is None else float(found["network"]["w"][0])


def test_the_newest_epoch_of_any_attempt_is_found(tmp_path: Path) -> None:
    """A retry resumes from the newest epoch of any attempt, and each attempt keeps only one checkpoint."""
    checkpoints.save(tmp_path, 1, 2, state(2.0))
    checkpoints.save(tmp_path, 1, 10, state(10.0))
    checkpoints.save(tmp_path, 2, 9, state(9.0))
    assert loaded_value(tmp_path) == 10.0
    assert len(list(tmp_path.glob("attempt-1.*.pt"))) == 1


@pytest.mark.parametrize("damage", ["flip", "truncate", "empty", "no digest", "flipped digest"])
def test_a_damaged_checkpoint_is_passed_over(tmp_path: Path, damage: str) -> None:
    """If a checkpoint is corrupted, truncated, empty or has no valid digest, the previous intact one is loaded."""
    checkpoints.save(tmp_path, 1, 3, state(3.0))
    checkpoints.save(tmp_path, 2, 5, state(5.0))
    file = tmp_path / "attempt-2.epoch-5.pt"
    content = bytearray(file.read_bytes())
    if damage == "flip":
        content[len(content) // 2] ^= 1
    file.write_bytes({"flip": bytes(content), "truncate": bytes(content[:100]), "empty": b""}.get(damage, bytes(content)))
    if damage == "no digest":
        file.with_suffix(".sha256").unlink()
    if damage == "flipped digest":
        file.with_suffix(".sha256").write_bytes(b"\xff" + file.with_suffix(".sha256").read_bytes()[1:])
    assert loaded_value(tmp_path) == 3.0


def test_files_of_other_names_are_none_of_ours(tmp_path: Path) -> None:
    """Files left in the folder by a user or a backup program are ignored."""
    checkpoints.save(tmp_path, 1, 3, state(3.0))
    for name in ("attempt-1.epoch-x.pt", "attempt-1.epoch-4 (copy).pt", "attempt-.epoch-.pt", "attempt-2.epoch-³.pt"):
        (tmp_path / name).write_bytes(b"")
    assert loaded_value(tmp_path) == 3.0


@pytest.mark.parametrize("fault", [errno.EIO, errno.EROFS, errno.EACCES, errno.ESTALE])
def test_a_fault_of_the_disk_is_no_result(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fault: int) -> None:
    """A disk fault is an error of the run, not a result of the trial, which can succeed once the disk is repaired."""

    def refuse(*_: object) -> None:
        raise OSError(fault, os.strerror(fault))

    monkeypatch.setattr(os, "fsync", refuse)
    with pytest.raises(StoreError, match="checkpoint cannot be written"):
        ending(lambda: checkpoints.save(tmp_path, 1, 1, state(1.0)), CPU)


def test_nothing_there_means_from_zero(tmp_path: Path) -> None:
    """Loading returns None if the folder does not exist or contains only leftovers."""
    assert checkpoints.load(tmp_path / "none", CPU) is None
    (tmp_path / "attempt-1.epoch-1.pt.tmp").write_bytes(b"half")
    assert checkpoints.load(tmp_path, CPU) is None


def test_a_full_disk_is_a_clear_error_and_keeps_the_older_checkpoint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The earlier checkpoint can still be loaded after a failed write."""
    checkpoints.save(tmp_path, 1, 1, state(1.0))

    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(StorageFullError, match="no space left for a checkpoint"):
        checkpoints.save(tmp_path, 1, 2, state(2.0))
    assert loaded_value(tmp_path) == 1.0
    assert not list(tmp_path.glob("*.tmp"))


def returned(state: dict[str, Any]) -> dict[str, Any]:
    """Return the state after serialising and deserialising it."""
    return checkpoints.from_bytes(checkpoints.to_bytes(state), CPU)


def trained(build: Any) -> tuple[nn.Module, Any]:
    """Return a convolutional network in channels-last format and its optimizer, after two steps."""
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(3, 4, 3, bias=False), nn.Flatten(), nn.Linear(16, 2, bias=False)).to(
        memory_format=torch.channels_last
    )
    optimizer = build(network.parameters())
    for _ in range(2):
        optimizer.zero_grad()
        network(torch.randn(5, 3, 4, 4)).square().sum().backward()
        optimizer.step()
    return network, optimizer


@pytest.mark.parametrize(
    "build",
    [AGD, lambda p: torch.optim.SGD(p, 0.1, momentum=0.9, fused=True), lambda p: torch.optim.AdamW(p, 0.1), torch.optim.RMSprop],
)
def test_weights_and_optimizer_states_come_back(build: Any) -> None:
    """Weights and optimizer state are restored bit for bit, with their types, keys and memory layouts."""
    network, optimizer = trained(build)
    state = {"network": network.state_dict(), "optimizer": optimizer.state_dict()}
    back = returned(state)
    torch.testing.assert_close(back["network"], dict(state["network"]), rtol=0, atol=0, check_stride=True)
    assert back["optimizer"].keys() == state["optimizer"].keys()
    assert back["optimizer"]["param_groups"] == state["optimizer"]["param_groups"]
    torch.testing.assert_close(back["optimizer"]["state"], state["optimizer"]["state"], rtol=0, atol=0, check_stride=True)
    assert [type(key) for key in back["optimizer"]["state"]] == [type(key) for key in state["optimizer"]["state"]]


def test_containers_numbers_and_shared_tensors_come_back() -> None:
    """Tuples, integer keys, infinities and NaN are preserved; repeated tensors and views are allowed."""
    one = torch.arange(6.0)
    state: dict[str, Any] = {
        "a": (1, [True, None, "é"], {}),
        "rates": {0: math.inf, 1: 0.1},
        "tensors": [one, one, one[2:], torch.tensor(2, dtype=torch.int64)],
    }
    back = returned(state)
    assert (back["a"], back["rates"]) == (state["a"], state["rates"])
    assert all(
        torch.equal(found, given) and found.dtype == given.dtype for found, given in zip(back["tensors"], state["tensors"], strict=True)
    )
    assert math.isnan(returned({"x": math.nan})["x"])


class Schedule:
    """An object that is not plain data."""


@pytest.mark.parametrize(("value", "named"), [(Schedule(), "Schedule"), (math.inf.hex, "getattr"), (np.float64(1.0), "numpy")])
def test_objects_are_refused_when_they_are_saved(value: Any, named: str) -> None:
    """Objects that cannot be loaded are rejected on saving, not hours later when a training is to be resumed."""
    with pytest.raises(TypeError, match=named):
        checkpoints.to_bytes({"optimizer": {"x": value}})


def test_a_file_cannot_run_code(tmp_path: Path) -> None:
    """A file cannot execute code when loaded, even if its digest matches."""
    content = io.BytesIO()
    torch.save({"x": Schedule()}, content)
    (tmp_path / "attempt-1.epoch-1.pt").write_bytes(content.getvalue())
    (tmp_path / "attempt-1.epoch-1.sha256").write_text(hashlib.sha256(content.getvalue()).hexdigest())
    with pytest.raises(pickle.UnpicklingError, match="weights_only"):
        checkpoints.load(tmp_path, CPU)
