"""Several trainings in one set of kernels measure what each measures alone."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from agd_bench.algorithms import agd, nadamw, nas_bench_201_sgd
from agd_bench.errors import DeadlineExceeded
from agd_bench.optim.agd import AGD
from agd_bench.training import loop
from agd_bench.training.data import ImageSet, resident
from agd_bench.training.loop import Fit
from agd_bench.training.profiles import apply_profile
from agd_bench.training.replicas import Pack, streams, train_epoch, try_pack, unfit
from search_spaces import fcn, mlp_dag, nas_bench_201

SEEDS = (3, 4, 5)
EPOCHS, BATCH = 3, 16
Build = Callable[[], nn.Module]


def images(count: int = 70) -> ImageSet:
    """Noise with labels that a network can learn."""
    rng = np.random.default_rng(0)
    return resident(rng.integers(0, 256, (count, 1, 8, 8), dtype=np.uint8), rng.integers(0, 4, count), (0.5,), (0.25,), 1, "cpu", True)


def matrices(architecture: str = "4x16") -> nn.Module:
    """A fully connected network without biases."""
    return apply_profile(fcn.build(architecture, 1, 4, size=8), "matrix-only")


def fit(algorithm: Any, seed: int, build: Build = matrices, **settings: Any) -> Fit:
    """A training that is to begin."""
    torch.manual_seed(seed)
    network = algorithm.prepare(build(), torch.Generator().manual_seed(seed))
    built = algorithm.build(network, EPOCHS * 5, **settings)
    optimizer, scheduler = built if isinstance(built, tuple) else (built, None)
    network.train()
    return Fit(network, optimizer, scheduler, algorithm.loss)


def alone(one: Fit, seed: int, split: ImageSet) -> Iterator[tuple[float, float, float | None]]:
    """Loss, accuracy and rate of each epoch, of one training."""
    for epoch in range(1, EPOCHS + 1):
        loss, accuracy = loop.train_epoch(one, split, BATCH, loop.seed_of_epoch(seed, epoch), augment=True)
        yield loss, accuracy, one.learning_rate()


def packed(pack: Pack, split: ImageSet) -> Iterator[list[tuple[float, float, float | None]]]:
    """The same of all in a pack."""
    for epoch in range(1, EPOCHS + 1):
        seeds = [loop.seed_of_epoch(seed, epoch) for seed in SEEDS]
        told = train_epoch(pack, split, BATCH, seeds, augment=True)
        yield [(*values, one.learning_rate()) for values, one in zip(told, pack.fits, strict=True)]


@pytest.mark.parametrize("algorithm", [agd, nas_bench_201_sgd, nadamw], ids=lambda module: module.__name__.rpartition(".")[2])
@pytest.mark.parametrize("build", [matrices, lambda: fcn.build("3x16", 1, 4, size=8), lambda: mlp_dag.build("2_12", 1, 4, 16, 8)])
def test_replicas_measure_what_they_measure_alone(algorithm: Any, build: Build) -> None:
    """Losses, accuracies, rates, weights and evaluations of every seed, with and without biases and branches."""
    if algorithm is agd and any(p.dim() < 2 for p in build().parameters()):
        pytest.skip("AGD trains matrices alone")
    split = images()
    singles = [fit(algorithm, seed, build) for seed in SEEDS]
    expected = [list(alone(one, seed, split)) for one, seed in zip(singles, SEEDS, strict=True)]
    pack = Pack([fit(algorithm, seed, build) for seed in SEEDS])
    for epoch, told in enumerate(packed(pack, split)):
        for own, values in zip(expected, told, strict=True):
            assert values == pytest.approx(own[epoch], rel=1e-3, abs=1e-5)
    for one, other in zip(singles, pack.fits, strict=True):
        for weight, same in zip(one.network.parameters(), other.network.parameters(), strict=True):
            torch.testing.assert_close(weight, same, rtol=1e-3, atol=1e-4)
        assert loop.evaluate(one, split).loss == pytest.approx(loop.evaluate(other, split).loss, rel=1e-3)


def test_replicas_may_have_hyperparameters_of_their_own() -> None:
    """Tuning runs: three gains at once."""
    split, gains = images(), (0.5, 1.0, 2.0)
    expected = [list(alone(fit(agd, seed, gain=gain), seed, split)) for seed, gain in zip(SEEDS, gains, strict=True)]
    pack = Pack([fit(agd, seed, gain=gain) for seed, gain in zip(SEEDS, gains, strict=True)])
    for epoch, told in enumerate(packed(pack, split)):
        assert [loss for loss, _, _ in told] == pytest.approx([own[epoch][0] for own in expected], rel=1e-3)


def test_replicas_of_one_seed_share_their_batches() -> None:
    """Drawn once, and what each draws alone; a pack of them trains as they train alone, each with its own hyperparameters."""
    split, seeds, gains = images(), (3, 4, 3), (0.5, 1.0, 2.0)
    apart = [next(streams(split, BATCH, [seed], augment=True))[0] for seed in seeds]
    together = next(streams(split, BATCH, seeds, augment=True))
    assert together[0] is together[2]
    for (pixels, labels), (own_pixels, own_labels) in zip(together, apart, strict=True):
        assert torch.equal(pixels, own_pixels)
        assert torch.equal(labels, own_labels)
    expected = [list(alone(fit(agd, seed, gain=gain), seed, split)) for seed, gain in zip(seeds, gains, strict=True)]
    pack = Pack([fit(agd, seed, gain=gain) for seed, gain in zip(seeds, gains, strict=True)])
    for epoch in range(EPOCHS):
        told = train_epoch(pack, split, BATCH, [loop.seed_of_epoch(seed, epoch + 1) for seed in seeds], augment=True)
        assert [loss for loss, _ in told] == pytest.approx([own[epoch][0] for own in expected], rel=1e-3)


def test_one_that_diverges_leaves_the_others_as_they_are() -> None:
    """Its loss is not finite; the others' are those of trainings without it."""
    split = images()
    expected = [list(alone(fit(nas_bench_201_sgd, seed), seed, split)) for seed in SEEDS]
    fits = [fit(nas_bench_201_sgd, seed) for seed in SEEDS]
    with torch.no_grad():
        next(fits[1].network.parameters()).fill_(math.inf)
    for epoch, told in enumerate(packed(Pack(fits), split)):
        assert not math.isfinite(told[1][0])
        for number in (0, 2):
            assert told[number] == pytest.approx(expected[number][epoch], rel=1e-3, abs=1e-5)


def test_a_pack_is_what_its_fits_go_on_with() -> None:
    """Checkpoints hold each replica's own weights; a pack of fewer goes on from where the larger one was."""
    split = images()
    fits = [fit(agd, seed) for seed in SEEDS]
    whole = list(packed(Pack(fits), split))
    again = [fit(agd, seed) for seed in SEEDS]
    train_epoch(Pack(again), split, BATCH, [loop.seed_of_epoch(seed, 1) for seed in SEEDS], augment=True)
    states = [{name: value.clone() for name, value in one.network.state_dict().items()} for one in again]
    kept = [fit(agd, seed) for seed in (3, 5)]
    for one, state in zip(kept, (states[0], states[2]), strict=True):
        one.network.load_state_dict(state)
    pack = Pack(kept)
    for epoch in (2, 3):
        told = train_epoch(pack, split, BATCH, [loop.seed_of_epoch(seed, epoch) for seed in (3, 5)], augment=True)
        assert [loss for loss, _ in told] == pytest.approx([whole[epoch - 1][0][0], whole[epoch - 1][2][0]], rel=1e-4)


def test_agd_is_stepped_together_and_others_each_for_itself() -> None:
    """AGD's launches do not grow with K; two norms or groups are not mixed."""
    assert Pack([fit(agd, seed) for seed in SEEDS])._together is not None
    assert Pack([fit(nadamw, seed) for seed in SEEDS])._together is None
    fits = [fit(agd, seed) for seed in SEEDS]
    fits[1].optimizer = AGD(fits[1].network.parameters(), norm="operator")
    assert Pack(fits)._together is None


class Averaging(nn.Module):
    """A layer whose images know of each other."""

    def forward(self, values: torch.Tensor) -> torch.Tensor:
        """Less their mean."""
        return values - values.mean(0)


def convolutional() -> nn.Module:
    """A network of convolutions and batch normalisation."""
    cell = "|nor_conv_1x1~0|+|none~0|none~1|+|skip_connect~0|none~1|none~2|"
    return nas_bench_201.build(cell, 1, 4, channels=4, cells=1)


@pytest.mark.parametrize(
    ("build", "reason"),
    [
        (convolutional, "is a Conv2d"),
        (lambda: nn.Sequential(nn.Flatten(), nn.Linear(64, 8), nn.Dropout(), nn.Linear(8, 4)), "is a Dropout"),
        (lambda: nn.Sequential(nn.Flatten(), nn.Linear(64, 8), Averaging(), nn.Linear(8, 4)), "not independent"),
        (lambda: nn.Sequential(nn.Unflatten(0, (4, 4)), nn.Flatten(2), nn.Linear(64, 4), nn.Flatten(0, 1)), "several batches in a row"),
    ],
)
def test_networks_that_cannot_be_packed_are_found_out(build: Build, reason: str) -> None:
    """By their layers, or because the logits are not those alone; and they train on alone."""
    split = images(64)
    fits = [fit(nadamw, seed, build) for seed in SEEDS]
    pack, why = try_pack(fits, next(streams(split, BATCH, SEEDS, augment=True)), least_gain=0)
    assert pack is None
    assert reason in why
    assert math.isfinite(loop.train_epoch(fits[0], split, BATCH, 0, augment=False)[0])


def test_a_pack_that_does_not_pay_is_not_made() -> None:
    """The same networks, asked to be a thousand times as fast, and at any speed; trying changes no weight."""
    split = images()
    fits = [fit(agd, seed) for seed in SEEDS]
    before = [weight.detach().clone() for weight in fits[1].network.parameters()]
    step = next(streams(split, BATCH, SEEDS, augment=True))
    pack, why = try_pack(fits, step, least_gain=1000)
    assert pack is None
    assert "1000 is asked for" in why
    assert try_pack(fits, step, least_gain=0)[0] is not None
    assert all(torch.equal(one, two) for one, two in zip(before, fits[1].network.parameters(), strict=True))


def test_what_is_watched_is_not_packed() -> None:
    """Its readings would be another's."""
    one = fit(agd, 0)
    one.diagnosed = True
    assert "watched" in unfit(one)


def test_the_first_deadline_ends_the_pack() -> None:
    """At the next step."""
    pack = Pack([fit(agd, seed) for seed in SEEDS])
    pack.fits[2].stop_at = 0.0
    with pytest.raises(DeadlineExceeded):
        train_epoch(pack, images(), BATCH, SEEDS, augment=False)
