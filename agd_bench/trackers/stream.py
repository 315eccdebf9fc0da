"""Pass the trials of a run to a tracker while it runs.

Trials that ended without this stream, because its driver was killed or results were reused, are written when the next one opens or this one
closes. Trackers skip what they have, so no point is written twice.
"""

from __future__ import annotations

import logging
import threading
import time
from pathlib import Path
from queue import SimpleQueue
from types import TracebackType
from typing import Self

from agd_bench.errors import AgdBenchError, InputError
from agd_bench.scheduling.progress import Event, Snapshot
from agd_bench.scheduling.resources import notices
from agd_bench.store import Results, load_results, stored_sweep
from agd_bench.trackers.tracked import TrackedTrial, Tracker, tracked_result, tracked_results

log = logging.getLogger(__name__)


def write_all(tracker: Tracker, results: Results) -> int:
    """Write every trial of a run that was executed and has ended; return their number.

    Raises:
        InputError: one cannot be written.
    """
    trials = list(tracked_results(results))
    for trial in trials:
        try:
            tracker.write(trial)
        except OSError as error:
            raise InputError(f"trial {trial.id} cannot be written: {error}; run the same command again") from None
    return len(trials)


class TrackerStream:
    """An observer that writes trials to a tracker as they end. Use it as a context manager around the run.

    Args:
        tracker: an open tracker.
        location: the run folder or the URL of its database. It need not exist yet.

    Raises:
        InputError: on entering, trials of an earlier driver cannot be written.
    """

    def __init__(self, tracker: Tracker, location: Path | str) -> None:
        self._tracker, self._location = tracker, location
        self._ended: SimpleQueue[TrackedTrial | None] = SimpleQueue()
        self._over, self._fault = False, ""
        # A server that is slow or away must not hold up the driver.
        self._thread = threading.Thread(target=self._write_ended, name="agd-bench tracker", daemon=True)

    def __enter__(self) -> Self:
        self._catch_up()
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        # An interrupted driver ends at once; the next one writes what is missing.
        self._over = error is not None
        self._ended.put(None)
        self._thread.join()
        if error is None:
            try:
                self._catch_up()
                self._fault = ""
            except AgdBenchError as late:
                self._fault = str(late)
        if self._fault:
            notices.warning("the tracker is incomplete: %s; the results themselves are stored", self._fault)

    def __call__(self, event: Event | None, snapshot: Snapshot) -> None:
        """Queue a trial that ended."""
        if event is not None and event.kind == "ended" and event.result is not None:
            trial = tracked_result(event.trial, event.attempt, event.result, time.time())
            if trial is not None:
                self._ended.put(trial)

    def _catch_up(self) -> None:
        if stored_sweep(self._location) is not None:
            write_all(self._tracker, load_results(self._location))

    def _write_ended(self) -> None:
        while (trial := self._ended.get()) is not None and not self._over:
            try:
                self._tracker.write(trial)
            # Whatever a tracker raises, the run goes on.
            except Exception as error:
                if not self._fault:
                    log.warning("trial %s cannot be written to the tracker: %s", trial.id, error)
                self._fault = f"trial {trial.id} cannot be written: {error}"
