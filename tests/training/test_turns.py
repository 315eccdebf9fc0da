"""Trainings take turns on shared resources: waiting time is not charged, and each has its own random numbers."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch

from agd_bench.training import turns
from agd_bench.training.turns import OwnGenerators, Queue, Turn, own_seconds

CPU = torch.device("cpu")


def test_a_clock_stands_still_while_its_thread_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    """A thread's clock excludes the ten seconds it waits for its turn and counts the one in which it works."""
    now = [0.0]
    monkeypatch.setattr(turns, "perf_counter", lambda: now[0])
    turn, asked = Turn(), threading.Event()

    def work() -> float:
        begun = own_seconds()
        asked.set()
        with turn:
            now[0] += 1
        return own_seconds() - begun

    class Lock:
        """A lock that signals when a thread waits for it."""

        inner = threading.RLock()

        def acquire(self) -> None:
            if asked.is_set():
                waiting.set()
            self.inner.acquire()

        def release(self) -> None:
            self.inner.release()

    waiting = threading.Event()
    monkeypatch.setattr(turn, "_lock", Lock())
    before = own_seconds()
    with ThreadPoolExecutor(1) as other:
        with turn:
            spent = other.submit(work)
            assert waiting.wait(60)
            now[0] += 10
        assert spent.result() == 1
    assert own_seconds() - before == 11


def test_each_training_draws_its_own_numbers() -> None:
    """Trainings that take turns draw the same numbers as they would alone, whatever is drawn in between."""
    with torch.random.fork_rng(devices=[]):
        expected = []
        for seed in (1, 2):
            torch.manual_seed(seed)
            expected.append(torch.rand(6).tolist())
        own = []
        for seed in (1, 2):
            torch.manual_seed(seed)
            own.append(OwnGenerators(CPU))
        drawn: list[list[float]] = [[], []]
        for _ in range(3):
            for numbers, generators in zip(drawn, own, strict=True):
                with generators:
                    numbers += [float(torch.rand(())), float(torch.rand(()))]
                torch.rand(5)
    assert drawn == expected


def test_a_fair_lock_is_passed_on_in_order() -> None:
    """Who takes it again at once, as a training does for its next epoch, waits behind those that asked before."""
    lock, order = Queue(), list[str]()

    def work(name: str) -> None:
        lock.acquire()
        order.append(name)
        lock.release()

    with ThreadPoolExecutor(2) as others:
        lock.acquire()
        lock.acquire()
        asked = []
        for number, name in enumerate(("first", "second")):
            asked.append(others.submit(work, name))
            while len(lock._waiting) == number:
                time.sleep(0)
        lock.release()
        assert order == [], "it is held until it has been released as often as acquired"
        lock.release()
        work("again")
        for one in asked:
            one.result(timeout=60)
    assert order == ["first", "second", "again"]
