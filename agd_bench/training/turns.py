"""Taking turns at what trainings of one process share, and a clock that stands still while a training waits for its turn."""

from __future__ import annotations

import threading
from time import perf_counter
from types import TracebackType

import torch

_WAITED = threading.local()


def own_seconds() -> float:
    """Seconds on this thread's own clock, from any beginning: those of the machine without those spent waiting for a turn."""
    waited: float = getattr(_WAITED, "seconds", 0.0)
    return perf_counter() - waited


class Turn:
    """A lock whose waiting time nobody is charged for. A thread that has the turn may take it again."""

    def __init__(self) -> None:
        self._lock = threading.RLock()

    def __enter__(self) -> None:
        begun = perf_counter()
        self._lock.acquire()
        _WAITED.seconds = getattr(_WAITED, "seconds", 0.0) + perf_counter() - begun

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, place: TracebackType | None) -> None:
        self._lock.release()


# A capture takes the turn too: torch forbids drawing meanwhile.
DEFAULT_GENERATORS = Turn()
"""Held by whoever uses torch's default generators."""


class OwnGenerators:
    """One training's state of torch's default generators: in effect within each `with`, and kept from one to the next.

    Args:
        device: where it draws. The state begins as that of the generators now.
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
        # A lost device cannot tell its state, but the others still need their turn.
        finally:
            DEFAULT_GENERATORS.__exit__(kind, error, place)


def states_of_generators(device: torch.device) -> list[torch.Tensor]:
    """The states of torch's default generators on the host and, if that is a GPU, on the device."""
    return [torch.get_rng_state(), *([torch.cuda.get_rng_state(device)] if device.type == "cuda" else [])]
