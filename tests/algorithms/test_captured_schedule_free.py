"""Schedule-free steps that read their numbers on the device match the package's own steps, also between evaluations."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from agd_bench import plugins
from agd_bench.training import loop
from agd_bench.training.cuda_graphs import Capture, capture_obstacle
from agd_bench.training.fit import Fit
from tests.training.recording import TapeRecorder
from tests.training.test_cuda_graphs import BATCH, EPOCHS, STEPS, NeverCaptures, assert_same, fit, images

pytest.importorskip("schedulefree")

ALGORITHMS = ["schedule_free_adamw", "schedule_free_sgd"]
COUNTS = ("k", "weight_sum", "lr_max", "scheduled_lr")


def train(one: Fit) -> list[float]:
    """Train with an evaluation after each epoch, and return the losses of both."""
    split, told = images(), []
    for epoch in range(1, EPOCHS + 1):
        told.append(loop.train_epoch(one, split, BATCH, loop.seed_of_epoch(7, epoch), augment=True)[0])
        one.refresh(split, BATCH, loop.seed_of_epoch(7, epoch), augment=True)
        told.append(loop.evaluate(one, split).loss)
    return told


def made(name: str, kind: type[Capture] | None, **settings: Any) -> Fit:
    """Return a training whose steps are replayed, or read their numbers on the device, or are the package's own (None)."""
    one = fit(plugins.load("algorithms", name), **settings)
    assert capture_obstacle(one) == ""
    one.capture = None if kind is None else kind(one, TapeRecorder())
    return one


@pytest.mark.parametrize("weight_decay", [0.0, 0.01])
@pytest.mark.parametrize("name", ALGORITHMS)
def test_captured_steps_are_the_packages(name: str, weight_decay: float) -> None:
    """Losses at both weights agree to rounding, and the package's counters and rates are those of its own steps."""
    one, other = made(name, Capture, weight_decay=weight_decay), made(name, None, weight_decay=weight_decay)
    assert train(one) == pytest.approx(train(other), rel=1e-3)
    assert one.capture is not None
    assert one.capture.replays == EPOCHS * STEPS - 4  # three steps of warm-up, and one of the last batch
    for group, expected in zip(one.optimizer.param_groups, other.optimizer.param_groups, strict=True):
        assert [group[count] for count in COUNTS] == pytest.approx([expected[count] for count in COUNTS], rel=1e-12)
        assert group.keys() == expected.keys()


@pytest.mark.parametrize("name", ALGORITHMS)
def test_replays_are_eager_steps_with_the_same_numbers(name: str) -> None:
    """Bit for bit, weights and statistics of evaluation included."""
    one, other = made(name, Capture), made(name, NeverCaptures)
    assert train(one) == train(other)
    assert_same(one, other)


@pytest.mark.parametrize("name", ALGORITHMS)
def test_a_step_with_numbers_is_a_step_of_the_package(name: str) -> None:
    """One parameter, 40 steps in double precision: through the warm-up, and with gradients that are 0 at first."""
    built = []
    for given in (True, False):
        weights = torch.nn.Linear(3, 2, bias=False).double()
        torch.nn.init.ones_(weights.weight)
        optimizer: Any = plugins.load("algorithms", name).build(weights, 200, weight_decay=0.1)
        for step in range(40):
            weights.weight.grad = torch.full((2, 3), 0.1, dtype=torch.float64) * weights.weight.detach() * step
            (group,) = optimizer.param_groups
            if given:
                group["numbers"] = [torch.tensor(number, dtype=torch.float64) for number in optimizer.numbers(group)]
            optimizer.step()
            group.pop("numbers", None)
        built.append((weights.weight.detach(), optimizer.param_groups[0]["weight_sum"]))
    torch.testing.assert_close(built[0][0], built[1][0], rtol=1e-10, atol=0)
    assert built[0][1] == pytest.approx(built[1][1], rel=1e-12)
