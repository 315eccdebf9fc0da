"""What a search space must keep."""

from __future__ import annotations

import itertools
import json
import math
from collections.abc import Callable
from types import ModuleType

import numpy as np
import torch
from torch import nn

from agd_bench.optim.path_scaling import path_counts, read_edges
from agd_bench.testing._checking import PROFILES, Check, Fault, cites, demand, equal, keywords, run
from agd_bench.training.profiles import apply_profile

DRAWS = 16
BUILT = 6
"""Architectures drawn from a search space, and how many of them are built."""

IMAGES = ((3, 32), (1, 28))
"""Channels and size of the images that networks are given."""


def check_search_space(module: ModuleType) -> list[Check]:
    """Whether a search space keeps its protocol."""
    space = _SearchSpace(module)
    checks: dict[str, Callable[[], str | None]] = {
        "the docstring names a source": lambda: cites(module),
        "OPTIONS are the keywords of build": space.options,
        "equal seeds draw equal architectures": space.drawing,
        "architectures are text that survives JSON": space.text,
        "build refuses what is no architecture": space.malformed,
        "networks give finite logits of the right shape": space.logits,
        "networks build in both profiles": space.profiles,
        "building repeats under a seed": space.repeats,
        "the image reaches the logits and the gradient every parameter": space.gradient,
    }
    optional = {"architectures": space.enumeration, "canonical": space.canonical, "defect": space.defects, "features": space.features}
    for name, check in optional.items():
        if hasattr(module, name):
            checks[f"{name}() keeps its promise"] = check
    if hasattr(module, "graph"):
        checks["graph() tells the paths of what build builds"] = space.graph
    return run(checks)


class _SearchSpace:
    """The checks of a search space, which share its first draws."""

    def __init__(self, module: ModuleType) -> None:
        self.module = module

    def drawn(self, seed: int = 0, count: int = DRAWS) -> list[str]:
        rng = np.random.default_rng(seed)
        return [self.module.sample(rng) for _ in range(count)]

    def network(self, architecture: str, channels: int = 3, classes: int = 10, seed: int = 0) -> nn.Module:
        torch.manual_seed(seed)
        network: nn.Module = self.module.build(architecture, channels, classes, **getattr(self.module, "SMALL", {}))
        return network

    def defect(self, architecture: str) -> str:
        return self.module.defect(architecture) if hasattr(self.module, "defect") else ""

    def options(self) -> None:
        taken = keywords(self.module.build, ("architecture", "in_channels", "num_classes"))
        defaults = {name: parameter.default for name, parameter in taken.items()}
        stated = getattr(self.module, "OPTIONS", {})
        demand(stated == defaults, f"OPTIONS is {stated}, but build has {defaults}; every option of build needs its default in OPTIONS")
        small = getattr(self.module, "SMALL", {})
        demand(set(small) <= set(stated), f"SMALL is {small}, but OPTIONS are {stated}; SMALL holds values of options for quick checks")

    def drawing(self) -> None:
        before = (torch.get_rng_state(), np.random.get_state(legacy=False))
        first, second = self.drawn(), self.drawn()
        demand(first == second, "two generators with one seed drew different architectures; draw from `rng` alone")
        untouched = torch.equal(before[0], torch.get_rng_state()) and str(before[1]) == str(np.random.get_state(legacy=False))
        demand(untouched, "sample uses a global random generator; draw from `rng` alone")
        demand(len(set(first + self.drawn(1))) > 1, f"{2 * DRAWS} draws gave one architecture; draw from `rng`")

    def text(self) -> None:
        for architecture in self.drawn():
            demand(isinstance(architecture, str), f"sample returned {type(architecture).__name__}, not str; return the canonical string")
            kept = (
                architecture.isprintable() and architecture == architecture.strip() and json.loads(json.dumps(architecture)) == architecture
            )
            demand(bool(architecture) and kept, f"{architecture!r} must be printable text with no space around it")

    def malformed(self) -> None:
        for wrong in ("", "no such architecture", f"{self.drawn(count=1)[0]}?"):
            try:
                self.module.build(wrong, 3, 10)
            except ValueError:
                continue
            raise Fault(f"build accepts {wrong!r}; raise ValueError with what is allowed")

    def logits(self) -> None:
        for architecture in self.drawn(count=BUILT):
            for (channels, size), classes in zip(IMAGES, (10, 7), strict=True):
                got = self.network(architecture, channels, classes)(torch.randn(4, channels, size, size))
                case = f"{architecture!r} on images (4, {channels}, {size}, {size})"
                demand(tuple(got.shape) == (4, classes), f"{case} gives logits {tuple(got.shape)}, not (4, {classes})")
                demand(bool(got.isfinite().all()), f"{case} gives logits that are not finite at initialisation; scale the weights")
        if hasattr(self.module, "SMALL"):
            with torch.device("meta"):  # sizes, without the computations that SMALL is there to save
                got = self.module.build(architecture, channels, classes)(torch.zeros(4, channels, size, size))
            demand(tuple(got.shape) == (4, classes), f"{architecture!r} with its default options gives logits {tuple(got.shape)}")

    def profiles(self) -> str:
        left: set[str] = set()
        for profile, architecture in itertools.product(PROFILES, self.drawn(count=BUILT)):
            network = apply_profile(self.network(architecture), profile)
            got = network(torch.randn(4, 3, 32, 32))
            demand(bool(got.isfinite().all()), f"{architecture!r} in profile {profile} gives logits that are not finite")
            if profile == "matrix-only":
                left |= {name for name, parameter in network.named_parameters() if parameter.ndim < 2}
        return f"matrix-only leaves {', '.join(sorted(left))}: algorithms for matrices alone will refuse" if left else ""

    def repeats(self) -> None:
        for architecture in self.drawn(count=BUILT):
            one, other = (self.network(architecture, seed=5).state_dict() for _ in range(2))
            demand(equal(one, other), f"{architecture!r} built twice under one torch seed differs; use torch's own initialisation")

    def learning(self, architecture: str) -> int:
        """How many parameters get a gradient."""
        network = self.network(architecture)
        torch.autograd.backward(network(torch.randn(4, 3, 16, 16)).square().sum())
        return sum(p.numel() for p in network.parameters() if p.grad is not None and bool(p.grad.any()))

    def gradient(self) -> str:
        """Dead parts of an architecture may stay without a gradient, the same part of every architecture may not."""
        sound = [architecture for architecture in self.drawn(count=4 * DRAWS) if not self.defect(architecture)][:DRAWS]
        demand(bool(sound), f"defect() finds fault with each of {4 * DRAWS} draws")
        unreached = {}
        for architecture in sound:
            network, images = self.network(architecture), torch.randn(4, 3, 16, 16, requires_grad=True)
            torch.autograd.backward(nn.functional.cross_entropy(network(images), torch.arange(4)))
            demand(
                images.grad is not None and bool(images.grad.any()),
                f"logits of {architecture!r} do not depend on the image; let defect(architecture) return the reason",
            )
            unreached[architecture] = [n for n, p in network.named_parameters() if p.requires_grad and (p.grad is None or not p.grad.any())]
        worst = max(unreached, key=lambda architecture: len(unreached[architecture]))
        dead = sum(bool(names) for names in unreached.values())
        remark = f"{dead} of {len(sound)} architectures have parameters without a gradient, {worst!r}: {', '.join(unreached[worst][:4])}"
        demand(dead < len(sound), f"{remark}; use each parameter in forward, or do not make it")
        return remark if dead else ""

    def enumeration(self) -> None:
        listed = list(itertools.islice(self.module.architectures(), 1_000_000))
        known = set(listed)
        demand(len(known) == len(listed), f"architectures() lists {len(listed) - len(known)} twice")
        foreign = [architecture for architecture in self.drawn() if architecture not in known]
        demand(not foreign or len(listed) == 1_000_000, f"sample drew {foreign[:1]}, which architectures() does not list")

    def canonical(self) -> None:
        for architecture in self.drawn():
            once = self.module.canonical(architecture)
            demand(self.module.canonical(once) == once, f"canonical(canonical(a)) differs from canonical(a) for {architecture!r}")
            case = f"canonical({architecture!r}) is {once!r}"
            same = self.defect(once) == self.defect(architecture)
            demand(same, f"{case}, of which defect() says something else; equal networks have equal defects")
            if once != architecture and not self.defect(once):
                sizes = [self.learning(name) for name in (architecture, once)]
                demand(sizes[0] == sizes[1], f"{case}, but {sizes[0]:,} and {sizes[1]:,} of their parameters learn; they are not equal")

    def features(self) -> None:
        names = set()
        for architecture in self.drawn():
            found = self.module.features(architecture)
            numbers = isinstance(found, dict) and all(isinstance(value, int | float) and math.isfinite(value) for value in found.values())
            demand(numbers, f"features({architecture!r}) returned {found!r}; return finite numbers by name")
            names.add(tuple(sorted(found)))
        demand(len(names) == 1, f"features() gives other names for other architectures: {', '.join(map(str, sorted(names)))}")

    def graph(self) -> str:
        small = getattr(self.module, "SMALL", {})
        for architecture in self.drawn(count=BUILT):
            edges = read_edges(self.module.graph(architecture, **small))
            named = [edge.module for edge in edges if edge.module]
            network = self.network(architecture)
            weighted = {name for name, part in network.named_modules() if isinstance(part, nn.Linear | nn.modules.conv._ConvNd)}
            case = f"graph({architecture!r})"
            faults = {"lists twice": _repeated(named), "misses": weighted - set(named), "invents": set(named) - weighted}
            for fault, names in faults.items():
                demand(not names, f"{case} {fault} {', '.join(sorted(names))}; name each linear layer and convolution once")
            joined = bool(path_counts(edges))
            demand(joined != bool(self.defect(architecture)), f"{case} has {'a' if joined else 'no'} path, and defect() says otherwise")
        shallow = getattr(self.module, "SHALLOW", None)
        if shallow is None:
            return "no SHALLOW: training algorithms that carry over a learning rate refuse this space"
        demand(bool(path_counts(read_edges(self.module.graph(shallow)))), f"SHALLOW = {shallow!r} has no path from image to logits")
        return ""

    def defects(self) -> None:
        for architecture in self.drawn():
            reason = self.module.defect(architecture)
            demand(isinstance(reason, str), f"defect({architecture!r}) returned {reason!r}; return a reason, or '' for none")


def _repeated(names: list[str]) -> set[str]:
    return {name for name in names if names.count(name) > 1}
