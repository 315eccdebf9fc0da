"""Data sets that torchvision knows: read them where they are, fetch them where they are not."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from agd_bench.datasets._drawing import Arrays, Images, Labels, hold_out
from agd_bench.errors import DatasetError


def load_splits_of(name: str, root: Path, key: str, held_out: int) -> Arrays:
    """The train, val and test splits of a data set of torchvision.

    Args:
        name: torchvision's name of it, for example `"CIFAR10"`.
        root: folder of its files, in torchvision's layout; missing files are fetched into it.
        key: seeds which training images are held out for validation.
        held_out: how many are.

    Raises:
        DatasetError: the files are missing or damaged and cannot be fetched.
    """
    train, val = hold_out(*_read(name, root, train=True), held_out, key)
    return {"train": train, "val": val, "test": _read(name, root, train=False)}


def _read(name: str, root: Path, train: bool) -> tuple[Images, Labels]:
    import torchvision.datasets  # here and not above: it takes a second, and naming a data set does not need it

    kind = getattr(torchvision.datasets, name)
    try:
        source = kind(str(root), train=train, download=False)
    except (RuntimeError, OSError, EOFError, ValueError, AssertionError):  # absent, cut short or damaged
        source = _fetch(kind, name, root, train)
    pixels, labels = np.asarray(source.data, dtype=np.uint8), np.asarray(source.targets, dtype=np.int64)
    return np.ascontiguousarray(_channels_first(pixels)), labels


def _fetch(kind: Any, name: str, root: Path, train: bool) -> Any:
    try:
        return kind(str(root), train=train, download=True)
    except Exception as error:
        cause = " ".join(str(error).split())[:200] or type(error).__name__
        raise DatasetError(
            f"data set {name}: no sound files in {root}, and fetching them failed ({type(error).__name__}: {cause}). Where there is a "
            f"network, run: python -c \"import torchvision; torchvision.datasets.{name}('DIR', download=True)\", copy DIR to this "
            "machine and set AGD_BENCH_DATA=DIR"
        ) from error


def _channels_first(pixels: Images) -> Images:
    """(N, H, W) or (N, H, W, C) as (N, C, H, W)."""
    return pixels[:, None] if pixels.ndim == 3 else pixels.transpose(0, 3, 1, 2)
