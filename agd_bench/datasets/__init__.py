"""Data sets: one module each. `load` returns arrays; upper-case constants give the standard augmentation and normalisation."""

from __future__ import annotations

import hashlib
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from agd_bench.datasets._drawing import Arrays

from agd_bench.errors import InputError


def data_root() -> Path:
    """Return the folder of the data sets' files: `AGD_BENCH_DATA`, or `agd-bench` in the platform's cache folder.

    Raises:
        InputError: neither is known, because this user has no home directory.
    """
    given = os.environ.get("AGD_BENCH_DATA")
    if given:
        return Path(given).expanduser()
    if sys.platform == "darwin":
        return _home() / "Library" / "Caches" / "agd-bench"
    cache = os.environ.get("LOCALAPPDATA" if sys.platform == "win32" else "XDG_CACHE_HOME")
    return (Path(cache) if cache else _home() / ("AppData/Local" if sys.platform == "win32" else ".cache")) / "agd-bench"


def _home() -> Path:
    try:
        return Path.home()
    except RuntimeError:  # a container that runs as a user without an account
        raise InputError("this user has no home directory; set AGD_BENCH_DATA to a folder for data sets, or set HOME") from None


def checksum(splits: Arrays) -> str:
    """Return the SHA-256 of a data set: of the shape, type and content of the images and labels of each split.

    Args:
        splits: as `load` of a data set returns them.
    """
    found = hashlib.sha256()
    for name in sorted(splits):
        for array in splits[name]:
            found.update(f"{name} {array.shape} {array.dtype.str}".encode())
            found.update(array.tobytes())
    return found.hexdigest()
