"""Show the progress of a sweep: a live display on a terminal, otherwise a plain line every few seconds."""

from __future__ import annotations

import math
import sys
import time
from contextlib import suppress
from types import TracebackType
from typing import Self

from rich.console import Console, Group
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from agd_bench.errors import InputError
from agd_bench.scheduling.progress import Event, Snapshot

PLAIN_SECONDS = 15.0
"""Seconds between two lines without a terminal."""
RUNNING_SHOWN = 4
"""Running trials that the live display lists."""


def duration(seconds: float | None) -> str:
    """Format seconds as `45 s`, `3 min 20 s` or `2 h 5 min`; None as `?`."""
    if seconds is None:
        return "?"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s" if whole < 600 else f"{round(whole / 60)} min"
    return f"{whole // 3600} h {whole % 3600 // 60} min"


def seconds_of(text: str) -> float:
    """Parse a duration such as `90`, `90s`, `45m`, `8h` or `1.5h` to seconds.

    Raises:
        InputError: the text is not a duration, or not above 0.

    >>> [seconds_of(text) for text in ("90", "45m", "1.5h")]
    [90.0, 2700.0, 5400.0]
    """
    units = {"s": 1.0, "m": 60.0, "h": 3600.0}
    number, unit = (text[:-1], text[-1:]) if text[-1:] in units else (text, "s")
    try:
        seconds = float(number) * units[unit]
    except ValueError:
        seconds = math.nan
    # In this form it refuses NaN as well.
    if not 0 < seconds < math.inf:
        raise InputError(f"invalid duration {text!r}: give seconds, minutes or hours above 0, for example 600, 45m or 8h")
    return seconds


def _ended(snapshot: Snapshot) -> int:
    return snapshot.total - snapshot.counts.get("pending", 0) - snapshot.counts.get("running", 0)


def counts_line(snapshot: Snapshot) -> str:
    """Return the progress of the sweep as one line."""
    listed = ("diverged", "failed", "refused", "pruned", "unneeded")
    outcomes = ", ".join(f"{snapshot.counts[status]} {status}" for status in listed if snapshot.counts.get(status))
    parts = [f"{_ended(snapshot)} of {snapshot.total} trials", f"{snapshot.counts.get('running', 0)} running"]
    parts += [outcomes] if outcomes else []
    return ", ".join(parts) + f"; {duration(snapshot.elapsed_seconds)} so far, {duration(snapshot.remaining_seconds)} left"


def trouble(event: Event) -> str | None:
    """Return a line for an event that the user should see at once, or None."""
    trial = event.trial
    what = f"{trial.algorithm_label} on {trial.architecture}, seed {trial.seed}"
    if event.kind == "set aside":
        return event.message
    if event.kind in ("lost", "retried"):
        return f"{event.kind}: {what}, attempt {event.attempt}: {event.message}"
    own = trial.representative is None  # equal networks repeat the outcome of the one that was trained
    if event.kind == "ended" and own and event.result is not None and event.result.status in ("failed", "diverged"):
        return f"{event.result.status}: {what}: {event.result.reason}"
    return None


class Display:
    """Observer of a run. Use it as a context manager, and call it with an event (or None) and a snapshot."""

    def __init__(self, quiet: bool = False) -> None:
        # Standard output is left to results, which may be piped.
        self._console = Console(stderr=True)
        self._live = Live(console=self._console, refresh_per_second=4, transient=True) if self._console.is_terminal and not quiet else None
        self._quiet = quiet
        self._printed_at, self._over = float("-inf"), False

    def __enter__(self) -> Self:
        if self._live is not None:
            self._live.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self._live is not None:
            with suppress(OSError, ValueError):
                self._live.stop()

    def __call__(self, event: Event | None, snapshot: Snapshot) -> None:
        """Show the progress; once the stream takes nothing more, print nothing: a display ends no run."""
        if self._quiet:
            return
        try:
            self._show(event, snapshot)
        except (OSError, ValueError):
            # Python raises ValueError for a stream that was closed.
            self._quiet = True

    def _show(self, event: Event | None, snapshot: Snapshot) -> None:
        line = trouble(event) if event is not None else None
        if line:
            # markup=False: rich would read brackets in a message as markup.
            self._console.print(line, style="yellow", highlight=False, markup=False, soft_wrap=True)
        if self._live is not None:
            self._live.update(self._picture(snapshot))
        elif not self._over and (time.monotonic() - self._printed_at >= PLAIN_SECONDS or _ended(snapshot) == snapshot.total):
            self._printed_at, self._over = time.monotonic(), _ended(snapshot) == snapshot.total
            print(f"{counts_line(snapshot)}{self._best_line(snapshot)}", file=sys.stderr, flush=True)

    @staticmethod
    def _best_line(snapshot: Snapshot) -> str:
        best = ", ".join(f"{label} {accuracy:.3f}" for label, (accuracy, _) in snapshot.best.items())
        return f"; best validation accuracy: {best}" if best else ""

    @staticmethod
    def _picture(snapshot: Snapshot) -> Group:
        lines = Table.grid()
        lines.add_column(overflow="ellipsis", no_wrap=True)
        lines.add_row(counts_line(snapshot))
        lines.add_row(ProgressBar(total=max(1, snapshot.total), completed=_ended(snapshot), width=60))
        for trial in snapshot.running[:RUNNING_SHOWN]:
            lines.add_row(Text(f"running  {trial.algorithm_label}, seed {trial.seed}, {trial.architecture}"))
        best = Table(box=None, padding=(0, 2, 0, 0))
        best.add_column("algorithm", no_wrap=True, min_width=max(map(len, snapshot.best), default=0))
        best.add_column("best validation so far", justify="right", no_wrap=True, min_width=22)
        best.add_column("architecture", overflow="ellipsis", no_wrap=True)
        for label, (accuracy, architecture) in snapshot.best.items():
            best.add_row(label, f"{accuracy:.3f}", Text(architecture))
        return Group(lines, best) if snapshot.best else Group(lines)
