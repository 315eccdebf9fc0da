"""Checkpoints that a crash, a full disk or a flipped bit cannot turn into a wrong result.

A checkpoint is a safetensors file, written to a temporary name, flushed to the disk and renamed; its SHA-256 stands in a file
beside it, because a tensor with a flipped bit loads without complaint. Loading takes the checkpoint with the most epochs
whose digest agrees, else an earlier one, else none: then training starts from zero.
"""

from __future__ import annotations

import errno
import hashlib
import os
from pathlib import Path
from typing import Any

import torch

from agd_bench.errors import StorageFullError
from agd_bench.training import serialising


def _write_durably(path: Path, content: bytes) -> None:
    temporary = path.with_name(path.name + ".tmp")
    try:
        with temporary.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise StorageFullError(f"{path.parent}: no space left for a checkpoint; free some and run the same command again") from None
        raise


def save(folder: Path, attempt: int, epoch: int, state: dict[str, Any]) -> None:
    """Keep `state` as the checkpoint of this attempt after `epoch`, replacing the attempt's older one.

    Args:
        folder: the trial's own.
        attempt: the writer; a late writer of a lost attempt cannot touch another attempt's file.
        epoch: epochs done.
        state: tensors, numbers, strings and containers of them.

    Raises:
        StorageFullError: no space left.
        TypeError: the state holds something else.
    """
    content = serialising.to_bytes(state)
    folder.mkdir(parents=True, exist_ok=True)
    stem = f"attempt-{attempt}.epoch-{epoch}"
    _write_durably(folder / f"{stem}.safetensors", content)
    _write_durably(folder / f"{stem}.sha256", hashlib.sha256(content).hexdigest().encode())
    for path in folder.glob(f"attempt-{attempt}.epoch-*"):
        if path.stem != stem:
            path.unlink(missing_ok=True)


def _epoch_of(path: Path) -> int:
    return int(path.stem.rsplit("-", 1)[1])


def load(folder: Path, device: torch.device) -> dict[str, Any] | None:
    """The sound checkpoint with the most epochs, of whichever attempt, or null.

    Args:
        folder: the trial's own; need not exist.
        device: where tensors go.
    """
    for path in sorted(folder.glob("attempt-*.epoch-*.safetensors"), key=_epoch_of, reverse=True):
        try:
            content = path.read_bytes()
            noted = path.with_suffix(".sha256").read_text(encoding="ascii")
        except OSError:
            continue
        if hashlib.sha256(content).hexdigest() == noted:
            return serialising.from_bytes(content, device)
    return None
