"""Checks of a training algorithm."""

from __future__ import annotations

import copy
import inspect
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from types import ModuleType
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from agd_bench.errors import Refused
from agd_bench.facts import TIERS, fault_of_ranges
from agd_bench.optim.path_scaling import Edge, Graph
from agd_bench.plugins import ranges_of
from agd_bench.records import Profile
from agd_bench.testing._checking import PROFILES, Check, Fault, demand, equal, keywords, misspelt, run
from agd_bench.training.profiles import apply_profile

STEPS = 40
"""Training steps on each test network."""


def check_algorithm(module: ModuleType) -> list[Check]:
    """Check that a training algorithm follows its protocol."""
    algorithm = _Algorithm(module)
    return run(
        {
            "TIER, PAPER, SOURCE and LICENCE are stated": algorithm.facts,
            "functions have the required parameters": algorithm.signatures,
            "RANGES are valid": algorithm.ranges,
            "no constant resembles the name of a fact": partial(misspelt, "algorithms", module),
            "loss() returns a finite scalar with a gradient": algorithm.loss,
            "prepare() is reproducible": algorithm.preparing,
            "training lowers the loss, or the network is refused": algorithm.training,
            "training for one or two steps works": algorithm.shortest,
            "training resumes from a checkpoint bit for bit": algorithm.resuming,
        }
    )


@dataclass
class _Training:
    """A network, its optimizer, and the one batch that it trains on."""

    network: nn.Module
    optimizer: Optimizer
    scheduler: LRScheduler | None
    loss: Callable[[Tensor, Tensor], Tensor]
    images: Tensor
    labels: Tensor

    def step(self) -> float:
        self.optimizer.zero_grad(set_to_none=True)
        loss = self.loss(self.network(self.images), self.labels)
        torch.autograd.backward(loss)
        self.optimizer.step()
        if self.scheduler is not None:
            self.scheduler.step()
        return float(loss.detach())

    @property
    def state(self) -> dict[str, Any]:
        scheduler = self.scheduler.state_dict() if self.scheduler is not None else {}
        # state_dict() refers to the live tensors, which later steps change.
        return copy.deepcopy({"network": self.network.state_dict(), "optimizer": self.optimizer.state_dict(), "scheduler": scheduler})

    def restore(self, state: dict[str, Any]) -> None:
        self.network.load_state_dict(state["network"])
        self.optimizer.load_state_dict(state["optimizer"])
        if self.scheduler is not None:
            self.scheduler.load_state_dict(state["scheduler"])


NETWORKS: dict[str, Callable[[], list[nn.Module]]] = {
    "convolution": lambda: [
        *(nn.Conv2d(1, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU(), nn.AvgPool2d(2)),
        *(nn.Conv2d(8, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU(), nn.Flatten(), nn.Linear(128, 4)),
    ],
    "fully connected": lambda: [nn.Flatten(), nn.Linear(64, 16), nn.Tanh(), nn.Linear(16, 16), nn.Tanh(), nn.Linear(16, 4)],
}
"""Test networks, each with a hidden layer between its first and its last. The second one is used if an algorithm refuses the first one in
both profiles.
"""


def _graph_for(function: Callable[..., Any], network: nn.Module) -> dict[str, Graph]:
    """Return the argument `graph` for a function that takes one. The test networks are chains, and each is its own shallow network."""
    if "graph" not in inspect.signature(function).parameters:
        return {}
    weighted = [(name, module.weight) for name, module in network.named_modules() if isinstance(module, nn.Conv2d | nn.Linear)]
    kernels = [weight.shape[-1] if weight.ndim > 2 else 1 for _, weight in weighted]
    edges = tuple(Edge(place, place + 1, 1, kernels[place], name) for place, (name, _) in enumerate(weighted))
    return {"graph": Graph(network=edges, shallow=edges, cell=edges)}


def kit_network(profile: Profile, kind: str = "convolution") -> nn.Module:
    torch.manual_seed(0)
    return apply_profile(nn.Sequential(*NETWORKS[kind]()), profile)


def middle(ranges: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """Return the midpoint of each range, geometric if the range is logarithmic, or the first choice."""
    values: dict[str, Any] = {}
    for name, item in ranges.items():
        if "choices" in item:
            values[name] = item["choices"][0]
            continue
        low, high = item["low"], item["high"]
        # The midpoint on the scale that a search draws from.
        value = math.sqrt(low * high) if item.get("log") else (low + high) / 2
        values[name] = round(value) if isinstance(low, int) and isinstance(high, int) else value
    return values


class _Algorithm:
    """The checks of a training algorithm."""

    def __init__(self, module: ModuleType) -> None:
        self.module = module

    def prepare(self, network: nn.Module) -> nn.Module:
        prepared: nn.Module = self.module.prepare(network, torch.Generator().manual_seed(0), **_graph_for(self.module.prepare, network))
        return prepared

    def start(self, profile: Profile, kind: str, steps: int = STEPS) -> _Training:
        network = self.prepare(kit_network(profile, kind))
        built = self.module.build(network, steps, **_graph_for(self.module.build, network), **middle(self.module.RANGES))
        optimizer, scheduler = built if isinstance(built, tuple) else (built, None)
        demand(
            isinstance(optimizer, Optimizer),
            f"build() returned {type(optimizer).__name__}; return an Optimizer, or a tuple of an Optimizer and an LRScheduler",
        )
        generator = torch.Generator().manual_seed(1)
        labels = torch.arange(64) % 4
        # One (1, 8, 8) prototype per class plus unit noise: learnable in a few steps, not at once.
        prototypes = torch.randn(4, 1, 8, 8, generator=generator)
        images = prototypes[labels] + torch.randn(64, 1, 8, 8, generator=generator)
        return _Training(network, optimizer, scheduler, self.module.loss, images, labels)

    def accepted(self, steps: int = STEPS) -> tuple[str, dict[Profile, _Training]]:
        """Return the kind of network that the algorithm accepts, and the trainings by profile."""
        reasons = []
        for kind in NETWORKS:
            begun = {}
            for profile in PROFILES:
                try:
                    begun[profile] = self.start(profile, kind, steps)
                except Refused as refusal:
                    reasons.append(f"{kind}, {profile}: {refusal}")
            if begun:
                return kind, begun
        raise Fault(f"refuses both convolutional and fully connected networks, in both profiles ({'; '.join(reasons)})")

    def facts(self) -> None:
        """TIER says how much tuning the algorithm needs, and must agree with RANGES: leaderboards compare algorithms within a tier. PAPER,
        SOURCE and LICENCE say where it comes from.
        """
        tier = getattr(self.module, "TIER", None)
        demand(tier in TIERS, f"TIER is {tier!r}; it must be one of {', '.join(TIERS)}")
        searched = bool(self.module.RANGES)
        demand(searched == (tier == "externally tuned"), f"TIER is {tier!r}, but RANGES {'has entries' if searched else 'is empty'}")
        for fact, example in (("PAPER", "A. Author 2020, arXiv 2001.00001"), ("SOURCE", "the full citation"), ("LICENCE", "MIT")):
            stated = getattr(self.module, fact, "")
            demand(isinstance(stated, str) and bool(stated), f'{fact} is missing; give it as a string, for example "{example}"')
        extra, packages = getattr(self.module, "EXTRA", None), getattr(self.module, "PACKAGES", None)
        demand(extra is None or bool(packages), f"EXTRA is {extra!r}, but PACKAGES is empty; list the packages that the plug-in imports")
        named = packages is None or (isinstance(packages, tuple) and all(isinstance(name, str) for name in packages))
        demand(named, f'PACKAGES is {packages!r}; give a tuple of module names, for example ("prodigyopt",)')

    def signatures(self) -> None:
        """The functions are prepare(network, generator), build(network, steps, **hyperparameters) and loss(logits, labels). Every
        hyperparameter has a default or a range in RANGES, so a sweep may leave it out.
        """
        keywords(self.module.prepare, ("network", "generator"))
        keywords(self.module.loss, ("logits", "labels"))
        taken = keywords(self.module.build, ("network", "steps"))
        unknown = sorted(ranges_of(self.module).keys() - taken.keys())
        fact = "RANGES" if self.module.RANGES else "CALIBRATION"
        demand(not unknown, f"{fact} has {', '.join(unknown)}, which build() does not accept")
        needed = sorted(name for name, item in taken.items() if item.default is item.empty and name not in (*self.module.RANGES, "graph"))
        demand(not needed, f"build() requires {', '.join(needed)}; give each a default, or a range in RANGES")

    def ranges(self) -> None:
        """Each entry of RANGES or CALIBRATION is {"low": a, "high": b, "log": bool} or {"choices": [...]}."""
        calibration = getattr(self.module, "CALIBRATION", {})
        demand(not (self.module.RANGES and calibration), "has both RANGES and CALIBRATION; CALIBRATION is for algorithms without RANGES")
        for fact, ranges in (("RANGES", self.module.RANGES), ("CALIBRATION", calibration)):
            fault = fault_of_ranges(ranges)
            demand(not fault, f"{fact}{fault}")

    def loss(self) -> None:
        """loss(logits, labels) maps logits (N, C) and labels (N,) to a finite scalar tensor with a gradient with respect to the logits."""
        logits = torch.randn(8, 4, requires_grad=True)
        loss = self.module.loss(logits, torch.arange(8) % 4)
        demand(
            loss.ndim == 0 and bool(loss.isfinite()), f"loss() returned {loss}, shape {tuple(loss.shape)}; return a finite scalar tensor"
        )
        loss.backward()
        demand(
            logits.grad is not None and bool(logits.grad.any()),
            "the loss has no gradient; compute it from the logits without detaching them",
        )

    def preparing(self) -> str:
        """Weights depend on the state of `generator` only, not on torch's global generator. Trials of different algorithms with one seed
        are compared as pairs.
        """
        kind, _ = self.accepted()
        try:
            states = []
            for seed in (1, 2):
                network = kit_network("matrix-only", kind)
                torch.manual_seed(seed)
                states.append(self.prepare(network).state_dict())
        except Refused as refusal:
            return f"refuses the matrix-only network: {refusal}"
        demand(equal(*states), "prepare() gave different weights under the same generator; draw random numbers from `generator` only")
        return ""

    def training(self) -> str:
        """Forty steps on one batch lower the loss of a small convolutional or fully connected network, in each profile that the algorithm
        does not refuse. The learning rate can be read from param_groups[0].
        """
        kind, begun = self.accepted()
        for profile, training in begun.items():
            losses = [training.step() for _ in range(STEPS)]
            case = f"{STEPS} steps on the {profile} network changed the loss from {losses[0]:.4g} to {losses[-1]:.4g}"
            demand(all(map(math.isfinite, losses)) and losses[-1] < losses[0], f"{case}; it must decrease")
            rate = training.optimizer.param_groups[0].get("lr")
            readable = rate is None or math.isfinite(float(rate))
            demand(readable, f"param_groups[0]['lr'] is {rate}; keep the learning rate there as a float or a 0-dim tensor")
            values = self.module.diagnostics(training.optimizer) if hasattr(self.module, "diagnostics") else {}
            plain = all(isinstance(name, str) and isinstance(value, float) for name, value in values.items())
            demand(plain, f"diagnostics() returned {values}; return a dict from names to floats")
        remarks = [f"refuses {profile} networks" for profile in PROFILES if profile not in begun]
        return "; ".join(([] if kind == "convolution" else ["refuses convolutions"]) + remarks)

    def shortest(self) -> None:
        """Training for one or two steps in total leaves finite weights: a schedule must not divide by zero. Small shares of a data set and
        time estimates make such short trainings.
        """
        for steps in (1, 2):
            for profile, training in self.accepted(steps)[1].items():
                for _ in range(steps):
                    training.step()
                finite = all(bool(parameter.isfinite().all()) for parameter in training.network.parameters())
                demand(finite, f"a training of {steps} steps left non-finite weights in the {profile} network; fix the schedule")

    def resuming(self) -> None:
        """A training that is saved after three steps and loaded into new objects continues bit for bit like the original. Sweeps resume
        trials after a crash.
        """
        kind, begun = self.accepted()
        for profile, training in begun.items():
            for _ in range(3):
                training.step()
            saved, resumed = training.state, self.start(profile, kind)
            resumed.restore(saved)
            for one in (training, resumed):
                for _ in range(3):
                    one.step()
            same = equal(training.network.state_dict(), resumed.network.state_dict())
            demand(
                same, "training differs after loading a checkpoint; keep everything that a step depends on in the optimizer's state_dict"
            )
