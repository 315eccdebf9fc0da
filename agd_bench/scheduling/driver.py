"""The driver of a run: send ready trials, record results, retry lost attempts, and end attempts that hang.

All decisions about retries are made here.
"""

from __future__ import annotations

import itertools
import logging
import shutil
import time
from collections.abc import Sequence
from pathlib import Path

from agd_bench.errors import AgdBenchError, EnvironmentFault, ExecutorError
from agd_bench.records import Plan, Status, Trial, TrialResult
from agd_bench.scheduling.deadlines import Deadlines
from agd_bench.scheduling.executors.protocol import Device, Executor, Outcome, Task
from agd_bench.scheduling.gpu_sharing import Sharing
from agd_bench.scheduling.health import MOST_IN_A_ROW, Health
from agd_bench.scheduling.in_flight import InFlight, Running
from agd_bench.scheduling.progress import Event, Meter, Observer
from agd_bench.scheduling.queue import Queue, Tuner
from agd_bench.scheduling.resources import TIMED_ARCHITECTURES
from agd_bench.store import OUT_OF_MEMORY, Store

TICK_SECONDS = 0.5
GRACE_SECONDS = 30.0
"""A worker ends a trial at its deadline by itself; it is considered hung if it has not reported this long afterwards."""
OUT_OF_TIME = "the time limit of the run was reached while it ran"
UNNEEDED = "not needed by adaptive seeds: the order of its architecture relative to all others was already decided"

log = logging.getLogger(__name__)


class Run:
    """One run in progress. Call `drive` once, and close the executor afterwards.

    Args:
        plan: all trials.
        store: store opened for this plan.
        executor: runs the attempts.
        tuner: proposes hyperparameters.
        observer: receives every event, and the progress about twice per second.
        checkpoints: folder of the trials' checkpoints; those of ended trials are removed. None: no checkpoints.
        grace_seconds: time after its deadline at which an attempt without a report is ended by force.
        stop_at: `time.monotonic()` at which the run ends even if trials remain; None: no limit.
        timed: number of architectures whose first trials use a shared device exclusively.
    """

    def __init__(
        self,
        plan: Plan,
        store: Store,
        executor: Executor,
        tuner: Tuner,
        observer: Observer | None = None,
        checkpoints: Path | None = None,
        grace_seconds: float = GRACE_SECONDS,
        stop_at: float | None = None,
        timed: int = TIMED_ARCHITECTURES,
    ) -> None:
        standings = store.standings()
        pruned = [study for study in plan.studies if study.pruner != "none"]
        # Only pruners read curves, and loading the curves of a large run takes long.
        curves = store.curves(trial.id for study in pruned for part in study.rounds for trial in part)
        self._plan, self._store, self._executor, self._observer = plan, store, executor, observer
        self._checkpoints, self._grace = checkpoints, grace_seconds
        self._stop_at, self._closing = stop_at, False
        self._queue = Queue(plan, tuner, standings, curves)
        self._samplers = {study.key: tuner.sampler(study) for study in plan.studies}
        self._deadlines = Deadlines(plan, standings)
        self._meter = Meter(plan, standings)
        self._running = InFlight()
        self._health = Health(plan.all_trials)
        self._faults: dict[str, str] = {}
        self._elsewhere: list[Trial] = []
        self._looked_at = float("-inf")
        self._sharing = Sharing(plan, timed)
        self._held: list[Trial] = []
        self._alone: list[Trial] = []
        self._refreshed = False
        self._stop: AgdBenchError | None = None
        self._events: list[Event] = []

    def drive(self) -> None:
        """Drive until every trial has ended or the time is up.

        Near the end, no attempt is started that would neither finish in time nor leave a checkpoint. Attempts still running at the end are
        lost.

        Raises:
            KeyboardInterrupt: passed on; running attempts are recorded as lost and will be repeated.
            AgdBenchError: the run cannot continue: the store cannot be written, there are no workers, or the installation is broken.
        """
        outcomes: list[Outcome] = []
        try:
            while self._queue.unfinished:
                self._step(outcomes)
                over = self._is_over()
                outcomes = self._executor.wait(0.0 if over else TICK_SECONDS)
                if over:
                    self._finish(outcomes)
                    break
        # Ctrl-C too; otherwise the store would list attempts as running that no longer are.
        except BaseException as error:
            self._abandon(
                "the driver was interrupted" if isinstance(error, KeyboardInterrupt) else f"the driver stopped ({type(error).__name__})"
            )
            raise

    def _step(self, outcomes: Sequence[Outcome]) -> None:
        """Record returned results and trials to send in one commit; only then notify the observer and send."""
        # One transaction: after a crash, either the whole step is on disk or none of it.
        with self._store.together():
            for outcome in outcomes:
                self._note(outcome)
            self._end_overdue()
            # Before anything is assigned, because trials that end here can make others ready.
            self._settle()
            sendings = [] if self._stop else self._assign()
        # After the commit and before sending: a crash leaves no event and no attempt unknown to the store.
        self._publish()
        if self._stop:
            raise self._stop
        for worker, task in sendings:
            self._executor.submit(worker, task)

    def _finish(self, outcomes: Sequence[Outcome]) -> None:
        """End the run at its time limit: keep results that just arrived, and end the rest."""
        # First, so the step below sends nothing more.
        self._closing = True
        self._step(outcomes)
        # Not held against the trials, which the next run repeats.
        self._abandon(OUT_OF_TIME)
        self._publish()

    def _is_over(self) -> bool:
        """Whether the time is up, or too short to start any remaining trial."""
        if self._stop_at is None:
            return False
        return time.monotonic() >= self._stop_at or (self._closing and not self._running)

    # -------------------------------------------------------------------------------------------------- send

    def _assign(self) -> list[tuple[str, Task]]:
        """Assign trials to idle workers; a trial that needs exclusive use of the executor or its device waits until it is empty."""
        sendings: list[tuple[str, Task]] = []
        for worker in self._executor.idle:
            # An attempt repeated after running out of memory uses the whole executor exclusively.
            if self._closing or self._running.is_reserved():
                break
            device = self._executor.device_of(worker)
            if not self._has_room(device):
                continue
            if self._held:
                # Held until a device was empty, which `_has_room` has just confirmed.
                sendings.append((worker, self._start(self._held.pop(0), worker)))
                continue
            trial = self._next(worker)
            if trial is not None and self._sharing.is_timed(trial, device) and self._running.on(device):
                # Its seconds must be comparable, but others still run here: no device accepts more until it has one to itself.
                self._held.append(trial)
            elif trial is not None:
                sendings.append((worker, self._start(trial, worker)))
            # No trial for this worker means none for any worker, unless the waiting trials only avoid its node.
            elif not self._elsewhere:
                break
        return sendings + self._assign_alone() if self._alone else sendings

    def _next(self, worker: str) -> Trial | None:
        """The next trial for a worker; None if there is none for it now."""
        node, nodes = self._executor.node_of(worker), self._executor.nodes
        # Before the queue, because it failed on another node and would otherwise wait until the queue is empty.
        for trial in self._elsewhere:
            if not self._health.avoids(trial, node, nodes):
                self._elsewhere.remove(trial)
                return trial
        # While a trial waits to run alone, take nothing new; otherwise the executor would never be empty.
        while not self._alone and not self._closing and (taken := self._queue.take()) is not None:
            if not self._would_end_in_time(taken):
                self._queue.put_back(taken)
                self._closing = True
            elif self._is_to_be_sent(taken):
                if not self._health.avoids(taken, node, nodes):
                    return taken
                self._elsewhere.append(taken)
        return None

    def _has_room(self, device: Device) -> bool:
        """Whether another attempt may start on the device; a waiting trial of the timing lane needs it empty."""
        at_work = self._running.on(device)
        if self._held or any(running.exclusive for running in at_work):
            return not at_work
        return len(at_work) < self._sharing.number(device)

    def _slots(self) -> int:
        """Number of concurrent attempts, for the estimate of the remaining time; on shared devices, the current number."""
        # Either all devices of a run are shared or none, so the first attempt is representative.
        shared = any(running.device.slots > 1 for running in itertools.islice(self._running, 1))
        return max(1, len(self._running)) if shared else self._executor.slots

    def _assign_alone(self) -> list[tuple[str, Task]]:
        """The first trial that ran out of memory, on fresh workers, once nothing else runs."""
        if self._running:
            return []
        # Only once: fresh workers take several ticks to start, and another refresh would end them.
        if not self._refreshed:
            self._executor.refresh()
            self._refreshed = True
        if not self._executor.idle:
            return []
        self._refreshed = False
        worker = self._executor.idle[0]
        return [(worker, self._start(self._alone.pop(0), worker))]

    def _is_to_be_sent(self, trial: Trial) -> bool:
        """Whether to send the trial now; otherwise it is given up, or kept until it can run alone."""
        standing = self._queue.standings[trial.id]
        # It ran out of memory again, alone on fresh workers, so it does not fit.
        if standing.out_of_memory > 1:
            self._give_up(trial, "out of memory, even when running alone")
        elif standing.losses >= self._plan.sweep.max_attempts:
            self._give_up(trial, f"lost {standing.losses} times together with its worker; its attempts state the reasons")
        # After a fault of the environment, try other nodes until `health` decides that the trial is at fault.
        elif (fault := self._faults.get(trial.id)) is not None and self._health.is_own(trial, self._executor.nodes):
            self._give_up(trial, fault)
        elif standing.out_of_memory:
            self._alone.append(trial)
        else:
            return True
        return False

    def _would_end_in_time(self, trial: Trial) -> bool:
        """Whether an attempt started now is likely to finish, or to leave a checkpoint, before the run ends."""
        if self._stop_at is None:
            return True
        left, typical = self._stop_at - time.monotonic(), self._deadlines.typical(trial)
        # A long attempt leaves a checkpoint for the next run; one of unknown length gets a chance.
        if typical is None or typical > self._plan.sweep.checkpoint_seconds:
            return left > 0
        return left >= typical

    def _start(self, trial: Trial, worker: str) -> Task:
        standing = self._queue.standings[trial.id]
        device = self._executor.device_of(worker)
        number = self._sharing.number(device)
        attempt = standing.attempts + 1
        full = len(self._running.on(device)) + 1 >= number
        exclusive = device.slots > 1 and (number == 1 or self._sharing.is_timed(trial, device) or standing.out_of_memory > 0)
        judged = 1 if exclusive else number if full else 0  # while the device fills up, attempts share it with fewer than `number`
        # With others on the device, each may take as many times longer; their number may grow while it trains.
        sharers = 1 if exclusive else device.slots
        deadline = sharers * self._deadlines.seconds(trial)
        self._store.start(trial, attempt, worker, deadline)
        self._queue.standings[trial.id] = standing._replace(attempts=attempt)
        node, alone = self._executor.node_of(worker), standing.out_of_memory > 0
        self._running.add(Running(trial, attempt, time.monotonic(), deadline, node, device, judged, exclusive, sharers, alone))
        self._meter.started(trial)
        self._tell(Event("retried" if attempt > 1 else "started", trial, attempt, message="begun again" if attempt > 1 else "", node=node))
        # On a device that is not shared, the executor's workplace knows whether the trial owns all of it.
        return Task(trial, attempt, deadline, exclusive=exclusive if device.slots > 1 else None)

    # ------------------------------------------------------------------------------------------------ what came back

    def _note(self, outcome: Outcome) -> None:
        running = self._running.get(outcome.trial_id)
        # A late report must not be mistaken for that of the current attempt.
        if running is None or running.attempt != outcome.attempt:
            log.warning("trial %s: attempt %d reported after it was given up", outcome.trial_id, outcome.attempt)
            return
        if outcome.kind == "fault":
            self._blame(running, outcome)
            return
        if outcome.result is None:
            self._lose(running, running.ended_because or outcome.message, out_of_memory=outcome.kind == "out of memory")
            # With one node there is no comparison, and an attempt ended by force is no evidence against its node.
            others = len(self._executor.nodes) > 1
            if outcome.kind == "lost" and others and not running.ended_because and self._health.note_failure(running.trial, running.node):
                self._set_aside(running.node, running.trial, outcome)
            return
        # If stored, the wrong row would go unnoticed.
        if outcome.result.trial_id != outcome.trial_id:
            raise ExecutorError(f"trial {outcome.trial_id}: its worker returned a result of trial {outcome.result.trial_id}")
        # An exception or divergence of the algorithm is a result too, and is never repeated.
        self._store.finish(self._with_sampler(running.trial, outcome.result), running.attempt, outcome.result.total_seconds)
        self._running.remove(running)
        self._meter.stopped(running.trial)
        self._health.note_result(running.trial, running.node)
        self._sharing.note(running.device, running.number, outcome.result)
        if outcome.result.status == "done" and running.attempt == 1:
            self._deadlines.note(running.trial, outcome.result.total_seconds, outcome.result.forward_flops)
        self._ended(running.trial, running.attempt, outcome.result, running.node)

    def _with_sampler(self, trial: Trial, result: TrialResult) -> TrialResult:
        """A tuning trial's result with the tuner in its provenance."""
        if trial.purpose == "final" or not result.provenance:
            return result
        return result.model_copy(update={"provenance": {**result.provenance, "sampler": self._samplers[str(trial.study)]}})

    def _blame(self, running: Running, outcome: Outcome) -> None:
        """Handle a fault of the environment: the trial is repeated on another node, and a node that fails repeatedly is no longer used."""
        trial, node = running.trial, running.node
        if not isinstance(outcome.error, EnvironmentFault) and len(self._executor.nodes) == 1:
            # Whatever is missing here is missing for every trial, and there is no other node.
            self._stop = outcome.error or ExecutorError(outcome.message)
            return
        # Kept, because it becomes the reason of the trial if the trial turns out to be at fault.
        self._faults[trial.id] = outcome.message
        # Not counted as a loss, because `health` counts faults itself.
        self._lose(running, outcome.message, blamed=False)
        if self._health.note_failure(trial, node):
            self._set_aside(node, trial, outcome)

    def _set_aside(self, node: str, trial: Trial, outcome: Outcome) -> None:
        said = f"{node} is no longer used, because {MOST_IN_A_ROW} trials in a row failed on it; last error: {outcome.message}"
        self._tell(Event("set aside", trial, outcome.attempt, message=said, node=node))
        self._executor.set_aside(node)
        self._health.forget(node)
        if not self._executor.nodes:
            self._stop = ExecutorError(f"{MOST_IN_A_ROW} trials in a row failed on {node}, and no other node is left: {outcome.message}")

    def _lose(self, running: Running, reason: str, out_of_memory: bool = False, blamed: bool = True) -> None:
        trial, seconds = running.trial, time.monotonic() - running.since
        if out_of_memory:
            self._sharing.starved(running.device)
            self._store.lose(trial.id, running.attempt, seconds, reason, outcome=OUT_OF_MEMORY)
        else:
            self._store.lose(trial.id, running.attempt, seconds, reason, blamed=blamed)
        self._running.remove(running)
        self._meter.stopped(trial)
        standing = self._queue.standings[trial.id]
        self._queue.standings[trial.id] = standing._replace(
            # Out of memory has its own limit.
            losses=standing.losses + (blamed and not out_of_memory),
            out_of_memory=standing.out_of_memory + out_of_memory,
            # Repeated with the same values, because a round has one proposal.
            proposal=trial.proposal,
        )
        self._tell(Event("lost", trial, running.attempt, message=reason, node=running.node))
        self._queue.put_back(trial)

    def _end_overdue(self) -> None:
        """End attempts that do not report after their deadline, which is recomputed from current knowledge of their kind."""
        now = time.monotonic()
        if now < self._looked_at + TICK_SECONDS:
            return
        self._looked_at = now
        for running in self._running:
            # A training may wait for an epoch of each other on its device; their waits do not count for their own clocks, but do here.
            allowed = max(self._allowed(other) for other in self._running.on(running.device))
            if not running.ended_because and now - running.since > allowed + self._grace:
                # It is lost only when the executor reports it: an attempt that cannot be ended must not run twice at once.
                running.ended_because = f"no report {self._grace:.0f} s after its deadline of {allowed:.0f} s; ended by force"
                self._executor.kill(running.trial.id)

    def _allowed(self, running: Running) -> float:
        """Seconds allowed for an attempt, recomputed: one started with the default of a day may by now be known to take minutes."""
        return min(running.deadline_seconds, running.sharers * self._deadlines.seconds(running.trial))

    # ------------------------------------------------------------------------------------------------------- endings

    def _give_up(self, trial: Trial, reason: str, status: Status = "failed") -> None:
        self._store.settle(trial.id, status, reason)
        self._ended(trial, self._queue.standings[trial.id].attempts, TrialResult(trial_id=trial.id, status=status, reason=reason))

    def _ended(self, trial: Trial, attempt: int, result: TrialResult, node: str = "") -> None:
        self._queue.end(trial, result)
        self._meter.ended(trial, result)
        self._tell(Event("ended", trial, attempt, result, result.reason, node))

    def _settle(self) -> None:
        """Settle trials that cannot or need not be trained; the former can complete a round of adaptive seeds."""
        # A loop, because giving up one trial can complete a round of adaptive seeds and make others unneeded.
        while self._queue.hopeless or self._queue.unneeded or self._queue.represented:
            if self._queue.hopeless:
                trial = self._queue.hopeless.popleft()
                status, reason = self._queue.fate(trial)
                self._give_up(trial, reason, status)
            elif self._queue.unneeded:
                self._give_up(self._queue.unneeded.popleft(), UNNEEDED, "unneeded")
            else:
                trial = self._queue.represented.popleft()
                self._ended(trial, 0, self._store.pass_on(trial))

    def _abandon(self, reason: str) -> None:
        """Record running attempts as lost and charged, without counting against the trials; closing the executor ends them."""
        now = time.monotonic()
        try:
            with self._store.together():
                for running in self._running:
                    self._store.lose(running.trial.id, running.attempt, now - running.since, reason, blamed=False)
        except Exception as error:
            # The store itself may have failed. Opening the run again also closes these attempts.
            log.warning("%d attempts could not be closed: %s", len(self._running), error)
        for running in list(self._running):
            self._meter.stopped(running.trial)
            self._running.remove(running)

    # ----------------------------------------------------------------------------------------------------- telling

    def _tell(self, event: Event) -> None:
        """Record an event, to be announced once it is on disk."""
        self._events.append(event)

    def _publish(self) -> None:
        """After a commit, log events, notify the observer, and remove the checkpoints of ended trials."""
        events, self._events = self._events, []
        snapshot = None if self._observer is None else self._meter.snapshot(self._slots())
        for event in events:
            level = logging.INFO if event.kind in ("started", "ended") else logging.WARNING
            status = event.result.status if event.result else ""
            log.log(level, "%s %s attempt %d %s %s", event.kind, event.trial.id, event.attempt, status, event.message)
            if event.kind == "ended" and self._checkpoints is not None:
                # Only now: until the commit, the checkpoint is the only record of the training.
                shutil.rmtree(self._checkpoints / event.trial.id, ignore_errors=True)
        if self._observer is not None and snapshot is not None:
            # None: a call without an event, so the remaining time is updated between events.
            for told in (*events, None):
                self._observer(told, snapshot)
