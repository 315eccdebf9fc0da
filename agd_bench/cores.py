"""CPU cores available to this process."""

from __future__ import annotations

import os


def usable_cores() -> int:
    """Number of cores that this process may use, which can be restricted (taskset, a container)."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
