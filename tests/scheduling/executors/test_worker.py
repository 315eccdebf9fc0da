"""Workers keep freed memory. Each case runs in its own process because the setting cannot be undone."""

from __future__ import annotations

import platform
import subprocess
import sys

import pytest

COUNTED = """
import resource, sys
from agd_bench.scheduling.executors.worker import keep_freed_memory
if sys.argv[1] == "kept":
    assert keep_freed_memory()
bytearray(2**26)
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(3):
    bytearray(2**26)
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def faults(way: str) -> int:
    """Return the page faults of a process that allocates and frees 64 MiB three times after doing so once."""
    told = subprocess.run([sys.executable, "-c", COUNTED, way], check=True, capture_output=True, text=True)
    return int(told.stdout)


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="the C library is not glibc")
def test_freed_memory_is_used_again() -> None:
    """By default every page is requested from the system again; with freed memory kept, almost none are."""
    assert faults("kept") < faults("given back") / 10
