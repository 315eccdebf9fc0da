"""Checkpoints that are robust to crashes, full disks and flipped bits.

A checkpoint is a file written by `torch.save`, with its SHA-256 in a second file. Loading uses the checkpoint with the most epochs and a
matching digest; without one, training starts from the beginning.
"""

from __future__ import annotations

import errno
import hashlib
import io
import os
import re
from contextlib import suppress
from pathlib import Path
from typing import Any

import torch
from torch.serialization import get_unsafe_globals_in_checkpoint

from agd_bench.errors import StorageFullError, StoreError


def _write_durably(path: Path, content: bytes) -> None:
    # Only the atomic rename replaces the old file, so a crash while writing leaves it intact.
    temporary = path.with_name(path.name + ".tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with temporary.open("wb") as file:
            file.write(content)
            file.flush()
            # Some file systems store the rename before the content, so a power failure could leave an empty file.
            os.fsync(file.fileno())
        temporary.replace(path)
    except OSError as error:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise StorageFullError(f"{path.parent}: no space left for a checkpoint") from None
        raise StoreError(f"{path.parent}: a checkpoint cannot be written: {error.strerror or error}") from None


def to_bytes(state: dict[str, Any]) -> bytes:
    """The content of a checkpoint that holds `state`.

    Args:
        state: tensors, numbers, strings and built-in containers of them; keys and memory layouts are kept.

    Raises:
        TypeError: the state holds an object of another class, which `from_bytes` would refuse.
    """
    buffer = io.BytesIO()
    torch.save(state, buffer)
    buffer.seek(0)
    # Check now, not when an interrupted training tries to resume.
    refused = sorted(get_unsafe_globals_in_checkpoint(buffer))
    if refused:
        raise TypeError(
            f"a checkpoint cannot hold {', '.join(refused)}; states of networks, optimizers and schedulers may hold tensors, numbers, "
            "strings, and dictionaries, lists and tuples of them"
        )
    return buffer.getvalue()


def from_bytes(content: bytes, device: torch.device) -> dict[str, Any]:
    """The state passed to `to_bytes`, with its tensors on a device."""
    # weights_only: a plain pickle can run arbitrary code when loaded.
    state: dict[str, Any] = torch.load(io.BytesIO(content), map_location=device, weights_only=True)
    return state


def save(folder: Path, attempt: int, epoch: int, state: dict[str, Any]) -> None:
    """Save `state` as the checkpoint of this attempt after `epoch`, replacing the attempt's older one.

    Args:
        folder: folder of the trial.
        attempt: the writer.
        epoch: epochs done.
        state: as for `to_bytes`.

    Raises:
        StorageFullError: no space left.
        StoreError: the checkpoint cannot be written.
        TypeError: the state holds an unsupported object.
    """
    content = to_bytes(state)
    stem = f"attempt-{attempt}.epoch-{epoch}"
    _write_durably(folder / f"{stem}.pt", content)
    # A tensor with a flipped bit loads without an error. Written last, because a checkpoint without its digest is not loaded.
    _write_durably(folder / f"{stem}.sha256", hashlib.sha256(content).hexdigest().encode())
    # Only this attempt's files: an attempt that was given up may still be writing while the next one trains.
    for path in folder.glob(f"attempt-{attempt}.epoch-*"):
        if path.stem != stem:
            path.unlink(missing_ok=True)


CHECKPOINT = re.compile(r"attempt-\d+\.epoch-(\d+)\.pt")


def _sound_names(folder: Path) -> list[Path]:
    """Checkpoints, most epochs first; other files are ignored."""
    named = [(int(match[1]), path) for path in folder.glob("*.pt") if (match := CHECKPOINT.fullmatch(path.name))]
    # Sorted as numbers; as text, epoch 9 would come before epoch 10.
    return [path for _, path in sorted(named, reverse=True)]


def load(folder: Path, device: torch.device) -> dict[str, Any] | None:
    """The intact checkpoint with the most epochs from any attempt; None if there is none.

    Args:
        folder: folder of the trial; it may not exist.
        device: device for the tensors.
    """
    for path in _sound_names(folder):
        try:
            content = path.read_bytes()
            noted = path.with_suffix(".sha256").read_text(encoding="ascii")
        except (OSError, UnicodeDecodeError):  # a damaged digest must not prevent loading an earlier checkpoint
            continue
        if hashlib.sha256(content).hexdigest() == noted:
            return from_bytes(content, device)
    return None
