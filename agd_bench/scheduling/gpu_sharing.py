"""How many attempts share a device: what the first ones needed alone, then as long as more of them do more work.

There are two lanes: in the timing lane an attempt has the device to itself, in the shared lane several have it together. Which one
an attempt ran in is in its provenance (`exclusive`).

Nothing here knows a GPU: what is known of a device comes from the executor, and the rest from results.
"""

from __future__ import annotations

from dataclasses import dataclass

from agd_bench.records import Plan, Trial, TrialResult
from agd_bench.scheduling.executors.protocol import Device
from agd_bench.scheduling.kinds import Comparison, comparison_of
from agd_bench.scheduling.resources import TIMED_ARCHITECTURES

HEADROOM = 1.25
"""Device memory set aside over what a trial's tensors took at most: the allocator keeps blocks that it cannot use, and networks differ."""
CONTEXT_BYTES = 600 * 2**20
"""What each process's context and libraries take on a GPU before any tensor: 0.4 to 0.6 GB with recent drivers."""
# Drivers and other processes take some of the memory as well.
USABLE = 0.95
GAIN = 1.05
"""A larger number is kept only if it does so much more work: less is within what timings vary by, and costs memory."""
ROUNDS = 2
"""Attempts that each slot ends before a number is judged."""


@dataclass
class _Level:
    """What is known of one device.

    Attributes:
        number: attempts that may share it now.
        peak: largest device memory of a trial there, bytes; None: none was measured.
        before: the number before this one, and its work a second.
        settled: whether the number is found.
        work: FLOPs of the attempts that began and ended at this number, where they are counted; else their number.
        seconds: what they took.
        ended: how many they are.
    """

    number: int = 1
    peak: int | None = None
    before: tuple[int, float] | None = None
    settled: bool = False
    work: float = 0.0
    seconds: float = 0.0
    ended: int = 0


def capacity(device: Device, peak_bytes: int) -> int:
    """How many trials fit on a device at a time, at least one.

    Args:
        device: with its memory.
        peak_bytes: largest device memory of a trial.
    """
    if device.memory_bytes is None:
        return device.slots
    fitting = int(USABLE * device.memory_bytes // (HEADROOM * peak_bytes + CONTEXT_BYTES))
    # One even if it seems not to fit: then the trial itself runs out of memory, and says so.
    return max(1, min(fitting, device.slots))


class Sharing:
    """Decides, device by device, whether another attempt may begin there.

    A device with one slot is left alone: there is nothing to share.

    Args:
        plan: all trials.
        timed: architectures of each comparison group whose trials from the first seed are timed alone on a shared device.
    """

    def __init__(self, plan: Plan, timed: int = TIMED_ARCHITECTURES) -> None:
        first: dict[Comparison, dict[str, None]] = {}
        # The same architectures and seed for every algorithm, alone on a device, so that their seconds compare.
        finals = [trial for trial in plan.all_trials if trial.purpose == "final" and trial.seed == plan.sweep.seeds[0]]
        for trial in finals:
            first.setdefault(comparison_of(trial), {})[trial.architecture] = None
        chosen = {group: set(list(architectures)[:timed]) for group, architectures in first.items()}
        self._timed = {trial.id for trial in finals if trial.architecture in chosen[comparison_of(trial)]}
        self._levels: dict[str, _Level] = {}

    def number(self, device: Device) -> int:
        """Attempts that may share the device now: one until the memory of a trial is known."""
        if device.slots == 1:
            return 1
        level = self._levels.setdefault(device.name, _Level())
        # What the timing lane needed at most says how many fit.
        return 1 if level.peak is None else min(level.number, capacity(device, level.peak))

    def is_timed(self, trial: Trial, device: Device) -> bool:
        """Whether a trial belongs to the timing lane of the device."""
        return device.slots > 1 and trial.id in self._timed

    def note(self, device: Device, number: int, result: TrialResult) -> None:
        """An attempt ended well.

        Args:
            device: where.
            number: how many shared the device from when it began; 0: the device was only filling up, so nothing follows about a number.
            result: what it measured.
        """
        if device.slots == 1 or result.status != "done":
            return
        level = self._levels.setdefault(device.name, _Level())
        # Without a figure nothing is known of the next one's need either; a device that reports none is filled to its slots.
        level.peak = max(level.peak or 0, result.peak_memory_bytes or 0)
        # Its seconds were measured while another number shared the device.
        if number != level.number or level.settled:
            return
        # FLOPs rather than trials: heavy ones that come together would look like a loss of speed.
        level.work += float(result.flops or 1)
        level.seconds += result.total_seconds
        level.ended += 1
        if level.ended >= ROUNDS * number and level.seconds > 0:
            # Seconds overlap: `number` attempts each add the same second, so the rate is that many times as large.
            self._judge(device, level, number * level.work / level.seconds)

    def starved(self, device: Device) -> None:
        """The memory did not suffice: fewer from now on."""
        if device.slots > 1:
            level = self._levels.setdefault(device.name, _Level())
            # Settled for good: growing again would end the same way.
            level.number, level.settled = max(1, level.number - 1), True

    @staticmethod
    def _judge(device: Device, level: _Level, rate: float) -> None:
        """Go on to a larger number, or back to the one before."""
        most = capacity(device, level.peak or 0)
        if level.before is not None and rate < GAIN * level.before[1]:
            level.number, level.settled = level.before[0], True
        elif level.number >= most:
            level.settled = True
        else:
            # Doubled, as judging a number costs `ROUNDS` trainings for each slot.
            level.before, level.number = (level.number, rate), min(2 * level.number, most)
        level.work, level.seconds, level.ended = 0.0, 0.0, 0
