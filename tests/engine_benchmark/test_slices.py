"""Slices of trainings: all ways of training train the same network."""

from __future__ import annotations

import itertools
from dataclasses import replace

import numpy as np
import pytest
import torch

from agd_bench.optim.agd import AGD
from search_spaces import nas_bench_201
from tests.performance.engine import bare, plain, slices
from tests.performance.engine.processes import Station
from tests.performance.engine.rungs import Size, ladder
from tests.training.recording import TapeRecorder

CPU = torch.device("cpu")
CELL = "|nor_conv_3x3~0|+|skip_connect~0|nor_conv_1x1~1|+|avg_pool_3x3~0|none~1|skip_connect~2|"
SMALL = Size(image_size=8, channels=2, cells=1, batch_size=64)


@pytest.fixture
def quickly(monkeypatch: pytest.MonkeyPatch) -> None:
    """Use fewer images than the benchmark."""
    monkeypatch.setattr(slices, "IMAGES", 256)
    monkeypatch.setattr(slices, "EVALUATION_IMAGES", 128)
    slices._pictures.cache_clear()


@pytest.mark.parametrize("number", range(len(ladder(CPU))))
@pytest.mark.usefixtures("quickly")
def test_every_rung_trains_evaluates_and_tells(number: int) -> None:
    """Every rung counts its images and times all parts, and only the data loader waits for the device."""
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
    """Each rung differs from the previous one in exactly one field besides its name; the last has all improvements."""
    rungs = [rung for rung in ladder(CPU) if rung.on_ladder]
    for before, rung in itertools.pairwise(rungs):
        fields = ("data", "layout", "precision", "optimizer", "per_core", "captured", "in_flight")
        assert sum(getattr(before, field) != getattr(rung, field) for field in fields) == 1
    assert (rungs[-1].data, rungs[-1].layout, rungs[-1].optimizer) == ("resident", "channels-last", "agd")
    assert (rungs[0].data, rungs[0].layout, rungs[0].precision, rungs[0].per_core) == ("loader", "contiguous", "float32", False)


@pytest.mark.usefixtures("quickly")
def test_rungs_of_a_gpu_train_evaluate_and_tell(monkeypatch: pytest.MonkeyPatch) -> None:
    """A graph, replaced here by replayed operations, has one launch and no parts; several in flight multiply the images."""
    monkeypatch.setattr(slices, "GraphRecorder", lambda device: TapeRecorder())
    rungs = {rung.name: rung for rung in ladder(torch.device("cuda"))}
    names = list(rungs)
    assert names[-3:] == ["+ whole step as a CUDA graph", "+ 4 in flight", "+ AGD instead of SGD"]
    assert (rungs[names[-1]].captured, rungs[names[-1]].in_flight) == (True, 4)
    station = Station(CPU, 0)
    for name, images in ((names[-3], 256), (names[-2], 2 * 256)):
        rung = replace(rungs[name], precision="float32", in_flight=min(rungs[name].in_flight, 2))
        assert station.begin(rung, SMALL, CELL) > 0
        trained, evaluated = (station.answer(what, (name, 0.0)) for what in ("train", "evaluate"))
        assert (trained.images, evaluated.images) == (images, images // 2)
        making, stepping = station.answer("counts", (name,))
        assert (making.calls, stepping.calls, stepping.waits) == (0, 1, 0)
        assert stepping.bytes > 1e5
        parts = station.answer("parts", (name, 1))
        assert [part for part, seconds in parts.items() if seconds > 0] == ["rest"]
        assert station.answer("checkpoint_seconds", (name,)) > 0


def test_the_bare_loop_shifts_and_mirrors_each_image_by_itself() -> None:
    """Shifts are windows of the padded image, images mirrored in one epoch are not in the next, and the loop learns."""
    rng = np.random.default_rng(0)
    padded = torch.from_numpy(rng.normal(size=(40, 3, 12, 12)))
    shifts = torch.from_numpy(rng.integers(0, 5, (2, 40)))
    for image, moved, down, across in zip(padded, bare.shifted(padded, shifts, 8), *shifts.tolist(), strict=True):
        assert torch.equal(moved, image[:, down : down + 8, across : across + 8])
    steps = np.tile(np.arange(8, dtype=np.uint8) * 30, (64, 1, 8, 1))
    pictures = bare.Pictures(steps, np.arange(64), (0.5,), (0.25,), "float32", CPU)
    rows = pictures.endless(64, torch.Generator().manual_seed(0))
    seen = []
    for _ in range(2):
        images, labels = next(rows)
        falls = (images.diff(dim=-1) < 0).sum((1, 2, 3)) > (images.diff(dim=-1) > 0).sum((1, 2, 3))
        seen.append(falls[labels.argsort()])
    assert torch.equal(seen[0], ~seen[1])
    assert 10 < int(seen[0].sum()) < 54
    learned = bare.Pictures(
        rng.integers(0, 256, (32, 3, 8, 8), dtype=np.uint8), np.arange(32) % 10, (0.5,) * 3, (0.25,) * 3, "float32", CPU
    )
    fit = bare.bare_fit(nas_bench_201.build(CELL, 3, 10, channels=8, cells=1), "float32")
    for _ in range(60):
        for images, labels in learned.batches(16):
            bare.step(fit, images, labels)
    fit.optimizer.zero_grad()
    fit.network.train()
    assert float((fit.network(learned.images).argmax(1) == learned.labels).double().mean()) > 0.5
    assert 0 <= bare.evaluate(fit, learned.batches(16)) <= 1


@pytest.mark.usefixtures("quickly")
def test_layouts_give_the_same_losses() -> None:
    """With the same seed, images and steps, float32 losses agree up to rounding in both memory layouts."""
    rungs = [rung for rung in ladder(CPU) if rung.data == "resident" and rung.precision == "float32"]
    assert {rung.layout for rung in rungs} == {"contiguous", "channels-last"}
    losses = []
    for rung in rungs:
        made = slices.begin(rung, SMALL, CELL, CPU, seed=1)
        losses.append([float(made.fit.step(*next(made._endless))[0]) for _ in range(3)])
    assert losses[0] == pytest.approx(losses[1], rel=1e-3)


def test_agd_tap_by_tap_is_agd() -> None:
    """Ten steps of both implementations give the same weights and learning rates."""
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
