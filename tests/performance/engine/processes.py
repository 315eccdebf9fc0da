"""Processes that hold slices of trainings and measure on demand: one with all threads, and one single-threaded process per core."""

from __future__ import annotations

import contextlib
import multiprocessing
import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from multiprocessing.connection import Connection
from typing import Any

import torch

from agd_bench.cores import usable_cores
from agd_bench.errors import ExecutorError
from agd_bench.scheduling.executors.worker import keep_freed_memory, limit_threads
from tests.performance.engine import counters, slices
from tests.performance.engine.rungs import Rung, Size


class Station:
    """Holds the slices of one process and answers calls."""

    def __init__(self, device: torch.device, seed: int) -> None:
        self._device, self._seed = device, seed
        self._held: dict[str, slices.Slice | slices.Flight] = {}

    def begin(self, rung: Rung, size: Size, architecture: str) -> float:
        """Build a slice, and return the seconds it took."""
        make = slices.begin if rung.in_flight == 1 else slices.Flight
        self._held[rung.name] = make(rung, size, architecture, self._device, self._seed)
        return self._held[rung.name].start_seconds

    def floors(self) -> tuple[float, float]:
        """Return the seconds per call and the bytes per second."""
        return counters.seconds_per_call(self._device), counters.bytes_per_second(self._device)

    def clear(self) -> None:
        """Discard all slices."""
        self._held.clear()

    def answer(self, method: str, arguments: tuple[Any, ...]) -> Any:
        """Call a method of this object, or of the slice of the rung named by the first argument."""
        if method in ("begin", "floors", "clear"):
            return getattr(self, method)(*arguments)
        name, *rest = arguments
        return getattr(self._held[name], method)(*rest)


def _serve(calls: Connection, device_type: str, threads: int, seed: int) -> None:
    """Answer calls until the connection closes: (method, arguments) → ("done", value) or ("failed", report)."""
    limit_threads(threads)  # after all imports, one of which could set the threads: more threads than cores would be very slow
    if threads == 1:  # like a trial's worker; the process with all threads serves the plain way
        keep_freed_memory()
    station = Station(torch.device(device_type), seed)
    with contextlib.suppress(EOFError, KeyboardInterrupt):
        while True:
            method, arguments = calls.recv()
            try:
                calls.send(("done", station.answer(method, arguments)))
            except Exception:
                calls.send(("failed", traceback.format_exc()))


class Crew:
    """The processes of a benchmark."""

    def __init__(self, device_type: str, per_core: bool) -> None:
        """Start the processes.

        Args:
            device_type: `cpu` or `cuda`.
            per_core: whether to start single-threaded processes in addition to the one with all threads.
        """
        self.device_type = device_type
        context = multiprocessing.get_context("spawn")
        self._processes: list[Any] = []
        self._pipes: list[Connection] = []
        for number in range(1 + (usable_cores() if per_core else 0)):
            ours, theirs = context.Pipe()
            process = context.Process(target=_serve, args=(theirs, device_type, 1 if number else usable_cores(), number), daemon=True)
            process.start()
            theirs.close()
            self._processes.append(process)
            self._pipes.append(ours)

    def ask(self, rung: Rung, method: str, *arguments: Any, alone: bool = False) -> list[Any]:
        """Call a method at the same time in every process in which the rung trains, and return the answers.

        Args:
            rung: the rung of the slices.
            alone: use only one process, single-threaded if there is one.
            method: of `slices.Slice`, or `begin`, `floors`, `clear`.
            arguments: of the method; the first argument for a slice's method is the rung's name.

        Raises:
            ExecutorError: a process ended or raised an error.
        """
        pipes = self._pipes[1:] if rung.per_core or (alone and len(self._pipes) > 1) else self._pipes[:1]
        return _answers(pipes[:1] if alone else pipes, method, arguments)

    def clear(self) -> None:
        """Discard all slices."""
        _answers(self._pipes, "clear", ())

    def close(self) -> None:
        """End the processes."""
        for pipe, process in zip(self._pipes, self._processes, strict=True):
            pipe.close()
            process.join(5)
            if process.is_alive():
                process.terminate()


def _answers(pipes: Sequence[Connection], method: str, arguments: tuple[Any, ...]) -> list[Any]:
    try:
        for pipe in pipes:
            pipe.send((method, arguments))
        answers = [pipe.recv() for pipe in pipes]
    except (EOFError, OSError) as error:
        raise ExecutorError(f"a process of the benchmark ended ({error or 'no answer'}); memory may not suffice: try --quick") from None
    for kind, value in answers:
        if kind == "failed":
            raise ExecutorError(f"benchmark, {method}: {value.strip().splitlines()[-1]}\n{value}")
    return [value for _, value in answers]


@contextmanager
def crew(device_type: str, per_core: bool) -> Iterator[Crew]:
    """Start a crew, which is closed at the end of the `with`."""
    made = Crew(device_type, per_core)
    try:
        yield made
    finally:
        made.close()
