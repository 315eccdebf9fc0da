"""Read data sets of torchvision, and download missing ones."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from agd_bench.datasets._drawing import Arrays, Images, Labels, hold_out
from agd_bench.errors import DatasetError


def load_splits_of(name: str, root: Path, key: str, held_out: int) -> Arrays:
    """Return the train, val and test splits of a data set of torchvision.

    Args:
        name: of the torchvision class, for example `"CIFAR10"`.
        root: folder of its files, in torchvision's layout; missing files are downloaded into it.
        key: seed of the validation split.
        held_out: number of training images that are held out for validation.

    Raises:
        DatasetError: the files are missing or damaged and cannot be downloaded.
    """
    train, val = hold_out(*_read(name, root, train=True), held_out, key)
    return {"train": train, "val": val, "test": _read(name, root, train=False)}


def _read(name: str, root: Path, train: bool) -> tuple[Images, Labels]:
    import torchvision.datasets  # takes a second to import

    kind = getattr(torchvision.datasets, name)
    try:
        source = kind(str(root), train=train, download=False)
    except (RuntimeError, OSError, EOFError, ValueError, AssertionError):  # missing, truncated or damaged
        source = _fetch(kind, name, root, train)
    pixels, labels = np.asarray(source.data, dtype=np.uint8), np.asarray(source.targets, dtype=np.int64)
    return np.ascontiguousarray(_channels_first(pixels)), labels  # transposed pixels are a strided view


def _fetch(kind: Any, name: str, root: Path, train: bool) -> Any:
    try:
        return kind(str(root), train=train, download=True)
    except Exception as error:  # torchvision raises many kinds: network, checksum, archive
        cause = " ".join(str(error).split())[:200] or type(error).__name__
        raise DatasetError(
            f"data set {name}: no sound files in {root}, and fetching them failed ({type(error).__name__}: {cause}). Where there is a "
            f"network, run: python -c \"import torchvision; torchvision.datasets.{name}('DIR', download=True)\", copy DIR to this "
            "machine and set AGD_BENCH_DATA=DIR"
        ) from error


def _channels_first(pixels: Images) -> Images:
    """Convert (N, H, W) or (N, H, W, C) to (N, C, H, W)."""
    return pixels[:, None] if pixels.ndim == 3 else pixels.transpose(0, 3, 1, 2)
