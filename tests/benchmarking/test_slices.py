"""Slices of trainings: every way to train trains the same network."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch

from agd_bench.benchmarking import plain, slices
from agd_bench.benchmarking.rungs import Size, ladder
from agd_bench.optim.agd import AGD
from search_spaces import nas_bench_201

CPU = torch.device("cpu")
CELL = "|nor_conv_3x3~0|+|skip_connect~0|nor_conv_1x1~1|+|avg_pool_3x3~0|none~1|skip_connect~2|"
SMALL = Size(image_size=8, channels=2, cells=1, batch_size=64)


@pytest.fixture
def quickly(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fewer images than the benchmark draws."""
    monkeypatch.setattr(slices, "IMAGES", 256)
    monkeypatch.setattr(slices, "EVALUATION_IMAGES", 128)
    slices._pictures.cache_clear()


@pytest.mark.parametrize("number", range(len(ladder(CPU))))
@pytest.mark.usefixtures("quickly")
def test_every_rung_trains_evaluates_and_tells(number: int) -> None:
    """Images are counted, parts add up, and only the plain way waits for the device."""
    rung = ladder(CPU)[number]
    made = slices.begin(rung, SMALL, CELL, CPU, seed=1)
    assert made.start_seconds > 0
    trained, evaluated = made.train(0.0), made.evaluate(0.0)
    assert (trained.images, evaluated.images) == (64, 128)
    assert trained.seconds > 0
    parts = made.parts(2)
    assert set(parts) == {"data", "forward", "backward", "optimizer", "rest"}
    assert all(parts[part] > 0 for part in ("data", "forward", "backward", "optimizer"))
    making, stepping = made.counts()
    assert (stepping.waits > 0) == (rung.data == "loader")
    assert (making.calls > 64) == (rung.data == "loader")
    assert made.checkpoint_seconds() > 0


def test_the_ladder_changes_one_thing_a_rung() -> None:
    """Each rung differs from the one before it on the ladder in one field besides its name; the last has everything."""
    rungs = [rung for rung in ladder(CPU) if rung.on_ladder]
    for before, rung in itertools.pairwise(rungs):
        fields = ("data", "layout", "precision", "optimizer", "packed")
        assert sum(getattr(before, field) != getattr(rung, field) for field in fields) == 1
    assert (rungs[-1].data, rungs[-1].layout, rungs[-1].optimizer) == ("resident", "channels-last", "agd")
    assert (rungs[0].data, rungs[0].layout, rungs[0].precision, rungs[0].packed) == ("loader", "contiguous", "float32", False)


@pytest.mark.usefixtures("quickly")
def test_layouts_give_the_same_losses() -> None:
    """The same seed, images and steps in both layouts, in float32: the same losses to rounding."""
    rungs = [rung for rung in ladder(CPU) if rung.data == "resident" and rung.precision == "float32"]
    assert {rung.layout for rung in rungs} == {"contiguous", "channels-last"}
    losses = []
    for rung in rungs:
        made = slices.begin(rung, SMALL, CELL, CPU, seed=1)
        losses.append([float(made.fit.step(*next(made._endless))[0]) for _ in range(3)])
    assert losses[0] == pytest.approx(losses[1], rel=1e-3)


def test_agd_tap_by_tap_is_agd() -> None:
    """Ten steps of both give the same weights and rates."""
    networks = []
    for build in (AGD, plain.PlainAGD):
        torch.manual_seed(0)
        network = nas_bench_201.build(CELL, 3, 10, channels=4, cells=1).double()
        weights = [weight for weight in network.parameters() if weight.dim() > 1]
        optimizer = build(weights)
        images = torch.randn(16, 3, 8, 8, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
        for _ in range(10):
            optimizer.zero_grad()
            network(images).square().mean().backward()
            optimizer.step()
        networks.append((weights, float(optimizer.param_groups[0]["lr"])))
    (ours, rate), (plainly, other) = networks
    assert rate == pytest.approx(other, rel=1e-9)
    for one, two in zip(ours, plainly, strict=True):
        np.testing.assert_allclose(one.detach(), two.detach(), rtol=1e-8, atol=1e-12)
