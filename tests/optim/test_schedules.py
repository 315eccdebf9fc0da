"""Learning rate schedules at their key steps and for very short training runs."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.optim.lr_scheduler import LambdaLR

from agd_bench.errors import InputError
from agd_bench.optim.schedules import cosine, linear, staircase

PEAK = 0.4


def rates(schedule: Callable[..., LambdaLR], steps: int, extra: int = 1, **options: Any) -> list[float]:
    """Return the learning rate of every step and of `extra` steps after the last one."""
    parameter = torch.zeros(1, requires_grad=True)
    optimizer = torch.optim.SGD([parameter], lr=PEAK)
    scheduler = schedule(optimizer, steps, **options)
    seen = []
    for _ in range(steps + extra):
        seen.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    return seen


def test_cosine_without_warm_up() -> None:
    """The rate starts at the peak, is half of it half way, and stays 0 after the last step."""
    seen = rates(cosine, 8, extra=3)
    assert seen[0] == PEAK
    assert seen[2] == pytest.approx(PEAK * (1 + math.sqrt(0.5)) / 2)
    assert seen[4] == pytest.approx(PEAK / 2)
    assert seen[8:] == pytest.approx([0, 0, 0], abs=1e-16)


def test_cosine_with_warm_up() -> None:
    """The rate rises linearly from 0 to the peak over a tenth of 40 steps and follows a cosine for the rest."""
    seen = rates(cosine, 40, warm_up=0.1)
    assert seen[:5] == pytest.approx([0, PEAK / 4, PEAK / 2, 3 * PEAK / 4, PEAK])
    assert seen[22] == pytest.approx(PEAK / 2)
    assert seen[40] == pytest.approx(0, abs=1e-16)


def test_cosine_is_torchs_own() -> None:
    """Without warm-up, the rates match torch's CosineAnnealingLR."""
    optimizer = torch.optim.SGD([torch.zeros(1)], lr=PEAK)
    scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=13)
    expected = []
    for _ in range(14):
        expected.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    assert rates(cosine, 13) == pytest.approx(expected, abs=1e-12)


def test_linear() -> None:
    """The rate rises for 5 of 100 steps, falls to a hundredth over 85 (nine tenths of 95, rounded down), then stays constant."""
    seen = rates(linear, 100, warm_up=0.05, decay=0.9, end_factor=0.01)
    assert seen[:6] == pytest.approx([PEAK * k / 5 for k in range(6)])
    assert seen[5 + 17] == pytest.approx(PEAK * (1 - 0.99 * 17 / 85))
    assert seen[90:] == pytest.approx(11 * [0.01 * PEAK])
    assert seen[89] > 0.011 * PEAK


def test_staircase() -> None:
    """The rate drops at exactly the step that completes each share of the training."""
    seen = rates(staircase, 10, drops=(0.3, 0.6, 0.8), drop_factor=0.2)
    assert seen == pytest.approx([PEAK * factor for factor in 3 * [1] + 3 * [0.2] + 2 * [0.04] + 3 * [0.008]])


@given(st.integers(1, 60), st.floats(0, 1, exclude_max=True), st.floats(0, 1), st.floats(0.01, 1))
def test_every_length_trains(steps: int, warm_up: float, end_factor: float, decay: float) -> None:
    """However short the training, rates stay in [0, peak], rise during warm-up to exactly the peak, and never rise after it."""
    cases: list[tuple[Callable[..., LambdaLR], dict[str, Any]]] = [(cosine, {}), (linear, {"decay": decay, "end_factor": end_factor})]
    for schedule, options in cases:
        seen = rates(schedule, steps, warm_up=warm_up, **options)
        start = math.floor(warm_up * steps)
        assert seen[start] == PEAK
        assert all(0 <= rate <= PEAK for rate in seen)
        assert all(a < b for a, b in itertools.pairwise(seen[: start + 1]))
        assert all(a >= b for a, b in itertools.pairwise(seen[start:]))
        if schedule is cosine or decay == 1:
            assert seen[-1] == pytest.approx(PEAK * options.get("end_factor", 0.0), abs=1e-12)


@pytest.mark.parametrize(
    ("schedule", "options", "said"),
    [
        (cosine, {"steps": 0}, "at least 1 training step"),
        (linear, {"steps": -1}, "at least 1 training step"),
        (staircase, {"steps": 0, "drops": (0.5,), "drop_factor": 0.1}, "at least 1 training step"),
        (cosine, {"steps": 5, "warm_up": 1.0}, "warm_up is 1.0"),
        (cosine, {"steps": 5, "warm_up": -0.1}, "warm_up is -0.1"),
        (linear, {"steps": 5, "decay": 0.0}, "decay is 0.0"),
        (linear, {"steps": 5, "end_factor": 1.5}, "end_factor 1.5"),
        (staircase, {"steps": 5, "drops": (0.0,), "drop_factor": 0.1}, "drops are"),
        (staircase, {"steps": 5, "drops": (0.5,), "drop_factor": 0.0}, "drop_factor 0.0"),
    ],
)
def test_out_of_range(schedule: Callable[..., LambdaLR], options: dict[str, Any], said: str) -> None:
    """Invalid arguments raise an error that names the argument and its value."""
    with pytest.raises(InputError, match=said):
        schedule(torch.optim.SGD([torch.zeros(1)], lr=PEAK), **options)
