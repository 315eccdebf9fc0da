"""The running attempts, with lookup by trial and by device in constant time."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from agd_bench.records import Trial
from agd_bench.scheduling.executors.protocol import Device


@dataclass
class Running:
    """A running attempt.

    Attributes:
        trial: the trial with its proposal.
        attempt: number of the attempt.
        since: `time.monotonic()` when it was sent.
        deadline_seconds: deadline, counted from `since`.
        node: node of its worker.
        device: device it computes on.
        number: attempts that share the device since its start; 0: the device was filling up.
        exclusive: whether it uses the device exclusively.
        sharers: attempts that may share the device.
        alone: whether it uses the executor exclusively.
        ended_because: reason for ending it by force; empty otherwise.
    """

    trial: Trial
    attempt: int
    since: float
    deadline_seconds: float
    node: str
    device: Device
    number: int
    exclusive: bool
    sharers: int = 1
    alone: bool = False
    ended_because: str = ""


class InFlight:
    """The running attempts."""

    def __init__(self) -> None:
        self._by_trial: dict[str, Running] = {}
        self._by_device: dict[str, dict[str, Running]] = {}

    def __len__(self) -> int:
        return len(self._by_trial)

    def __iter__(self) -> Iterator[Running]:
        return iter(self._by_trial.values())

    def add(self, running: Running) -> None:
        """Add an attempt."""
        self._by_trial[running.trial.id] = running
        self._by_device.setdefault(running.device.name, {})[running.trial.id] = running

    def remove(self, running: Running) -> None:
        """It ended."""
        del self._by_trial[running.trial.id]
        del self._by_device[running.device.name][running.trial.id]

    def get(self, trial_id: str) -> Running | None:
        """The attempt at a trial, or None."""
        return self._by_trial.get(trial_id)

    def on(self, device: Device) -> list[Running]:
        """The attempts on a device, at most one per slot."""
        return list(self._by_device.get(device.name, {}).values())

    def is_reserved(self) -> bool:
        """Whether an attempt uses the executor exclusively."""
        return len(self) == 1 and next(iter(self)).alone
