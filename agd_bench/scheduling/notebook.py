"""Progress in a notebook: one line that is updated in place, so that a long run does not fill its cell."""

from __future__ import annotations

import html
import sys
import time
from typing import Any

from agd_bench.scheduling.progress import Event, Observer, Snapshot

UPDATE_SECONDS = 1.0
"""Seconds between two updates; every one is a message to the browser, and is saved with the notebook."""


def notebook_observer() -> Observer | None:
    """Return an observer that shows the progress in this notebook's cell, or None outside a notebook."""
    # Only what a notebook has imported is used: IPython is no dependency.
    kernel, ipython = sys.modules.get("ipykernel"), sys.modules.get("IPython")
    shell = ipython.get_ipython() if kernel is not None and ipython is not None else None
    return NotebookProgress(sys.modules["IPython.display"]) if shell is not None and hasattr(shell, "kernel") else None


class NotebookProgress:
    """Observer that shows one line and a bar, updated in place.

    Args:
        display: the module `IPython.display`.
    """

    def __init__(self, display: Any) -> None:
        self._handle = display.display({"text/plain": "agd-bench: starting"}, raw=True, display_id=True)
        self._shown_at = float("-inf")

    def __call__(self, event: Event | None, snapshot: Snapshot) -> None:
        """Show the progress, at most once per second, and always the end."""
        ended = snapshot.total - snapshot.counts.get("pending", 0) - snapshot.counts.get("running", 0)
        if time.monotonic() - self._shown_at < UPDATE_SECONDS and ended < snapshot.total:
            return
        self._shown_at = time.monotonic()
        counts = ", ".join(f"{count} {status}" for status, count in snapshot.counts.items() if count)
        line = f"agd-bench: {ended} of {snapshot.total} trials ({counts}) after {snapshot.elapsed_seconds:.0f} s"
        bar = f'<progress max="{max(1, snapshot.total)}" value="{ended}"></progress>'
        self._handle.update({"text/plain": line, "text/html": f"{bar} {html.escape(line)}"}, raw=True)
