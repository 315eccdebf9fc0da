"""The loop that drives a run: send what is ready, note what comes back, retry what was lost, end what hangs.

Retries are decided here and nowhere else.
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
"""A worker ends a trial at its deadline by itself; only one that has not reported so long after it is taken to hang."""
OUT_OF_TIME = "the time limit of the run was reached while it ran"
UNNEEDED = "adaptive seeds did without it: no order that its architecture takes part in was open any more"

log = logging.getLogger(__name__)


class Run:
    """One run under way. Call `drive` once, and close the executor afterwards.

    Args:
        plan: all trials.
        store: open for this plan.
        executor: runs the attempts.
        tuner: proposes hyperparameters.
        observer: receives every event, and the progress about twice a second.
        checkpoints: folder of the trials' checkpoints, cleared of those of ended trials; None: none.
        grace_seconds: how long after its deadline a silent attempt is ended by force.
        stop_at: `time.monotonic()` at which the run ends, whatever is left to do; None: when nothing is.
        timed: architectures whose first trials have a shared device to themselves.
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
        # Only pruners read curves, and those of a large run take long to load.
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
        """Drive until every trial has ended, or the time is up.

        Near its end no attempt is begun that would neither end in time nor leave a checkpoint. Attempts under way at the end are lost.

        Raises:
            KeyboardInterrupt: as it came; attempts under way are noted as lost and will be begun again.
            AgdBenchError: what stops a run: a store that cannot be written, no workers, a broken installation.
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
        # Ctrl-C too, or the store would show attempts as running that nothing runs.
        except BaseException as error:
            self._abandon(
                "the driver was interrupted" if isinstance(error, KeyboardInterrupt) else f"the driver stopped ({type(error).__name__})"
            )
            raise

    def _step(self, outcomes: Sequence[Outcome]) -> None:
        """Note what came back and what is to be sent, in one commit; only then tell and send."""
        # One transaction: after a crash, all of a step is on the disk or none of it.
        with self._store.together():
            for outcome in outcomes:
                self._note(outcome)
            self._end_overdue()
            # Before anything is assigned, as what it ends can make other trials ready.
            self._settle()
            sendings = [] if self._stop else self._assign()
        # After the commit and before the sending: a crash leaves no event, and no attempt, that the store does not know.
        self._publish()
        if self._stop:
            raise self._stop
        for worker, task in sendings:
            self._executor.submit(worker, task)

    def _finish(self, outcomes: Sequence[Outcome]) -> None:
        """The time is up: keep what came back at the last moment, and end the rest."""
        # First, so that the step below sends nothing more.
        self._closing = True
        self._step(outcomes)
        # Without blame: the trials did nothing wrong, and the next run begins them again.
        self._abandon(OUT_OF_TIME)
        self._publish()

    def _is_over(self) -> bool:
        """Whether the time is up, or too short for anything that could still be begun."""
        if self._stop_at is None:
            return False
        return time.monotonic() >= self._stop_at or (self._closing and not self._running)

    # -------------------------------------------------------------------------------------------------- send

    def _assign(self) -> list[tuple[str, Task]]:
        """Give idle workers something to do; a trial that needs the executor, or its device, for itself waits until it is empty."""
        sendings: list[tuple[str, Task]] = []
        for worker in self._executor.idle:
            # An attempt that is repeated for lack of memory has the whole executor to itself.
            if self._closing or self._running.is_reserved():
                break
            device = self._executor.device_of(worker)
            if not self._has_room(device):
                continue
            if self._held:
                # Held until a device was empty, which `_has_room` has just found.
                sendings.append((worker, self._start(self._held.pop(0), worker)))
                continue
            trial = self._next(worker)
            if trial is not None and self._sharing.is_timed(trial, device) and self._running.on(device):
                # Its seconds are to compare, and others still compute here: no device takes more until it has one to itself.
                self._held.append(trial)
            elif trial is not None:
                sendings.append((worker, self._start(trial, worker)))
            # Nothing for this worker means nothing for any, unless what waits only avoids its node.
            elif not self._elsewhere:
                break
        return sendings + self._assign_alone() if self._alone else sendings

    def _next(self, worker: str) -> Trial | None:
        """The next trial for a worker; None: there is none for it now."""
        node, nodes = self._executor.node_of(worker), self._executor.nodes
        # Before the queue: it failed on another node, and would otherwise wait until the queue is empty.
        for trial in self._elsewhere:
            if not self._health.avoids(trial, node, nodes):
                self._elsewhere.remove(trial)
                return trial
        # While a trial waits to run alone nothing new is taken, or the executor would never be empty.
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
        """Whether another attempt may begin on the device; one of the timing lane that waits needs it empty."""
        at_work = self._running.on(device)
        if self._held or any(running.exclusive for running in at_work):
            return not at_work
        return len(at_work) < self._sharing.number(device)

    def _slots(self) -> int:
        """Attempts at a time, for the estimate of the time left: on shared devices as many as there are now."""
        # Devices of a run are shared all or none, so the first attempt speaks for all.
        shared = any(running.device.slots > 1 for running in itertools.islice(self._running, 1))
        return max(1, len(self._running)) if shared else self._executor.slots

    def _assign_alone(self) -> list[tuple[str, Task]]:
        """The first trial that memory did not suffice for, on fresh workers, once nothing else runs."""
        if self._running:
            return []
        # Only once: fresh workers take several ticks to come up, and another refresh would end them.
        if not self._refreshed:
            self._executor.refresh()
            self._refreshed = True
        if not self._executor.idle:
            return []
        self._refreshed = False
        worker = self._executor.idle[0]
        return [(worker, self._start(self._alone.pop(0), worker))]

    def _is_to_be_sent(self, trial: Trial) -> bool:
        """Whether the trial is to be sent now; else it is given up, or kept until it can run alone."""
        standing = self._queue.standings[trial.id]
        # It had a second attempt, alone on fresh workers: it does not fit.
        if standing.out_of_memory > 1:
            self._give_up(trial, "out of memory, also when it had the executor for itself")
        elif standing.losses >= self._plan.sweep.max_attempts:
            self._give_up(trial, f"lost {standing.losses} times with the worker that ran it; see its attempts for the reasons")
        # A fault of the environment is tried on other nodes until `health` says that it is the trial's own.
        elif (fault := self._faults.get(trial.id)) is not None and self._health.is_own(trial, self._executor.nodes):
            self._give_up(trial, fault)
        elif standing.out_of_memory:
            self._alone.append(trial)
        else:
            return True
        return False

    def _would_end_in_time(self, trial: Trial) -> bool:
        """Whether an attempt that is begun now is likely to end, or to leave a checkpoint, before the run does."""
        if self._stop_at is None:
            return True
        left, typical = self._stop_at - time.monotonic(), self._deadlines.typical(trial)
        # A long one leaves a checkpoint, from which the next run goes on; an unknown one gets its chance.
        if typical is None or typical > self._plan.sweep.checkpoint_seconds:
            return left > 0
        return left >= typical

    def _start(self, trial: Trial, worker: str) -> Task:
        standing = self._queue.standings[trial.id]
        device = self._executor.device_of(worker)
        number = self._sharing.number(device)
        attempt = standing.attempts + 1
        deadline = number * self._deadlines.seconds(trial)  # each that shares the device may take so many times as long as alone
        self._store.start(trial, attempt, worker, deadline)
        self._queue.standings[trial.id] = standing._replace(attempts=attempt)
        full = len(self._running.on(device)) + 1 >= number
        exclusive = device.slots > 1 and (number == 1 or self._sharing.is_timed(trial, device) or standing.out_of_memory > 0)
        judged = 1 if exclusive else number if full else 0  # while the device fills up, attempts have it easier than their number says
        node, alone = self._executor.node_of(worker), standing.out_of_memory > 0
        self._running.add(Running(trial, attempt, time.monotonic(), deadline, node, device, judged, exclusive, number, alone))
        self._meter.started(trial)
        self._tell(Event("retried" if attempt > 1 else "started", trial, attempt, message="begun again" if attempt > 1 else ""))
        # On a device that is not shared, the workplace of the executor knows whether all of it is the trial's.
        return Task(trial, attempt, deadline, exclusive=exclusive if device.slots > 1 else None)

    # ------------------------------------------------------------------------------------------------ what came back

    def _note(self, outcome: Outcome) -> None:
        running = self._running.get(outcome.trial_id)
        # A late report must not be taken for that of the attempt that runs now.
        if running is None or running.attempt != outcome.attempt:
            log.warning("trial %s: attempt %d reported after it was given up", outcome.trial_id, outcome.attempt)
            return
        if outcome.kind == "fault":
            self._blame(running, outcome)
            return
        if outcome.result is None:
            self._lose(running, running.ended_because or outcome.message, out_of_memory=outcome.kind == "out of memory")
            # With one node there is nothing to compare with, and what was ended by force says nothing against its node.
            others = len(self._executor.nodes) > 1
            if outcome.kind == "lost" and others and not running.ended_because and self._health.note_failure(running.trial, running.node):
                self._set_aside(running.node, running.trial, outcome)
            return
        # Stored, it would be a wrong row that nobody notices.
        if outcome.result.trial_id != outcome.trial_id:
            raise ExecutorError(f"trial {outcome.trial_id}: its worker returned a result of trial {outcome.result.trial_id}")
        # An exception or a divergence of the algorithm is a result too, and is never repeated.
        self._store.finish(self._with_sampler(running.trial, outcome.result), running.attempt, outcome.result.total_seconds)
        self._running.remove(running)
        self._meter.stopped(running.trial)
        self._health.note_result(running.trial, running.node)
        self._sharing.note(running.device, running.number, outcome.result)
        if outcome.result.status == "done" and running.attempt == 1:
            self._deadlines.note(running.trial, outcome.result.total_seconds, outcome.result.forward_flops)
        self._ended(running.trial, running.attempt, outcome.result)

    def _with_sampler(self, trial: Trial, result: TrialResult) -> TrialResult:
        """A tuning trial's result, with who proposed its values in its provenance."""
        if trial.purpose == "final" or not result.provenance:
            return result
        return result.model_copy(update={"provenance": {**result.provenance, "sampler": self._samplers[str(trial.study)]}})

    def _blame(self, running: Running, outcome: Outcome) -> None:
        """A fault of the environment is no result: the trial is begun again elsewhere, and a node that fails again and again is left."""
        trial, node = running.trial, running.node
        if not isinstance(outcome.error, EnvironmentFault) and len(self._executor.nodes) == 1:
            # What is missing here is missing for every other trial, and there is no other node.
            self._stop = outcome.error or ExecutorError(outcome.message)
            return
        # Kept, as it becomes the reason of the trial if the fault turns out to be its own.
        self._faults[trial.id] = outcome.message
        # Not blamed, as `health` counts faults by itself.
        self._lose(running, outcome.message, blamed=False)
        if self._health.note_failure(trial, node):
            self._set_aside(node, trial, outcome)

    def _set_aside(self, node: str, trial: Trial, outcome: Outcome) -> None:
        said = f"{node} is used no more, as {MOST_IN_A_ROW} trials failed on it in a row; the last said: {outcome.message}"
        self._tell(Event("set aside", trial, outcome.attempt, message=said))
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
            # Out of memory has a limit of its own.
            losses=standing.losses + (blamed and not out_of_memory),
            out_of_memory=standing.out_of_memory + out_of_memory,
            # Repeated with the same values: a round has one proposal.
            proposal=trial.proposal,
        )
        self._tell(Event("lost", trial, running.attempt, message=reason))
        self._queue.put_back(trial)

    def _end_overdue(self) -> None:
        """End attempts that outlived their deadline, by what is known of their kind by now, and do not answer."""
        now = time.monotonic()
        if now < self._looked_at + TICK_SECONDS:
            return
        self._looked_at = now
        for running in self._running:
            # By what is known now: an attempt begun with the deadline of a day may be known to take minutes.
            allowed = min(running.deadline_seconds, running.sharers * self._deadlines.seconds(running.trial))
            if not running.ended_because and now - running.since > allowed + self._grace:
                # It is lost when the executor says so: one that cannot be ended must not be begun again beside itself.
                running.ended_because = f"no answer {self._grace:.0f} s after its deadline of {allowed:.0f} s; ended by force"
                self._executor.kill(running.trial.id)

    # ------------------------------------------------------------------------------------------------------- endings

    def _give_up(self, trial: Trial, reason: str, status: Status = "failed") -> None:
        self._store.settle(trial.id, status, reason)
        self._ended(trial, self._queue.standings[trial.id].attempts, TrialResult(trial_id=trial.id, status=status, reason=reason))

    def _ended(self, trial: Trial, attempt: int, result: TrialResult) -> None:
        self._queue.end(trial, result)
        self._meter.ended(trial, result)
        self._tell(Event("ended", trial, attempt, result, result.reason))

    def _settle(self) -> None:
        """End what cannot be trained, and what need not be; the former can make a round of adaptive seeds end."""
        # A loop, as giving up one trial can end a round of adaptive seeds and make others unneeded.
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
        """Note what still runs as lost, charged, and not held against the trial; closing the executor ends it."""
        now = time.monotonic()
        try:
            with self._store.together():
                for running in self._running:
                    self._store.lose(running.trial.id, running.attempt, now - running.since, reason, blamed=False)
        except Exception as error:
            # The store may be what failed. Opening the run again closes these attempts all the same.
            log.warning("%d attempts could not be closed: %s", len(self._running), error)
        for running in list(self._running):
            self._meter.stopped(running.trial)
            self._running.remove(running)

    # ----------------------------------------------------------------------------------------------------- telling

    def _tell(self, event: Event) -> None:
        """Note an event, to be made known once what it says is on the disk."""
        self._events.append(event)

    def _publish(self) -> None:
        """After a commit: log and tell what happened, and remove the checkpoints of what ended."""
        events, self._events = self._events, []
        snapshot = None if self._observer is None else self._meter.snapshot(self._slots())
        for event in events:
            level = logging.INFO if event.kind in ("started", "ended") else logging.WARNING
            status = event.result.status if event.result else ""
            log.log(level, "%s %s attempt %d %s %s", event.kind, event.trial.id, event.attempt, status, event.message)
            if event.kind == "ended" and self._checkpoints is not None:
                # Only now: until the commit the checkpoint is all that there is of the training.
                shutil.rmtree(self._checkpoints / event.trial.id, ignore_errors=True)
        if self._observer is not None and snapshot is not None:
            # None: a call without an event, so that the time left moves on between events.
            for told in (*events, None):
                self._observer(told, snapshot)
