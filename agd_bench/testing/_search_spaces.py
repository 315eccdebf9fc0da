"""Checks of a search space."""

from __future__ import annotations

import itertools
import json
import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import ModuleType

import numpy as np
import torch
from torch import Tensor, nn

from agd_bench.cost import count_flops
from agd_bench.optim.path_scaling import path_counts, read_edges
from agd_bench.plugins import Kind
from agd_bench.records import Profile, Trial
from agd_bench.tabular import Domain
from agd_bench.testing import noise
from agd_bench.testing._checking import PROFILES, Check, Fault, cites, demand, equal, keywords, misspelt, run
from agd_bench.testing._refusals import find_refusals
from agd_bench.training.profiles import apply_profile
from agd_bench.trial import Workplace, run_trial

DRAWS = 16
BUILT = 6
TRIED = 2
"""Number of architectures that are sampled, built, and trained as trials."""

IMAGES = ((3, 32, 10), (1, 28, 7))
"""Channels and side length of test images, and number of classes."""

COUNTED = 10_000
"""Size of the largest space whose distinct networks are counted; larger ones take too long."""

DRAW_SECONDS, BUILD_SECONDS = 0.01, 2.0
"""Limits on the CPU seconds of one draw and one network with default options. Built-in spaces take at most 0.0004 and 0.15."""


def check_search_space(module: ModuleType) -> list[Check]:
    """Check that a search space follows its protocol."""
    space = _SearchSpace(module)
    checks: dict[str, Callable[[], str | None]] = {
        "the docstring cites a source": space.source,
        "VARIES, SIZE, NETWORKS, PAPER and IDENTITY are valid": space.facts,
        "OPTIONS are the keywords of build()": space.options,
        "no constant resembles the name of a fact": partial(misspelt, "search_spaces", module),
        "sample() is reproducible": space.drawing,
        "architectures are strings that JSON preserves": space.text,
        "build() rejects invalid architectures": space.malformed,
        "networks return finite logits of the right shape": space.logits,
        "networks work in both profiles": space.profiles,
        "strings have words to vary": space.words,
        "build() is reproducible": space.repeats,
        "sample() and build() are fast": space.speed,
        "logits depend on the image, and every parameter has a gradient": space.gradient,
        "built-in algorithms train the networks": space.refusals,
        "a short trial succeeds": space.trial,
    }
    optional = {"architectures": space.enumeration, "canonical": space.canonical, "defect": space.defects, "features": space.features}
    optional |= {"size": space.size, "neighbours": space.neighbours}
    for name, check in optional.items():
        if hasattr(module, name):
            checks[f"{name}() is consistent"] = check
    if hasattr(module, "graph"):
        checks["graph() matches the built network"] = space.graph
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
        network = self.module.build(architecture, channels, classes, **getattr(self.module, "SMALL", {}))
        if not isinstance(network, nn.Module):
            raise Fault(f"build() returned {type(network).__name__} for {architecture!r}; return an nn.Module")
        return network

    def defect(self, architecture: str) -> str:
        return self.module.defect(architecture) if hasattr(self.module, "defect") else ""

    def source(self) -> None:
        """The module docstring says where the space comes from, with a year: a paper, a public description, or its author. Readers of a
        leaderboard need it.
        """
        cites(self.module)

    def facts(self) -> None:
        """VARIES (what varies), PAPER and IDENTITY (what is tested to be as published) are strings; SIZE (number of architectures) and
        NETWORKS (number of distinct ones) are integers. All are optional, and shown in the list of search spaces.
        """
        for fact in ("VARIES", "PAPER", "IDENTITY"):
            stated = getattr(self.module, fact, "–")
            demand(isinstance(stated, str) and bool(stated), f"{fact} is {stated!r}; it must be a non-empty string, or be left out")
        size = getattr(self.module, "SIZE", None)
        networks = getattr(self.module, "NETWORKS", None)
        for fact, count in (("SIZE", size), ("NETWORKS", networks)):
            demand(
                count is None or (type(count) is int and count > 0), f"{fact} is {count!r}; it must be a positive integer, or be left out"
            )
        demand(size is None or networks is None or networks <= size, f"NETWORKS = {networks} is larger than SIZE = {size}")

    def options(self) -> None:
        """The keywords of build(architecture, in_channels, num_classes, **options) and OPTIONS agree, defaults included: a sweep sets
        options by name, and a misspelt one is an error before training starts. SMALL holds values of options for quick checks.
        """
        taken = keywords(self.module.build, ("architecture", "in_channels", "num_classes"))
        defaults = {name: parameter.default for name, parameter in taken.items()}
        stated = getattr(self.module, "OPTIONS", {})
        demand(stated == defaults, f"OPTIONS is {stated}, but build() has {defaults}; list each option of build() with its default")
        small = getattr(self.module, "SMALL", {})
        demand(set(small) <= set(stated), f"SMALL is {small}, but OPTIONS is {stated}; SMALL may only contain options")

    def drawing(self) -> None:
        """sample(rng) depends on `rng` only: equal seeds give equal architectures, different seeds different ones, and global generators
        stay untouched. Sweeps draw the same architectures on every machine.
        """
        before = (torch.get_rng_state(), np.random.get_state(legacy=False))
        first, second = self.drawn(), self.drawn()
        demand(first == second, "two generators with the same seed gave different architectures; draw random numbers from `rng` only")
        untouched = torch.equal(before[0], torch.get_rng_state()) and str(before[1]) == str(np.random.get_state(legacy=False))
        demand(untouched, "sample() uses a global random generator; draw random numbers from `rng` only")
        demand(len(set(first + self.drawn(1))) > 1, f"{2 * DRAWS} draws all gave the same architecture; draw from `rng`")

    def text(self) -> None:
        """An architecture is a printable string that JSON preserves: it identifies rows and seeds."""
        for architecture in self.drawn():
            demand(isinstance(architecture, str), f"sample() returned {type(architecture).__name__}; return the architecture as a string")
            kept = (
                architecture.isprintable() and architecture == architecture.strip() and json.loads(json.dumps(architecture)) == architecture
            )
            demand(bool(architecture) and kept, f"{architecture!r} must be printable, without leading or trailing spaces")

    def malformed(self) -> None:
        """build() raises ValueError for invalid strings, so a typo stops a sweep before training starts."""
        for wrong in ("", "no such architecture", f"{self.drawn(count=1)[0]}?"):
            try:
                self.module.build(wrong, 3, 10)
            except ValueError:
                continue
            raise Fault(f"build() accepts {wrong!r}; raise a ValueError that says what is allowed")

    def logits(self) -> None:
        """Networks map images with 3 or 1 channels and 32 or 28 pixels per side to finite logits (N, num_classes). Data sets differ in
        both.
        """
        crossed = [(channels, size, classes) for channels, _, classes in IMAGES for _, size, _ in IMAGES]
        for number, architecture in enumerate(self.drawn(count=BUILT)):
            for channels, size, classes in IMAGES if number else crossed:
                got = self.network(architecture, channels, classes)(torch.randn(4, channels, size, size))
                case = f"{architecture!r} on images (4, {channels}, {size}, {size})"
                shaped = isinstance(got, Tensor) and tuple(got.shape) == (4, classes)
                demand(shaped, f"{case} returns {_shown(got)}, not logits (4, {classes}); end with a linear layer to num_classes")
                demand(bool(got.isfinite().all()), f"{case} returns non-finite logits at initialisation; scale the weights")
        if hasattr(self.module, "SMALL"):
            with torch.device("meta"):  # shapes only: default sizes are too slow to compute here
                got = self.module.build(architecture, channels, classes)(torch.zeros(4, channels, size, size))
            demand(tuple(got.shape) == (4, classes), f"{architecture!r} with default options returns {_shown(got)}")

    def profiles(self) -> str:
        """Networks return finite logits in both profiles: as-published, and matrix-only, in which agd-bench removes biases and learned
        normalisation scales because AGD is defined for matrices only.
        """
        left: set[str] = set()
        for profile, architecture in itertools.product(PROFILES, self.drawn(count=BUILT)):
            network = apply_profile(self.network(architecture), profile)
            got = network(torch.randn(4, 3, 32, 32))
            demand(bool(got.isfinite().all()), f"{architecture!r} returns non-finite logits in profile {profile}")
            if profile == "matrix-only":
                left |= {name for name, parameter in network.named_parameters() if parameter.ndim < 2}
        return f"{', '.join(sorted(left))} remain in matrix-only: algorithms for matrices only will refuse" if left else ""

    def words(self) -> str:
        """Search methods mutate an architecture by changing one word of its string: a name such as conv_3x3, or a number. Strings without
        common words leave them random search; a function neighbours(architecture) helps where words are not what should change.
        """
        counts = [len(choices) for choices in Domain(sorted(set(self.drawn() + self.drawn(1)))).variables]
        demand(bool(counts), "the strings of several draws do not differ in any word; separate names and numbers by punctuation")
        return f"{len(counts)} variables with up to {max(counts)} choices"

    def neighbours(self) -> None:
        """neighbours(architecture) returns other architectures of the space, the same ones at every call."""
        for architecture in self.drawn(count=BUILT):
            near = list(self.module.neighbours(architecture))
            demand(near == list(self.module.neighbours(architecture)), f"two calls of neighbours({architecture!r}) differ")
            demand(bool(near) and architecture not in near, f"neighbours({architecture!r}) must be other architectures, at least one")
            self.network(near[0])  # raises for what is no architecture

    def repeats(self) -> None:
        """Two builds under the same torch seed have equal weights: algorithms are compared from equal starts, and trials can be
        repeated.
        """
        for architecture in self.drawn(count=BUILT):
            one, other = (self.network(architecture, seed=5).state_dict() for _ in range(2))
            demand(
                equal(one, other),
                f"two builds of {architecture!r} under the same torch seed differ; initialise with torch's global generator",
            )

    def speed(self) -> str:
        """A draw takes at most 10 ms of CPU time, and a network with default options 2 s, in the better of two tries. Plans draw thousands
        of architectures, and every trial builds a network.
        """
        draw = min(_cpu_seconds(lambda: self.drawn(count=DRAWS)) for _ in range(2)) / DRAWS
        demand(draw <= DRAW_SECONDS, f"a draw takes {1e3 * draw:.1f} ms of CPU time; move checks from sample() to build()")
        slowest = 0.0
        for architecture in self.drawn(count=BUILT):
            build = partial(self.module.build, architecture, 3, 10)
            seconds = _cpu_seconds(build)
            if seconds > BUILD_SECONDS:
                seconds = min(seconds, _cpu_seconds(build))
            slowest = max(slowest, seconds)
            case = f"{architecture!r} takes {seconds:.1f} s of CPU time to build"
            demand(seconds <= BUILD_SECONDS, f"{case}; use torch's initialisation, and compute nothing else")
        return f"{1e3 * draw:.2f} ms per draw, at most {1e3 * slowest:.0f} ms per network"

    def learning(self, architecture: str) -> int:
        """Return how many parameters have a gradient."""
        # without learned shifts, which have a gradient even where the signal is zero
        network = apply_profile(self.network(architecture), "matrix-only")
        torch.autograd.backward(network(torch.randn(4, 3, 16, 16)).square().sum())
        return sum(p.numel() for p in network.parameters() if p.grad is not None and bool(p.grad.any()))

    def gradient(self) -> str:
        """Logits depend on the image unless defect(architecture) gives a reason, and every parameter has a gradient in at least one of
        the sampled architectures.
        """
        # Four times as many draws, since many architectures of a space may have a defect.
        sound = [architecture for architecture in self.drawn(count=4 * DRAWS) if not self.defect(architecture)][:DRAWS]
        demand(bool(sound), f"defect() rejects all {4 * DRAWS} sampled architectures")
        unreached = {}
        for architecture in sound:
            network, images = self.network(architecture), torch.randn(4, 3, 16, 16, requires_grad=True)
            torch.autograd.backward(nn.functional.cross_entropy(network(images), torch.arange(4)))
            demand(
                images.grad is not None and bool(images.grad.any()),
                f"the logits of {architecture!r} do not depend on the image; return the reason from defect(architecture)",
            )
            unreached[architecture] = [n for n, p in network.named_parameters() if p.requires_grad and (p.grad is None or not p.grad.any())]
        worst = max(unreached, key=lambda architecture: len(unreached[architecture]))
        dead = sum(bool(names) for names in unreached.values())
        remark = f"{dead} of {len(sound)} architectures have parameters without a gradient, {worst!r}: {', '.join(unreached[worst][:4])}"
        demand(dead < len(sound), f"{remark}; use each parameter in forward(), or do not create it")
        return remark if dead else ""

    def refusals(self) -> str:
        """Built-in training algorithms are tried on some networks in the profile matrix-only. An algorithm that refuses them all fills a
        report with refused rows; a note says which one, and what to change.
        """
        sound = [architecture for architecture in self.drawn() if not self.defect(architecture)][:TRIED]
        return find_refusals(self.module, {architecture: self.network(architecture) for architecture in sound})

    def trial(self) -> str:
        """One epoch of SGD succeeds in both profiles; otherwise sweeps would store failed rows. A remark lists measurements that are not
        possible, such as FLOPs: their columns would be empty.
        """
        remarks: dict[str, str] = {}
        for profile, architecture in itertools.product(PROFILES, self.drawn(count=TRIED)):
            result = run_trial(_trial(self.module, architecture, profile), _Bench(Path(), _DATASETS, "cpu", space=self.module))
            demand(result.status != "failed", f"a trial of {architecture!r} in profile {profile} fails: {result.reason}")
            missing = [f"{name}: {result.provenance[name]}" for name in ("flops_not_counted",) if name in result.provenance]
            remarks |= dict.fromkeys(missing, "")
        return "; ".join(remarks)

    def enumeration(self) -> str:
        """architectures() lists each architecture once, SIZE in total, and sample() draws from that list: a sweep of "all" trains the
        whole space.
        """
        # Some spaces are far too large to be listed as a whole.
        listed = list(itertools.islice(self.module.architectures(), 1_000_000))
        known = set(listed)
        demand(
            len(known) == len(listed), f"architectures() lists {len(listed) - len(known)} architectures more than once; list each one once"
        )
        foreign = [architecture for architecture in self.drawn() if architecture not in known]
        whole = len(listed) < 1_000_000
        demand(not foreign or not whole, f"sample() drew {foreign[:1]}, which architectures() does not list; draw from the list")
        stated, networks = getattr(self.module, "SIZE", None), getattr(self.module, "NETWORKS", None)
        demand(not whole or stated in (None, len(listed)), f"SIZE is {stated}, but architectures() lists {len(listed)}; set SIZE to that")
        if networks is not None and len(listed) <= COUNTED and hasattr(self.module, "canonical"):
            found = len({self.module.canonical(architecture) for architecture in listed})
            demand(networks == found, f"NETWORKS is {networks}, but canonical() gives {found} distinct names; set NETWORKS to that")
        return f"{'' if whole else 'the first '}{len(listed):,} architectures"

    def canonical(self) -> None:
        """canonical() is idempotent, and preserves the defect and the number of trainable parameters: equal networks are counted and
        trained once.
        """
        for architecture in self.drawn():
            once = self.module.canonical(architecture)
            demand(self.module.canonical(once) == once, f"canonical(canonical(a)) differs from canonical(a) for {architecture!r}")
            case = f"canonical({architecture!r}) is {once!r}"
            same = self.defect(once) == self.defect(architecture)
            demand(same, f"{case}, but defect() differs between the two; equal networks have equal defects")
            if once != architecture and not self.defect(once):
                sizes = [self.learning(name) for name in (architecture, once)]
                demand(
                    sizes[0] == sizes[1],
                    f"{case}, but {sizes[0]:,} and {sizes[1]:,} of their parameters are trainable; the networks differ",
                )
            for rule in getattr(self.module, "RULES", ()):
                name = self.module.canonical(architecture, rule)
                demand(
                    self.module.canonical(name, rule) == name,
                    f"canonical({name!r}, {rule!r}) differs from its argument; canonical names must be fixed points",
                )

    def size(self) -> None:
        """size(architecture, in_channels, num_classes, image_size, **options) returns the parameters and multiply-adds of the built
        network, computed from the definition: sweeps stratify samples by size without building networks.
        """
        small = getattr(self.module, "SMALL", {})
        for architecture, (channels, pixels, classes) in zip(self.drawn(count=2), IMAGES, strict=True):
            with torch.device("meta"):
                network = self.module.build(architecture, channels, classes, **small)
                flops = count_flops(network, torch.zeros(2, channels, pixels, pixels))
            demand(flops.forward is not None, f"the multiply-adds of {architecture!r} cannot be counted: {flops.reason}; leave size() out")
            # A multiply-add is two FLOPs.
            built = sum(parameter.numel() for parameter in network.parameters()), (flops.forward or 0) // 2
            stated = self.module.size(architecture, channels, classes, pixels, **small)
            demand(
                stated == built,
                f"size({architecture!r}, {channels}, {classes}, {pixels}) is {stated}, but the built network has {built} parameters and"
                " multiply-adds",
            )

    def features(self) -> None:
        """features(architecture) returns finite numbers under the same names for every architecture. Reports analyse which features an
        algorithm favours.
        """
        names = set()
        for architecture in self.drawn():
            found = self.module.features(architecture)
            numbers = isinstance(found, dict) and all(isinstance(value, int | float) and math.isfinite(value) for value in found.values())
            demand(numbers, f"features({architecture!r}) returned {found!r}; return a dict from names to finite numbers")
            names.add(tuple(sorted(found)))
        demand(len(names) == 1, f"features() returns different names for different architectures: {', '.join(map(str, sorted(names)))}")

    def graph(self) -> str:
        """Each linear layer and convolution of the network is on exactly one edge of graph(), and a path leads from image to logits if and
        only if defect() is empty: some algorithms scale weights and learning rates by the paths.
        """
        small = getattr(self.module, "SMALL", {})
        for architecture in self.drawn(count=BUILT):
            edges = read_edges(self.module.graph(architecture, **small))
            named = [edge.module for edge in edges if edge.module]
            network = self.network(architecture)
            weighted = {name for name, part in network.named_modules() if isinstance(part, nn.Linear | nn.modules.conv._ConvNd)}
            case = f"graph({architecture!r})"
            faults = {"repeats": _repeated(named), "omits": weighted - set(named), "lists unknown modules": set(named) - weighted}
            for fault, names in faults.items():
                demand(not names, f"{case} {fault} {', '.join(sorted(names))}; list each linear layer and convolution once")
            joined = bool(path_counts(edges))
            demand(
                joined != bool(self.defect(architecture)),
                f"{case} has {'a' if joined else 'no'} path from image to logits, which contradicts defect()",
            )
        shallow = getattr(self.module, "SHALLOW", None)
        if shallow is None:
            return "without SHALLOW, algorithms that transfer a learning rate from a shallow network refuse this space"
        demand(bool(path_counts(read_edges(self.module.graph(shallow)))), f"SHALLOW = {shallow!r} has no path from image to logits")
        return ""

    def defects(self) -> None:
        """defect(architecture) returns why an architecture cannot be trained, or an empty string. It is the reason of its refused row."""
        for architecture in self.drawn():
            reason = self.module.defect(architecture)
            demand(
                isinstance(reason, str),
                f"defect({architecture!r}) returned {reason!r}; return a string: the reason, or '' if it can be trained",
            )


@dataclass(frozen=True)
class _Bench(Workplace):
    """Workplace of short trials in which the search space is the module under test, wherever its file is."""

    space: ModuleType | None = None

    def load(self, kind: Kind, name: str) -> ModuleType:
        return self.space if kind == "search_spaces" and self.space else super().load(kind, name)

    def executed_digest(self, kind: Kind, name: str) -> str:
        return "" if kind == "search_spaces" and self.space else super().executed_digest(kind, name)


_DATASETS: dict[Kind, tuple[Path, ...]] = {"datasets": (Path(noise.__file__).parent,)}


def _trial(module: ModuleType, architecture: str, profile: Profile) -> Trial:
    """Return a trial of one epoch of two steps on noise."""
    return Trial(
        search_space="checked",
        search_space_label="checked",
        search_space_options=getattr(module, "SMALL", {}),
        architecture=architecture,
        dataset="noise",
        algorithm="sgd",
        algorithm_label="sgd",
        profile=profile,
        epochs=1,
        batch_size=32,
        seed=0,
    )


def _shown(got: object) -> str:
    return f"logits {tuple(got.shape)}" if isinstance(got, Tensor) else f"a {type(got).__name__}"


def _cpu_seconds(work: Callable[[], object]) -> float:
    # CPU time, so that other processes on the machine do not fail the check.
    started = time.process_time()
    work()
    return time.process_time() - started


def _repeated(names: list[str]) -> set[str]:
    return {name for name in names if names.count(name) > 1}
