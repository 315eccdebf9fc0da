"""The attempts under way, found by trial and by device in constant time, however many there are."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from agd_bench.records import Trial
from agd_bench.scheduling.executors.protocol import Device


@dataclass
class Running:
    """An attempt under way.

    Attributes:
        trial: with its proposal.
        attempt: its number.
        since: `time.monotonic()` when it was sent.
        deadline_seconds: from then.
        node: where its worker is.
        device: what it computes on.
        number: attempts that share the device from its start; 0: the device was filling up.
        exclusive: whether it has the device to itself.
        sharers: attempts that may share the device.
        alone: whether it has the executor to itself.
        ended_because: why it was ended by force; empty if it was not.
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
    """The attempts under way."""

    def __init__(self) -> None:
        self._by_trial: dict[str, Running] = {}
        self._by_device: dict[str, dict[str, Running]] = {}

    def __len__(self) -> int:
        return len(self._by_trial)

    def __iter__(self) -> Iterator[Running]:
        return iter(self._by_trial.values())

    def add(self, running: Running) -> None:
        """An attempt was begun."""
        self._by_trial[running.trial.id] = running
        self._by_device.setdefault(running.device.name, {})[running.trial.id] = running

    def remove(self, running: Running) -> None:
        """It ended."""
        del self._by_trial[running.trial.id]
        del self._by_device[running.device.name][running.trial.id]

    def get(self, trial_id: str) -> Running | None:
        """The attempt at a trial; None: there is none."""
        return self._by_trial.get(trial_id)

    def on(self, device: Device) -> list[Running]:
        """The attempts on a device, which are at most as many as it has slots."""
        return list(self._by_device.get(device.name, {}).values())

    def is_reserved(self) -> bool:
        """Whether one attempt has the executor to itself."""
        return len(self) == 1 and next(iter(self)).alone
