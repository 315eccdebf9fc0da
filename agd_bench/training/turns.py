"""Locks for resources shared by trainings of one process, and a clock that stops while a training waits for a lock."""

from __future__ import annotations

import threading
from collections import deque
from time import perf_counter
from types import TracebackType

import torch

_WAITED = threading.local()


def own_seconds() -> float:
    """Seconds on this thread's clock, from an arbitrary start: the machine's clock without the time spent waiting for a lock."""
    waited: float = getattr(_WAITED, "seconds", 0.0)
    return perf_counter() - waited


class Queue:
    """A reentrant lock that is passed on in the order in which threads asked for it."""

    def __init__(self) -> None:
        self._guard = threading.Lock()
        self._holder, self._depth = 0, 0
        self._waiting: deque[tuple[int, threading.Lock]] = deque()

    def acquire(self) -> None:
        """Wait for the lock."""
        me = threading.get_ident()
        with self._guard:
            if self._holder in (0, me):
                self._holder, self._depth = me, self._depth + 1
                return
            gate = threading.Lock()
            gate.acquire()
            self._waiting.append((me, gate))
        gate.acquire()

    def release(self) -> None:
        """Pass the lock on, once it has been released as often as acquired."""
        with self._guard:
            self._depth -= 1
            if self._depth == 0:
                self._holder = 0
                if self._waiting:
                    self._holder, gate = self._waiting.popleft()
                    self._depth = 1
                    gate.release()


class Turn:
    """A reentrant lock with waiting time that is not charged to anyone.

    Args:
        fair: whether threads get it in the order in which they asked. Without, the one that releases it often gets it again at once.
    """

    def __init__(self, fair: bool = False) -> None:
        self._lock = Queue() if fair else threading.RLock()

    def __enter__(self) -> None:
        begun = perf_counter()
        self._lock.acquire()
        _WAITED.seconds = getattr(_WAITED, "seconds", 0.0) + perf_counter() - begun

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, place: TracebackType | None) -> None:
        self._lock.release()


# A capture takes this lock too, because torch forbids drawing meanwhile. Fair, because it is held for whole epochs: a training that never
# got its turn would be ended as hung.
DEFAULT_GENERATORS = Turn(fair=True)
"""Held while using torch's default generators."""


class OwnGenerators:
    """One training's state of torch's default generators, active within each `with` and kept between them.

    Args:
        device: device of the generator. The initial state is the current state of the generators.
    """

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._states = states_of_generators(device)

    def __enter__(self) -> None:
        DEFAULT_GENERATORS.__enter__()
        torch.set_rng_state(self._states[0])
        for state in self._states[1:]:
            torch.cuda.set_rng_state(state, self._device)

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, place: TracebackType | None) -> None:
        try:
            self._states = states_of_generators(self._device)
        # The state of a lost device cannot be read, but other trainings still need the lock.
        finally:
            DEFAULT_GENERATORS.__exit__(kind, error, place)


def states_of_generators(device: torch.device) -> list[torch.Tensor]:
    """The states of torch's default generators on the host and, for a GPU, on the device."""
    return [torch.get_rng_state(), *([torch.cuda.get_rng_state(device)] if device.type == "cuda" else [])]
