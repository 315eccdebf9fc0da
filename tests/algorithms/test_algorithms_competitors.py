"""Algorithms from other packages: they train as the package itself does, run in the harness, and resume from checkpoints."""

from __future__ import annotations

import contextlib
import importlib
import io
import math
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR

from agd_bench import plugins
from agd_bench.records import Trial
from agd_bench.testing import check_algorithm
from agd_bench.training import checkpoints
from agd_bench.training.data import load_splits
from agd_bench.trial import Workplace, run_trial
from tests.algorithms.competitors import COMPETITORS, LEARNING_RATE_FREE
from tests.plugin_folders import write_plugins

# skipped where the extra `competitors` is not installed
dadaptation, heavyball, prodigyopt, schedulefree = map(pytest.importorskip, ("dadaptation", "heavyball", "prodigyopt", "schedulefree"))
mechanize = pytest.importorskip("mechanic_pytorch").mechanize

STEPS = 12


def load(name: str) -> ModuleType:
    """Return the algorithm's module."""
    return importlib.import_module(f"agd_bench.algorithms.{name}")


def network() -> nn.Module:
    """Return a small network with batch normalisation for images (N, 2, 6, 6) of three classes, in the harness's memory format."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        layers = [nn.Conv2d(2, 8, 3, padding=1, bias=False), nn.BatchNorm2d(8), nn.ReLU()]
        made = nn.Sequential(*layers, nn.AdaptiveAvgPool2d(2), nn.Conv2d(8, 8, 1), nn.Flatten(), nn.Linear(32, 3))
    return made.to(memory_format=torch.channels_last)


def batch() -> tuple[Tensor, Tensor]:
    """Return 48 images of three classes that differ in which rows are bright, and their labels."""
    labels = torch.arange(48) % 3
    images = 0.5 * torch.randn(48, 2, 6, 6, generator=torch.Generator().manual_seed(0))
    for label in range(3):
        images[labels == label, :, 2 * label : 2 * label + 2] += 1
    return images, labels


def train(made: nn.Module, optimizer: Optimizer, scheduler: LambdaLR | None, after: Callable[[], Any] = lambda: None) -> nn.Module:
    """Train for twelve steps on one batch and return the network."""
    images, labels = batch()
    for _ in range(STEPS):
        optimizer.zero_grad()
        functional.cross_entropy(made(images), labels).backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        after()
        if scheduler is not None:
            scheduler.step()
    return made


def cosine(k: int) -> float:
    """Return the cosine factor, from 1 before the first step to 0 after the last."""
    return (1 + math.cos(math.pi * k / STEPS)) / 2


def by_hand(name: str) -> nn.Module:
    """Return the network after twelve steps of the package's own optimizer, used as documented, with the weights for evaluation."""
    made = network()
    parameters = made.parameters()
    with contextlib.redirect_stdout(io.StringIO()):
        optimizer: Any
        optimizers: dict[str, Callable[[], Any]] = {
            "prodigy": lambda: prodigyopt.Prodigy(parameters),
            "dadapt_adam": lambda: dadaptation.DAdaptAdam(parameters, decouple=True),
            "dadapt_sgd": lambda: dadaptation.DAdaptSGD(parameters, momentum=0.9, weight_decay=1e-4),
            "schedule_free_adamw": lambda: schedulefree.AdamWScheduleFree(parameters, warmup_steps=1),
            "schedule_free_sgd": lambda: schedulefree.SGDScheduleFree(parameters, warmup_steps=1),
            "mechanic": lambda: mechanize(torch.optim.AdamW)(parameters, lr=1.0, weight_decay=0.01),
        }
        optimizer = optimizers[name]()
    if name.startswith("schedule_free"):
        optimizer.train()
        train(made, optimizer, None)
        optimizer.eval()
        return made
    return train(made, optimizer, LambdaLR(optimizer, cosine))


@pytest.mark.parametrize("name", [name for name in LEARNING_RATE_FREE if name not in ("dog", "ldog")])
def test_trains_as_the_package_itself(name: str) -> None:
    """Twelve steps of the plug-in give the same weights as its package used as documented."""
    built = load(name).build(made := network(), STEPS)
    optimizer, scheduler = built if isinstance(built, tuple) else (built, None)
    train(made, optimizer, scheduler)
    if scheduler is None:
        optimizer.eval()
    for ours, theirs in zip(made.parameters(), by_hand(name).parameters(), strict=True):
        assert torch.equal(ours, theirs)
    assert all(map(math.isfinite, load(name).diagnostics(optimizer).values()))
    assert load(name).diagnostics(optimizer)["eta"] >= 0


@pytest.mark.parametrize("name", ["dog", "ldog"])
def test_dog_trains_as_the_package_itself_and_answers_with_its_average(name: str) -> None:
    """Iterate and average equal the package's, and switching between `eval` and `train` restores each exactly."""
    shared: Any = importlib.import_module("agd_bench.algorithms._averaged_dog")
    made = network()
    optimizer = load(name).build(made, STEPS)
    train(made, optimizer, None)
    theirs = network()
    package = (shared.DoG if name == "dog" else shared.LDoG)(theirs.parameters(), reps_rel=1e-4)
    averager = shared.PolynomialDecayAverager(theirs)
    train(theirs, package, None, averager.step)
    iterate = [parameter.detach().clone() for parameter in made.parameters()]
    assert all(torch.equal(a, b) for a, b in zip(iterate, theirs.parameters(), strict=True))
    optimizer.eval()
    optimizer.eval()
    assert all(torch.equal(a, b) for a, b in zip(made.parameters(), averager.averaged_model.parameters(), strict=True))
    assert not torch.equal(next(made.parameters()), iterate[0])
    with pytest.raises(RuntimeError, match=r"call train\(\)"):
        optimizer.step()
    optimizer.train()
    assert all(torch.equal(a, b) for a, b in zip(iterate, made.parameters(), strict=True))


def test_dog_without_batch_normalisation_begins_nearer() -> None:
    """The initial distance is what DoG's authors recommend for each kind of network; a missing gradient counts as 0."""
    module = load("dog")
    assert module.build(network(), STEPS).param_groups[0]["reps_rel"] == 1e-4
    used, unused = nn.Linear(4, 3), nn.Linear(2, 2)
    plain = nn.ModuleList([used, unused])
    optimizer = module.build(plain, STEPS)
    assert optimizer.param_groups[0]["reps_rel"] == 1e-6
    assert module.diagnostics(optimizer) == {}
    used(torch.ones(5, 4)).sum().backward()
    before = unused.weight.detach().clone()
    optimizer.step()
    assert torch.equal(before, unused.weight)


def test_soap_is_the_packages() -> None:
    """SOAP takes the same steps as heavyball's own class with the schedule applied by hand."""
    built = load("soap").build(made := network(), STEPS, **COMPETITORS["soap"])
    train(made, *built)
    theirs = network()
    optimizer = heavyball.SOAP(theirs.parameters(), lr=3e-3, betas=(0.95, 0.95), weight_decay=0.01, precondition_frequency=10)
    rates = iter([(1 + math.cos(math.pi * k / STEPS)) / 2 for k in range(1, STEPS + 1)])

    def set_rate() -> None:
        optimizer.param_groups[0]["lr"] = optimizer.param_groups[0]["base_lr"] = 3e-3 * next(rates)

    train(theirs, optimizer, None, set_rate)
    for ours, other in zip(made.parameters(), theirs.parameters(), strict=True):
        torch.testing.assert_close(ours, other, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("name", COMPETITORS)
def test_keeps_the_protocol(name: str) -> None:
    """Every check of the conformance kit passes, including resuming from a checkpoint with averages and Mechanic's state."""
    module = load(name)
    assert (module.EXTRA, bool(module.PACKAGES)) == ("competitors", True)
    failed = [check for check in check_algorithm(module) if not check.passed]
    assert not failed


@pytest.mark.parametrize("name", [*COMPETITORS, "muon"])
def test_a_stored_state_continues_bit_for_bit(name: str) -> None:
    """A checkpoint contains everything that a step depends on."""
    given = COMPETITORS.get(name, {"learning_rate": 0.02, "adamw_learning_rate": 1e-3, "weight_decay": 0.01})

    def begin() -> tuple[nn.Module, Optimizer]:
        built = load(name).build(made := network(), STEPS, **given)
        return made, built[0] if isinstance(built, tuple) else built

    (one, optimizer), (other, resumed) = begin(), begin()
    train(one, optimizer, None)
    stored = checkpoints.to_bytes({"network": one.state_dict(), "optimizer": optimizer.state_dict()})
    state = checkpoints.from_bytes(stored, torch.device("cpu"))
    other.load_state_dict(state["network"])
    resumed.load_state_dict(state["optimizer"])
    for made, each in ((one, optimizer), (other, resumed)):
        train(made, each, None)
    assert all(torch.equal(a, b) for a, b in zip(one.parameters(), other.parameters(), strict=True))


@pytest.mark.parametrize("name", COMPETITORS)
def test_trains_real_digits_through_the_harness(name: str, tmp_path: Path) -> None:
    """A short trial learns, its learning rate is in the curve, and the algorithm's diagnostics are recorded on request."""
    folders: Any = write_plugins(tmp_path / "plugins")
    workplace = Workplace(data_root=tmp_path, folders=folders, device="cpu")
    asked = {
        "search_space": "tiny",
        "search_space_label": "tiny",
        "architecture": "small",
        "dataset": "digits",
        "dataset_share": 0.25,
        "algorithm": name,
        "algorithm_label": name,
        "hyperparameters": COMPETITORS[name],
        "epochs": 6,
        "batch_size": 16,
        "seed": 3,
        "diagnostics": ["optimizer"],
    }
    result = run_trial(Trial.model_validate(asked), workplace)
    assert (result.status, result.reason) == ("done", "")
    losses = [point.train_loss for point in result.curve]
    assert losses[-1] < losses[0]
    assert result.test_accuracy is not None
    # D-Adaptation needs about a hundred steps to find its distance, so the bar is lower.
    assert result.test_accuracy > (0.05 if name.startswith("dadapt") else 0.2)
    told = result.curve[-2].diagnostics
    if name in LEARNING_RATE_FREE:
        assert told["eta"] == result.curve[-2].learning_rate
        assert told["eta"] > 0
        assert {"d": name.startswith(("prodigy", "dadapt")), "s": name == "mechanic"} == {key: key in told for key in ("d", "s")}


def test_statistics_of_averaged_weights_are_charged(tmp_path: Path) -> None:
    """Only optimizers that evaluate averaged weights are charged for the forward passes that recompute batch statistics."""
    folders: Any = write_plugins(tmp_path / "plugins")
    workplace = Workplace(data_root=tmp_path, folders=folders, device="cpu")
    asked: dict[str, Any] = {"search_space": "tiny", "search_space_label": "tiny", "architecture": "small", "dataset": "digits"}
    asked |= {"dataset_share": 0.1, "algorithm_label": "x", "epochs": 1, "batch_size": 32, "seed": 0}
    flops = {}
    for name in ("adamw", "schedule_free_adamw", "dog"):
        result = run_trial(Trial.model_validate({**asked, "algorithm": name}), workplace)
        assert result.status == "done"
        flops[name] = (result.flops, result.forward_flops)
    images = len(load_splits("digits", tmp_path, (), 0.1, torch.device("cpu")).train.labels)  # all of them within 50 batches
    charged, forward = flops["adamw"]
    assert charged is not None
    assert forward is not None
    assert flops["schedule_free_adamw"] == flops["dog"] == (charged + images * forward, forward)


def test_a_missing_package_is_named_with_its_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    """A package that is not installed is reported with the extra that provides it."""
    source = plugins.locate("algorithms", "prodigy")
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name, package=None: None if name == "prodigyopt" else find(name, package))
    assert "agd-bench[competitors]" in plugins.missing_packages(source)
