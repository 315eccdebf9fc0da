"""Counters of a step's operations, waits and bytes on a device."""

from __future__ import annotations

import torch
from torch import nn

from agd_bench.training.fit import Fit
from tests.performance.engine import counters


def test_calls_waits_and_bytes_are_counted() -> None:
    """Two sums and a read are counted: views are free, `item` waits, and bytes are those read and written."""
    values = torch.ones(4, 8)
    found = counters.count(lambda: (values.t() + values.t()).sum().item())
    assert (found.calls, found.waits) == (3, 1)
    assert found.bytes == 3 * 4 * 32 + 4 * (32 + 1) + 4


def test_a_step_without_reading_waits_for_nothing() -> None:
    """The engine's step never waits, because the loss stays on the device."""
    network = nn.Linear(4, 3)
    fit = Fit(network, torch.optim.SGD(network.parameters(), 0.1), None, nn.functional.cross_entropy)
    images, labels = torch.ones(2, 4), torch.zeros(2, dtype=torch.int64)
    assert counters.count(lambda: fit.step(images, labels)).waits == 0


def test_the_parts_of_a_step_are_timed_and_the_hooks_go() -> None:
    """Each part takes some time, and together less than the whole; afterwards nothing is timed."""
    network = nn.Sequential(nn.Linear(256, 256), nn.Linear(256, 3))
    fit = Fit(network, torch.optim.SGD(network.parameters(), 0.1), None, nn.functional.cross_entropy)
    images, labels = torch.ones(64, 256), torch.zeros(64, dtype=torch.int64)
    clock = counters.clock_of(torch.device("cpu"))
    begun = clock()
    with counters.parts_of(fit, torch.device("cpu")) as seconds:
        for _ in range(20):
            fit.step(images, labels)
    taken = clock() - begun
    assert all(value > 0 for value in seconds.values())
    assert sum(seconds.values()) < taken
    kept = dict(seconds)
    fit.step(images, labels)
    assert seconds == kept


def test_floors_are_of_this_machine() -> None:
    """The measured floors are plausible: 10 ns to 1 ms per call, and 0.1 to 10,000 GB/s of memory bandwidth."""
    device = torch.device("cpu")
    assert 1e-8 < counters.seconds_per_call(device, repeats=200) < 1e-3
    assert 1e8 < counters.bytes_per_second(device, megabytes=8, repeats=2) < 1e13
