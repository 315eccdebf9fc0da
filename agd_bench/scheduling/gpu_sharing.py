"""How many attempts share a device: estimated from the memory of the first ones, then increased while throughput grows.

There are two lanes: in the timing lane an attempt uses a device exclusively, in the shared lane several share it. The provenance of an
attempt states its lane (`exclusive`).

This module does not access GPUs: facts about a device come from the executor, and the rest from results.
"""

from __future__ import annotations

from dataclasses import dataclass

from agd_bench.records import Plan, Trial, TrialResult
from agd_bench.scheduling.executors.protocol import Device
from agd_bench.scheduling.kinds import Comparison, comparison_of
from agd_bench.scheduling.resources import TIMED_ARCHITECTURES

HEADROOM = 1.25
"""Memory reserved beyond the peak of a trial's tensors, because the allocator fragments memory and networks differ."""
CONTEXT_BYTES = 600 * 2**20
"""GPU memory of each process's context and libraries before any tensor: 0.4 to 0.6 GB with recent drivers."""
# Drivers and other processes use some of the memory too.
USABLE = 0.95
GAIN = 1.05
"""A larger number is kept only if throughput grows by this factor; smaller gains are within timing noise and cost memory."""
ROUNDS = 2
"""Number of attempts per slot that must end before a number is evaluated."""


@dataclass
class _Level:
    """Knowledge about one device.

    Attributes:
        number: attempts that may currently share it.
        peak: largest device memory of a trial on it, in bytes; None: not measured.
        before: the previous number, and its work per second.
        settled: whether the number is final.
        work: FLOPs of the attempts that started and ended at this number if counted; otherwise their count.
        seconds: total seconds of these attempts.
        ended: number of these attempts.
    """

    number: int = 1
    peak: int | None = None
    before: tuple[int, float] | None = None
    settled: bool = False
    work: float = 0.0
    seconds: float = 0.0
    ended: int = 0


def capacity(device: Device, peak_bytes: int) -> int:
    """How many trials fit on a device at the same time, at least one.

    Args:
        device: the device with its memory.
        peak_bytes: largest device memory of a trial.
    """
    if device.memory_bytes is None:
        return device.slots
    fitting = int(USABLE * device.memory_bytes // (HEADROOM * peak_bytes + CONTEXT_BYTES))
    # One even if it seems not to fit: the trial then runs out of memory and reports it.
    return max(1, min(fitting, device.slots))


class Sharing:
    """Decides for each device whether another attempt may start there.

    Devices with one slot are not shared.

    Args:
        plan: all trials.
        timed: number of architectures per comparison group whose trials with the first seed are timed alone on a shared device.
    """

    def __init__(self, plan: Plan, timed: int = TIMED_ARCHITECTURES) -> None:
        first: dict[Comparison, dict[str, None]] = {}
        # The same architectures and seed for every algorithm, alone on a device, so their seconds are comparable.
        finals = [trial for trial in plan.all_trials if trial.purpose == "final" and trial.seed == plan.sweep.seeds[0]]
        for trial in finals:
            first.setdefault(comparison_of(trial), {})[trial.architecture] = None
        chosen = {group: set(list(architectures)[:timed]) for group, architectures in first.items()}
        self._timed = {trial.id for trial in finals if trial.architecture in chosen[comparison_of(trial)]}
        self._levels: dict[str, _Level] = {}

    def number(self, device: Device) -> int:
        """Number of attempts that may share the device now: one until the memory of a trial is known."""
        if device.slots == 1:
            return 1
        level = self._levels.setdefault(device.name, _Level())
        # The peak memory of the timing lane determines how many fit.
        return 1 if level.peak is None else min(level.number, capacity(device, level.peak))

    def is_timed(self, trial: Trial, device: Device) -> bool:
        """Whether a trial belongs to the timing lane of the device."""
        return device.slots > 1 and trial.id in self._timed

    def note(self, device: Device, number: int, result: TrialResult) -> None:
        """Record a successful attempt.

        Args:
            device: the device.
            number: how many shared the device since it started; 0: the device was still filling up, so it is no evidence about a number.
            result: its result.
        """
        if device.slots == 1 or result.status != "done":
            return
        level = self._levels.setdefault(device.name, _Level())
        # Without a measurement the need of the next one is unknown too; a device that reports none is filled to its slots.
        level.peak = max(level.peak or 0, result.peak_memory_bytes or 0)
        # Its seconds were measured while a different number shared the device.
        if number != level.number or level.settled:
            return
        # FLOPs rather than trials; otherwise a group of heavy trials would look like a slowdown.
        level.work += float(result.flops or 1)
        level.seconds += result.total_seconds
        level.ended += 1
        if level.ended >= ROUNDS * number and level.seconds > 0:
            # Seconds overlap: each of `number` attempts adds the same second, so multiply the rate by `number`.
            self._judge(device, level, number * level.work / level.seconds)

    def starved(self, device: Device) -> None:
        """Reduce the number after running out of memory."""
        if device.slots > 1:
            level = self._levels.setdefault(device.name, _Level())
            # Final: growing again would end the same way.
            level.number, level.settled = max(1, level.number - 1), True

    @staticmethod
    def _judge(device: Device, level: _Level, rate: float) -> None:
        """Continue with a larger number, or return to the previous one."""
        most = capacity(device, level.peak or 0)
        if level.before is not None and rate < GAIN * level.before[1]:
            level.number, level.settled = level.before[0], True
        elif level.number >= most:
            level.settled = True
        else:
            # Doubled, because evaluating a number costs `ROUNDS` trainings per slot.
            level.before, level.number = (level.number, rate), min(2 * level.number, most)
        level.work, level.seconds, level.ended = 0.0, 0.0, 0
