"""Data sets: one module each. `load` returns arrays; upper-case constants give the standard augmentation and normalisation."""

from __future__ import annotations

import os
import sys
from pathlib import Path


def data_root() -> Path:
    """Return the folder of the data sets' files: `AGD_BENCH_DATA`, or `agd-bench` in the platform's cache folder."""
    given = os.environ.get("AGD_BENCH_DATA")
    if given:
        return Path(given).expanduser()
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches" / "agd-bench"
    variable, fallback = ("LOCALAPPDATA", "AppData/Local") if sys.platform == "win32" else ("XDG_CACHE_HOME", ".cache")
    return Path(os.environ.get(variable) or Path.home() / fallback) / "agd-bench"
