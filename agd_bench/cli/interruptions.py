"""Clean shutdown of commands that train, on Ctrl-C or a scheduler's SIGTERM."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

import typer

from agd_bench.cli.printing import warn

INTERRUPTED, TERMINATED = 130, 143
"""128 + the signal's number, as shells report it."""


@contextmanager
def resumable() -> Iterator[None]:
    """Context in which SIGTERM ends the work like Ctrl-C: attempts are closed, the lock is released, and one line is printed.

    Raises:
        typer.Exit: the work was interrupted (130) or terminated (143).
    """
    terminated = False

    def terminate(number: int, frame: FrameType | None) -> None:
        nonlocal terminated
        # A second signal must not interrupt closing the attempts.
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        # A variable, because Ray, while it waits, turns what a handler raises into a KeyboardInterrupt of its own.
        terminated = True
        raise KeyboardInterrupt

    # Only the main thread can set signal handlers.
    here = threading.current_thread() is threading.main_thread()
    before = signal.signal(signal.SIGTERM, terminate) if here else None
    try:
        yield
    except KeyboardInterrupt:
        how = "terminated" if terminated else "stopped"
        warn(f"\nagd-bench: {how}; finished trials are kept. Run the same command to resume.")
        raise typer.Exit(TERMINATED if terminated else INTERRUPTED) from None
    finally:
        if here:
            signal.signal(signal.SIGTERM, before)
