"""Every built-in training algorithm, used as the harness does: prepare, build, train."""

from __future__ import annotations

import importlib
import itertools
import pkgutil
from types import ModuleType
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from agd_bench import algorithms
from agd_bench.errors import InputError, Refused
from agd_bench.optim.losses import LOSSES, cross_entropy, square
from tests.algorithms.competitors import COMPETITORS

# Tested in other files of this folder: DSGD, which needs other networks, architecture-aware SGD, which needs a graph, algorithms of
# other packages, and those with torch's default weights.
APART = ("_", "dsgd", "architecture_aware", "adam_constant", "sgd_constant")
BUILT_IN = [module.name for module in pkgutil.iter_modules(algorithms.__path__) if not module.name.startswith(APART)]
NAMES = sorted(set(BUILT_IN) - set(COMPETITORS))
AGDS = ("agd", "agd_all_layers", "agd_dual", "agd_operator")
FROZEN = {"adamw", *AGDS, "nadamw", "nas_bench_201_sgd", "sgd"}
TUNED = {
    "lamb_tuned": {"learning_rate": 0.02, "one_minus_beta1": 0.1, "weight_decay": 0.01},
    "muon": {"learning_rate": 0.02, "adamw_learning_rate": 3e-3, "weight_decay": 0.01},
    "nadamw_tuned": {"learning_rate": 1e-3, "one_minus_beta1": 0.1, "weight_decay": 0.01},
    "adamw_tuned": {"learning_rate": 1e-3, "one_minus_beta1": 0.1, "weight_decay": 0.01},
    "sgd_stepped": {"learning_rate": 0.1},
    "sgd_tuned": {"learning_rate": 0.05, "one_minus_momentum": 0.1, "weight_decay": 1e-6, "end_factor": 1e-3},
}
LAST_FACTOR = {"adamw": 0.0, "adamw_tuned": 0.0, "nadamw": 0.0, "nas_bench_201_sgd": 0.0, "sgd": 0.008, "sgd_tuned": 1e-3}
LAST_FACTOR |= {"lamb_tuned": 0.0, "nadamw_tuned": 0.0, "sgd_stepped": 0.04}


def load(name: str) -> ModuleType:
    """Return the algorithm's module."""
    return importlib.import_module(f"agd_bench.algorithms.{name}")


def network(seed: int = 0) -> nn.Module:
    """Return a small matrix-only network for images (N, 2, 6, 6) of three classes, built as the harness does."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return nn.Sequential(
            nn.Conv2d(2, 8, 3, padding=1, bias=False),
            nn.BatchNorm2d(8, affine=False),
            nn.ReLU(),
            nn.AdaptiveAvgPool2d(2),
            nn.Conv2d(8, 8, 1, bias=False),
            nn.Flatten(),
            nn.Linear(32, 3, bias=False),
        )


def batch() -> tuple[Tensor, Tensor]:
    """Return 48 images of three classes that differ in which rows are bright, and their labels."""
    generator = torch.Generator().manual_seed(0)
    labels = torch.arange(48) % 3
    images = 0.5 * torch.randn(48, 2, 6, 6, generator=generator)
    for label in range(3):
        images[labels == label, :, 2 * label : 2 * label + 2] += 1
    return images, labels


def build(name: str, steps: int) -> tuple[nn.Module, Optimizer, LRScheduler | None]:
    """Return the prepared network, its optimizer and its schedule."""
    module = load(name)
    prepared = module.prepare(network(), torch.Generator().manual_seed(0))
    built = module.build(prepared, steps, **TUNED.get(name, {}))
    optimizer, scheduler = built if isinstance(built, tuple) else (built, None)
    return prepared, optimizer, scheduler


def train(name: str, steps: int) -> tuple[list[float], list[float], nn.Module]:
    """Return the loss before each step, the learning rates (also after the last step) and the trained network."""
    prepared, optimizer, scheduler = build(name, steps)
    images, labels = batch()
    losses, rates = [], []
    for _ in range(steps):
        rates.append(float(optimizer.param_groups[0]["lr"]))
        loss = load(name).loss(prepared(images), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if scheduler:
            scheduler.step()
        losses.append(loss.item())
    return losses, [*rates, float(optimizer.param_groups[0]["lr"])], prepared


def test_the_built_in_algorithms_are_these() -> None:
    """The built-in algorithms have the names that sweeps and leaderboards use."""
    assert set(NAMES) == FROZEN | set(TUNED)


@pytest.mark.parametrize("name", NAMES)
def test_facts(name: str) -> None:
    """Each module states its tier, source, licence and search ranges, and its ranges match the hyperparameters used here."""
    module = load(name)
    assert len((module.__doc__ or "").splitlines()) > 3
    assert vars(module)["TIER"] == ("self-tuning" if name in FROZEN else "externally tuned")
    assert module.SOURCE
    assert module.LICENCE == "MIT"
    assert set(module.RANGES) == set(TUNED.get(name, {}))
    for hyperparameter, allowed in module.RANGES.items():
        value = TUNED[name][hyperparameter]
        assert value in allowed["choices"] if "choices" in allowed else allowed["low"] <= value <= allowed["high"]


@pytest.mark.parametrize("name", NAMES)
def test_trains(name: str) -> None:
    """Two hundred steps more than halve the loss on a small problem."""
    losses, _, _ = train(name, 200)
    assert losses[-1] < 0.5 * losses[0]


@pytest.mark.parametrize("name", NAMES)
def test_repeats(name: str) -> None:
    """The same seeds give the same losses and weights, whatever the state of the global generator."""
    torch.manual_seed(1)
    first, _, one = train(name, 4)
    torch.manual_seed(2)
    second, _, other = train(name, 4)
    assert first == second
    assert all(torch.equal(a, b) for a, b in zip(one.parameters(), other.parameters(), strict=True))


@pytest.mark.parametrize("name", sorted(LAST_FACTOR))
@pytest.mark.parametrize("steps", [1, 2, 19, 100])
def test_schedule_ends_where_it_should(name: str, steps: int) -> None:
    """For training runs of any length, the rate reaches its peak and ends at the final rate after the last step."""
    _, rates, _ = train(name, steps)
    peak = max(rates)
    assert peak == pytest.approx(
        TUNED[name]["learning_rate"] if name in TUNED else {"adamw": 1e-3, "nadamw": 0.0017486387539278373}.get(name, 0.1)
    )
    assert rates[-1] == pytest.approx(LAST_FACTOR[name] * peak, abs=1e-12)


def test_warm_ups() -> None:
    """Warm-up takes two or five of a hundred steps, or none, depending on the algorithm."""
    lengths = {"adamw": 5, "adamw_tuned": 5, "nadamw": 2, "nas_bench_201_sgd": 0, "sgd": 0, "sgd_tuned": 5}
    for name, length in lengths.items():
        _, rates, _ = train(name, 100)
        assert rates.index(max(rates)) == length, name


@pytest.mark.parametrize("name", sorted(LAST_FACTOR))
def test_keeps_the_network_it_is_given(name: str) -> None:
    """Algorithms other than AGD keep the initial weights, leave the generator alone, and train biases and scales too."""
    generator = torch.Generator().manual_seed(3)
    state = generator.get_state()
    given = nn.Sequential(nn.Linear(4, 3), nn.BatchNorm1d(3))
    before = [parameter.detach().clone() for parameter in given.parameters()]
    prepared = load(name).prepare(given, generator)
    assert prepared is given
    assert all(torch.equal(a, b) for a, b in zip(before, given.parameters(), strict=True))
    assert torch.equal(state, generator.get_state())
    optimizer, _ = load(name).build(prepared, 10, **TUNED.get(name, {}))
    assert sum(len(group["params"]) for group in optimizer.param_groups) == 4


@pytest.mark.parametrize("name", sorted(LAST_FACTOR))
def test_no_steps_is_an_error(name: str) -> None:
    """A schedule with no steps is refused."""
    with pytest.raises(InputError, match="at least 1 training step"):
        load(name).build(network(), 0, **TUNED.get(name, {}))


@pytest.mark.parametrize("name", NAMES)
def test_unknown_hyperparameters_are_an_error(name: str) -> None:
    """`build` raises a TypeError for an unknown hyperparameter."""
    with pytest.raises(TypeError, match="warmth"):
        load(name).build(network(), 10, **TUNED.get(name, {}), warmth=1.0)


def settings(name: str) -> dict[str, Any]:
    """Return the optimizer's first group without its parameters, with the learning rate at its peak."""
    _, optimizer, _ = build(name, 10)
    return {key: value for key, value in optimizer.param_groups[0].items() if key != "params"}


def test_settings_are_the_sources() -> None:
    """The hyperparameters of each recipe are those of its source."""
    for name in ("sgd", "nas_bench_201_sgd"):
        group = settings(name)
        assert (group["lr"], group["momentum"], group["nesterov"], group["weight_decay"]) == (0.1, 0.9, True, 5e-4)
    group = settings("nadamw")
    assert group["betas"] == pytest.approx((0.93266, 0.99552), abs=5e-6)
    assert group["weight_decay"] == pytest.approx(0.081216, abs=5e-7)
    group = settings("adamw")
    assert (group["betas"], group["weight_decay"]) == ((0.9, 0.999), 0.01)
    group = settings("sgd_tuned")
    assert (group["momentum"], group["nesterov"], group["weight_decay"]) == (0.9, True, 1e-6)
    assert settings("adamw_tuned")["betas"] == (0.9, 0.999)
    assert settings("agd")["gain"] == 1.0


def test_losses() -> None:
    """AGD and its variants train with the square loss of AGD's paper, all others with cross-entropy."""
    assert {name: load(name).loss for name in NAMES} == {name: square if name in AGDS else cross_entropy for name in NAMES}


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("name", NAMES)
def test_trains_with_every_loss_that_it_allows(name: str, loss: str) -> None:
    """A sweep may use any loss with an algorithm that does not restrict its losses."""
    assert not hasattr(load(name), "LOSSES")
    prepared, optimizer, scheduler = build(name, 20)
    images, labels = batch()
    values = []
    for _ in range(20):
        value = LOSSES[loss](prepared(images), labels)
        optimizer.zero_grad()
        torch.autograd.backward(value)
        optimizer.step()
        if scheduler:
            scheduler.step()
        values.append(value.item())
    assert min(values[1:]) < values[0]


@pytest.mark.parametrize("name", AGDS)
def test_agd_draws_the_network_from_its_generator(name: str) -> None:
    """Different networks prepared with the same seed get the same weights, and another seed gives other weights."""
    module = load(name)
    drawn = [module.prepare(network(built), torch.Generator().manual_seed(seed)) for built, seed in ((0, 1), (5, 1), (0, 2))]
    one, same, other = ([parameter.detach() for parameter in each.parameters()] for each in drawn)
    assert all(torch.equal(a, b) for a, b in zip(one, same, strict=True))
    assert not any(torch.equal(a, b) for a, b in zip(one, other, strict=True))


@pytest.mark.parametrize("name", ["agd", "agd_dual", "agd_operator"])
def test_agd_refuses_networks_that_it_cannot_train(name: str) -> None:
    """A bias or a gain of 0 raises Refused, which the harness records as a row; biases do so in `prepare` and `build`."""
    module = load(name)
    with pytest.raises(Refused, match=r"parameter 1 \(bias\) has shape \(3,\)"):
        module.prepare(nn.Linear(4, 3), torch.Generator())
    with pytest.raises(Refused, match=r"parameter 1 \(bias\) has shape \(3,\)"):
        module.build(nn.Linear(4, 3), 10)
    with pytest.raises(Refused, match="gain is 0"):
        module.build(network(), 10, gain=0)


@pytest.mark.parametrize("name", AGDS)
def test_agd_reports_the_learning_rate_it_used(name: str) -> None:
    """The optimizer's learning rate changes every step; with the Frobenius norm it stays below log 2 on a well-scaled network."""
    _, rates, _ = train(name, 20)
    assert rates[0] == 0
    assert all(0 < rate < (1.0 if name in ("agd_dual", "agd_operator") else 0.7) for rate in rates[1:])
    assert all(a != b for a, b in itertools.pairwise(rates))


def test_agd_for_all_layers_trains_what_agd_refuses_and_is_agd_elsewhere() -> None:
    """Biases are trained; on a network with only matrices and kernels, both algorithms give the same weights and losses."""
    given = nn.Linear(4, 3)
    module = load("agd_all_layers")
    optimizer = module.build(module.prepare(given, torch.Generator()), 10)
    assert sum(len(group["params"]) for group in optimizer.param_groups) == 2
    with pytest.raises(Refused, match="transposed"):
        module.prepare(nn.ConvTranspose2d(2, 2, 2), torch.Generator())
    paper, extension = train("agd", 5), train("agd_all_layers", 5)
    assert paper[:2] == extension[:2]
    assert all(torch.equal(a, b) for a, b in zip(paper[2].parameters(), extension[2].parameters(), strict=True))


def test_agd_variants_use_their_norms() -> None:
    """Each plug-in passes its norm to the optimizer."""
    norms = {name: settings(name)["norm"] for name in AGDS}
    assert norms == {"agd": "frobenius", "agd_all_layers": "frobenius", "agd_dual": "dual", "agd_operator": "operator"}
