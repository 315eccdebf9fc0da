"""The live picture of a sweep: a few rich lines on a terminal, one plain line now and then elsewhere."""

from __future__ import annotations

import math
import sys
import time
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
"""Seconds between two lines where there is no terminal."""
RUNNING_SHOWN = 4


def duration(seconds: float | None) -> str:
    """Seconds as a person says them: `45 s`, `3 min 20 s`, `2 h 5 min`; `?` for null."""
    if seconds is None:
        return "?"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s" if whole < 600 else f"{round(whole / 60)} min"
    return f"{whole // 3600} h {whole % 3600 // 60} min"


def seconds_of(text: str) -> float:
    """Seconds from what a person writes: `90`, `90s`, `45m`, `8h`, `1.5h`.

    Raises:
        InputError: anything else, or no time at all.

    >>> [seconds_of(text) for text in ("90", "45m", "1.5h")]
    [90.0, 2700.0, 5400.0]
    """
    units = {"s": 1.0, "m": 60.0, "h": 3600.0}
    number, unit = (text[:-1], text[-1:]) if text[-1:] in units else (text, "s")
    try:
        seconds = float(number) * units[unit]
    except ValueError:
        seconds = math.nan
    if not 0 < seconds < math.inf:
        raise InputError(f"time {text!r}: give seconds, minutes or hours above 0, for example 600, 45m or 8h")
    return seconds


def _ended(snapshot: Snapshot) -> int:
    return snapshot.total - snapshot.counts.get("pending", 0) - snapshot.counts.get("running", 0)


def counts_line(snapshot: Snapshot) -> str:
    """How far the sweep is, in one line."""
    told = ("diverged", "failed", "refused", "pruned", "unneeded")
    outcomes = ", ".join(f"{snapshot.counts[status]} {status}" for status in told if snapshot.counts.get(status))
    parts = [f"{_ended(snapshot)} of {snapshot.total} trials", f"{snapshot.counts.get('running', 0)} running"]
    parts += [outcomes] if outcomes else []
    return ", ".join(parts) + f"; {duration(snapshot.elapsed_seconds)} so far, {duration(snapshot.remaining_seconds)} left"


def trouble(event: Event) -> str | None:
    """A line for an event that a person wants to see at once; null for the ordinary ones."""
    trial = event.trial
    what = f"{trial.algorithm_label} on {trial.architecture}, seed {trial.seed}"
    if event.kind == "set aside":
        return event.message
    if event.kind in ("lost", "retried"):
        return f"{event.kind}: {what}, attempt {event.attempt}: {event.message}"
    own = trial.representative is None
    if event.kind == "ended" and own and event.result is not None and event.result.status in ("failed", "diverged"):
        return f"{event.result.status}: {what}: {event.result.reason}"
    return None


class Display:
    """An observer of a run. Use it as a context manager; call it with an event (or null) and a snapshot.

    Args:
        quiet: say nothing at all.
    """

    def __init__(self, quiet: bool = False) -> None:
        self._console = Console(stderr=True)
        self._live = Live(console=self._console, refresh_per_second=4, transient=True) if self._console.is_terminal and not quiet else None
        self._quiet = quiet
        self._said, self._over = float("-inf"), False

    def __enter__(self) -> Self:
        if self._live is not None:
            self._live.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self._live is not None:
            self._live.stop()

    def __call__(self, event: Event | None, snapshot: Snapshot) -> None:
        """Show where the run is."""
        if self._quiet:
            return
        line = trouble(event) if event is not None else None
        if line:
            self._console.print(line, style="yellow", highlight=False, markup=False, soft_wrap=True)
        if self._live is not None:
            self._live.update(self._picture(snapshot))
        elif not self._over and (time.monotonic() - self._said >= PLAIN_SECONDS or _ended(snapshot) == snapshot.total):
            self._said, self._over = time.monotonic(), _ended(snapshot) == snapshot.total
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
