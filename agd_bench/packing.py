"""Several trials in one set of kernels: their results are those of `trial.run_trial`, to rounding, and their seconds are shared.

Trials of one architecture that differ in seeds or hyperparameters alone go through their epochs side by side. Whether that computes the
same and pays is tried on their first batches; where it does not, they run one after the other. A trial that ends early leaves the rest
to go on. What they do together is charged in equal parts, so that the sum is what the pack took.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial

from agd_bench import cost
from agd_bench.errors import Diverged
from agd_bench.records import Trial, TrialResult
from agd_bench.training import loop, replicas
from agd_bench.training.concurrency import own_surroundings
from agd_bench.trial import Attempt, Workplace, ending, run_trial


@dataclass(frozen=True)
class Member:
    """One trial of a pack.

    Attributes:
        trial: what to train.
        attempt: its number, from 1.
        seconds_left: until its deadline; null: none.
    """

    trial: Trial
    attempt: int = 1
    seconds_left: float | None = None


def run_replicas(members: Sequence[Member], workplace: Workplace, least_gain: float | None = None) -> list[TrialResult]:
    """Run one attempt at each of several trials, together where that pays.

    Args:
        members: trials of equal `kin`.
        workplace: data, plug-ins, device and checkpoints.
        least_gain: how many times as fast as one after the other a pack must be, by a short measurement; 0: whatever it is;
            null: `replicas.LEAST_GAIN`.

    Returns:
        Their results, in the same order.

    Raises:
        OutOfMemory: the device's memory did not suffice for all of them.
        InputError: a plug-in or a data set cannot be loaded.
        StorageFullError: no space for a checkpoint.
        ExecutorError: the device asked for does not exist.
    """
    if len({member.trial.kin for member in members}) > 1:
        raise ValueError("trials of a pack may differ in seeds and hyperparameters alone")
    attempts = [Attempt(member.trial, workplace, member.attempt, member.seconds_left) for member in members]
    results: dict[str, TrialResult] = {}
    with own_surroundings(workplace.threads):
        ready = []
        for attempt in attempts:
            attempt.charged = 0.0
            with _charged([attempt]):
                status, reason = ending(attempt.begin)
            if status == "done":
                ready.append(attempt)
            else:
                results[attempt.trial.id] = attempt.result(status, reason, None)
        with _charged(ready):
            pack = _pack_of(ready, replicas.LEAST_GAIN if least_gain is None else least_gain)
        if pack is None:
            for attempt in ready:
                results[attempt.trial.id] = _alone(attempt)
        else:
            results |= _together(ready, pack)
    return [results[member.trial.id] for member in members]


@contextmanager
def _charged(attempts: Sequence[Attempt]) -> Iterator[None]:
    """Charge what is done within the `with` to some attempts in equal parts."""
    begun = time.perf_counter()
    try:
        yield
    finally:
        for attempt in attempts:
            attempt.charged = (attempt.charged or 0.0) + (time.perf_counter() - begun) / len(attempts)


def _pack_of(ready: Sequence[Attempt], least_gain: float) -> replicas.Pack | None:
    """The trials' pack, where there are several in the same state, it computes what they compute alone, and it pays."""
    if len(ready) < 2 or len({len(attempt.curve) for attempt in ready}) > 1 or len(ready[0].curve) >= ready[0].trial.epochs:
        return None
    for attempt in ready:
        attempt.fit.network.train()
    first = ready[0]
    tried = replicas.streams(first.splits.train, first.trial.batch_size, _seeds(ready, 1), first.trial.augment)
    return replicas.try_pack([attempt.fit for attempt in ready], next(tried), least_gain)[0]


def _seeds(attempts: Sequence[Attempt], epoch: int) -> list[int]:
    return [loop.seed_of_epoch(attempt.trial.seed, epoch) for attempt in attempts]


def _alone(attempt: Attempt) -> TrialResult:
    """One of the trials by itself, to its end."""
    meter = cost.EnergyMeter(attempt.device, attempt.workplace.exclusive)

    def rest() -> None:
        attempt.train()
        attempt.finish()

    with _charged([attempt]):
        status, reason = ending(rest)
    return attempt.result(status, reason, meter.stop())


def _together(attempts: list[Attempt], pack: replicas.Pack) -> dict[str, TrialResult]:
    """All epochs, side by side; each trial's result by its id."""
    results: dict[str, TrialResult] = {}
    trial = attempts[0].trial
    for attempt in attempts:
        attempt.replicas = len(attempts)
    for epoch in range(len(attempts[0].curve) + 1, trial.epochs + 1):
        told: list[tuple[float, float]] = []
        begun = time.perf_counter()
        with _charged(attempts):
            status, reason = ending(partial(_train_epoch, attempts, pack, epoch, told))
        seconds = (time.perf_counter() - begun) / len(attempts)
        if status == "failed":  # one of them is at fault, and nobody knows which
            return results | {attempt.trial.id: _afresh(attempt) for attempt in attempts}
        if status != "done":
            return results | {attempt.trial.id: attempt.result(status, reason, None) for attempt in attempts}
        ended = {
            attempt.trial.id: result
            for attempt, (loss, accuracy) in zip(attempts, told, strict=True)
            if (result := _ended(attempt, partial(_conclude, attempt, epoch, loss, accuracy, seconds))) is not None
        }
        results |= ended
        if ended:
            attempts = [attempt for attempt in attempts if attempt.trial.id not in ended]
            pack = replicas.Pack([attempt.fit for attempt in attempts]) if attempts else pack
        if not attempts:
            break
    for attempt in attempts:
        results[attempt.trial.id] = _ended(attempt, attempt.finish) or attempt.result("done", "", None)
    return results


def _train_epoch(attempts: Sequence[Attempt], pack: replicas.Pack, epoch: int, told: list[tuple[float, float]]) -> None:
    trial, train = attempts[0].trial, attempts[0].splits.train
    told += replicas.train_epoch(pack, train, trial.batch_size, _seeds(attempts, epoch), trial.augment)


def _ended(attempt: Attempt, work: Callable[[], None]) -> TrialResult | None:
    """Do some work of one trial; its result if that ended it."""
    with _charged([attempt]):
        status, reason = ending(work)
    return None if status == "done" else attempt.result(status, reason, None)


def _afresh(attempt: Attempt) -> TrialResult:
    """One of the trials from its checkpoint or its beginning; what it was charged so far stays charged."""
    left = None if attempt.stop_at is None else attempt.stop_at - time.monotonic()
    result = run_trial(attempt.trial, attempt.workplace, attempt.attempt, left)
    return result.model_copy(update={"total_seconds": result.total_seconds + (attempt.charged or 0.0)})


def _conclude(attempt: Attempt, epoch: int, loss: float, accuracy: float, seconds: float) -> None:
    """Evaluate one trial after an epoch, and note what it came to."""
    if not math.isfinite(loss):
        raise Diverged("the training loss is not finite")
    attempt.take(loop.conclude(attempt.fit, attempt.splits.val, epoch, loss, accuracy, attempt.train_seconds + seconds))
