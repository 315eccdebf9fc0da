"""What a search space must keep."""

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
from agd_bench.testing import noise
from agd_bench.testing._checking import PROFILES, Check, Fault, cites, demand, equal, keywords, misspelt, run
from agd_bench.testing._refusals import refusals
from agd_bench.training.profiles import apply_profile
from agd_bench.trial import Workplace, run_trial

DRAWS = 16
BUILT = 6
TRIED = 2
"""Architectures drawn from a search space, how many of them are built, and how many are trained as trials."""

IMAGES = ((3, 32, 10), (1, 28, 7))
"""Channels and size of the images that networks are given, and classes that they tell apart."""

COUNTED = 10_000
"""Architectures of which those that differ are counted; of larger spaces that takes too long."""

DRAW_SECONDS, BUILD_SECONDS = 0.01, 2.0
"""CPU seconds that one draw and one network (with default options) may take; the built-in ones take at most 0.0004 and 0.15."""


def check_search_space(module: ModuleType) -> list[Check]:
    """Whether a search space keeps its protocol."""
    space = _SearchSpace(module)
    checks: dict[str, Callable[[], str | None]] = {
        "the docstring names a source": space.source,
        "VARIES, SIZE, NETWORKS, PAPER and IDENTITY, where stated": space.facts,
        "OPTIONS are the keywords of build": space.options,
        "no capital is nearly called as a fact": partial(misspelt, "search_spaces", module),
        "equal seeds draw equal architectures": space.drawing,
        "architectures are text that survives JSON": space.text,
        "build refuses what is no architecture": space.malformed,
        "networks give finite logits of the right shape": space.logits,
        "networks build in both profiles": space.profiles,
        "building repeats under a seed": space.repeats,
        "drawing and building are quick": space.speed,
        "the image reaches the logits and the gradient every parameter": space.gradient,
        "built-in algorithms train the networks": space.refusals,
        "a short trial ends well": space.trial,
    }
    optional = {"architectures": space.enumeration, "canonical": space.canonical, "defect": space.defects, "features": space.features}
    optional["size"] = space.size
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
        network = self.module.build(architecture, channels, classes, **getattr(self.module, "SMALL", {}))
        if not isinstance(network, nn.Module):
            raise Fault(f"build returned {type(network).__name__} for {architecture!r}; return an nn.Module")
        return network

    def defect(self, architecture: str) -> str:
        return self.module.defect(architecture) if hasattr(self.module, "defect") else ""

    def source(self) -> None:
        """The module's docstring tells where the space comes from, with a year: a paper, a public description, or its author. Whoever
        reads a leaderboard asks that first.
        """
        cites(self.module)

    def facts(self) -> None:
        """What varies, the paper and what is tested to be as published, in words; how many architectures there are and how many of them
        differ, as whole numbers. All are optional: they fill the list of search spaces.
        """
        for fact in ("VARIES", "PAPER", "IDENTITY"):
            stated = getattr(self.module, fact, "–")
            demand(isinstance(stated, str) and bool(stated), f"{fact} is {stated!r}; state it in words, or leave it out")
        size = getattr(self.module, "SIZE", None)
        networks = getattr(self.module, "NETWORKS", None)
        for fact, count in (("SIZE", size), ("NETWORKS", networks)):
            demand(count is None or (type(count) is int and count > 0), f"{fact} is {count!r}; state a whole number, or leave it out")
        demand(size is None or networks is None or networks <= size, f"{networks} networks are more than {size} architectures")

    def options(self) -> None:
        """build(architecture, in_channels, num_classes, **options) names every option and OPTIONS holds each with its default: a
        sweep sets them by name, and a misspelt one is refused before anything is trained. SMALL, for checks, holds some of them.
        """
        taken = keywords(self.module.build, ("architecture", "in_channels", "num_classes"))
        defaults = {name: parameter.default for name, parameter in taken.items()}
        stated = getattr(self.module, "OPTIONS", {})
        demand(stated == defaults, f"OPTIONS is {stated}, but build has {defaults}; every option of build needs its default in OPTIONS")
        small = getattr(self.module, "SMALL", {})
        demand(set(small) <= set(stated), f"SMALL is {small}, but OPTIONS are {stated}; SMALL holds values of options for quick checks")

    def drawing(self) -> None:
        """Two generators of one seed draw the same architectures, other seeds draw others, and no global generator is touched: a sweep
        draws by the space's name, the same on every machine.
        """
        before = (torch.get_rng_state(), np.random.get_state(legacy=False))
        first, second = self.drawn(), self.drawn()
        demand(first == second, "two generators with one seed drew different architectures; draw from `rng` alone")
        untouched = torch.equal(before[0], torch.get_rng_state()) and str(before[1]) == str(np.random.get_state(legacy=False))
        demand(untouched, "sample uses a global random generator; draw from `rng` alone")
        demand(len(set(first + self.drawn(1))) > 1, f"{2 * DRAWS} draws gave one architecture; draw from `rng`")

    def text(self) -> None:
        """An architecture is its string, and comes back from JSON as it was: it names rows, seeds and files."""
        for architecture in self.drawn():
            demand(isinstance(architecture, str), f"sample returned {type(architecture).__name__}, not str; return the canonical string")
            kept = (
                architecture.isprintable() and architecture == architecture.strip() and json.loads(json.dumps(architecture)) == architecture
            )
            demand(bool(architecture) and kept, f"{architecture!r} must be printable text with no space around it")

    def malformed(self) -> None:
        """build raises ValueError for text that is no architecture, so that a sweep with a slip of the pen stops before it starts."""
        for wrong in ("", "no such architecture", f"{self.drawn(count=1)[0]}?"):
            try:
                self.module.build(wrong, 3, 10)
            except ValueError:
                continue
            raise Fault(f"build accepts {wrong!r}; raise ValueError with what is allowed")

    def logits(self) -> None:
        """Networks for images of three channels and of one, 32 and 28 pixels a side, give logits (N, num_classes), all finite: the data
        sets of a sweep differ in both.
        """
        crossed = [(channels, size, classes) for channels, _, classes in IMAGES for _, size, _ in IMAGES]
        for number, architecture in enumerate(self.drawn(count=BUILT)):
            for channels, size, classes in IMAGES if number else crossed:
                got = self.network(architecture, channels, classes)(torch.randn(4, channels, size, size))
                case = f"{architecture!r} on images (4, {channels}, {size}, {size})"
                shaped = isinstance(got, Tensor) and tuple(got.shape) == (4, classes)
                demand(shaped, f"{case} gives {_shown(got)}, not logits (4, {classes}); end with a linear layer to num_classes")
                demand(bool(got.isfinite().all()), f"{case} gives logits that are not finite at initialisation; scale the weights")
        if hasattr(self.module, "SMALL"):
            with torch.device("meta"):  # sizes, without the computations that SMALL is there to save
                got = self.module.build(architecture, channels, classes)(torch.zeros(4, channels, size, size))
            demand(tuple(got.shape) == (4, classes), f"{architecture!r} with its default options gives {_shown(got)}")

    def profiles(self) -> str:
        """Networks give finite logits as published and without their biases and learned normalisation scales (`matrix-only`), which
        agd-bench takes away, because AGD is defined for matrices alone.
        """
        left: set[str] = set()
        for profile, architecture in itertools.product(PROFILES, self.drawn(count=BUILT)):
            network = apply_profile(self.network(architecture), profile)
            got = network(torch.randn(4, 3, 32, 32))
            demand(bool(got.isfinite().all()), f"{architecture!r} in profile {profile} gives logits that are not finite")
            if profile == "matrix-only":
                left |= {name for name, parameter in network.named_parameters() if parameter.ndim < 2}
        return f"matrix-only leaves {', '.join(sorted(left))}: algorithms for matrices alone will refuse" if left else ""

    def repeats(self) -> None:
        """Under one seed of torch's generator, two builds start from equal weights: algorithms are compared from equal starts, and a
        trial can be trained again.
        """
        for architecture in self.drawn(count=BUILT):
            one, other = (self.network(architecture, seed=5).state_dict() for _ in range(2))
            demand(equal(one, other), f"{architecture!r} built twice under one torch seed differs; use torch's own initialisation")

    def speed(self) -> str:
        """A draw takes at most 10 ms of CPU time and a network with default options 2 s, of which the better of two tries counts: plans
        draw thousands, and every trial builds one.
        """
        draw = min(_cpu_seconds(lambda: self.drawn(count=DRAWS)) for _ in range(2)) / DRAWS
        demand(draw <= DRAW_SECONDS, f"a draw takes {1e3 * draw:.1f} ms of CPU time; let sample draw, and leave checking to build")
        slowest = 0.0
        for architecture in self.drawn(count=BUILT):
            build = partial(self.module.build, architecture, 3, 10)
            seconds = _cpu_seconds(build)
            if seconds > BUILD_SECONDS:
                seconds = min(seconds, _cpu_seconds(build))
            slowest = max(slowest, seconds)
            case = f"{architecture!r} takes {seconds:.1f} s of CPU time to build"
            demand(seconds <= BUILD_SECONDS, f"{case}; initialise as torch does, and compute nothing else")
        return f"{1e3 * draw:.2f} ms a draw, at most {1e3 * slowest:.0f} ms a network"

    def learning(self, architecture: str) -> int:
        """How many parameters get a gradient, without learned scales and shifts: with them, even zeros can be told apart."""
        network = apply_profile(self.network(architecture), "matrix-only")
        torch.autograd.backward(network(torch.randn(4, 3, 16, 16)).square().sum())
        return sum(p.numel() for p in network.parameters() if p.grad is not None and bool(p.grad.any()))

    def gradient(self) -> str:
        """Logits depend on the image, or defect(architecture) says why not; and every parameter gets a gradient. An architecture may
        have dead parts, but at least one of those drawn has none.
        """
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

    def refusals(self) -> str:
        """Each built-in training algorithm is offered some networks in the profile matrix-only, in which a sweep compares: one that
        refuses them all would fill the report with refused rows. A note says which, and what to change.
        """
        sound = [architecture for architecture in self.drawn() if not self.defect(architecture)][:TRIED]
        return refusals(self.module, {architecture: self.network(architecture) for architecture in sound})

    def trial(self) -> str:
        """A training of an epoch by SGD ends well in both profiles, and what a trial could not measure of it, such as FLOPs, is said: a
        sweep would store `failed` rows, or leave the charge empty.
        """
        remarks: dict[str, str] = {}
        for profile, architecture in itertools.product(PROFILES, self.drawn(count=TRIED)):
            result = run_trial(_trial(self.module, architecture, profile), _Bench(Path(), _DATASETS, "cpu", space=self.module))
            demand(result.status != "failed", f"a trial of {architecture!r} in profile {profile} fails: {result.reason}")
            missing = [f"{name}: {result.provenance[name]}" for name in ("flops_not_counted",) if name in result.provenance]
            remarks |= dict.fromkeys(missing, "")
        return "; ".join(remarks)

    def enumeration(self) -> str:
        """A space that can be listed lists each architecture once, SIZE of them, and sample draws from that list: a sweep of "all" trains
        the space, neither more nor less.
        """
        listed = list(itertools.islice(self.module.architectures(), 1_000_000))
        known = set(listed)
        demand(len(known) == len(listed), f"architectures() lists {len(listed) - len(known)} twice; list each string once")
        foreign = [architecture for architecture in self.drawn() if architecture not in known]
        whole = len(listed) < 1_000_000
        demand(not foreign or not whole, f"sample drew {foreign[:1]}, which architectures() does not list; draw from the list")
        stated, networks = getattr(self.module, "SIZE", None), getattr(self.module, "NETWORKS", None)
        demand(not whole or stated in (None, len(listed)), f"SIZE is {stated}, but {len(listed)} are listed; state that")
        if networks is not None and len(listed) <= COUNTED and hasattr(self.module, "canonical"):
            found = len({self.module.canonical(architecture) for architecture in listed})
            demand(networks == found, f"NETWORKS is {networks}, but canonical() leaves {found}; state that")
        return f"{'' if whole else 'the first '}{len(listed):,} architectures"

    def canonical(self) -> None:
        """The canonical name of a canonical name is itself, has the same defect, and its network as many parameters that learn: equal
        networks are counted and trained once.
        """
        for architecture in self.drawn():
            once = self.module.canonical(architecture)
            demand(self.module.canonical(once) == once, f"canonical(canonical(a)) differs from canonical(a) for {architecture!r}")
            case = f"canonical({architecture!r}) is {once!r}"
            same = self.defect(once) == self.defect(architecture)
            demand(same, f"{case}, of which defect() says something else; equal networks have equal defects")
            if once != architecture and not self.defect(once):
                sizes = [self.learning(name) for name in (architecture, once)]
                demand(sizes[0] == sizes[1], f"{case}, but {sizes[0]:,} and {sizes[1]:,} of their parameters learn; they are not equal")
            for rule in getattr(self.module, "RULES", ()):
                name = self.module.canonical(architecture, rule)
                demand(self.module.canonical(name, rule) == name, f"canonical({name!r}, {rule!r}) is another name; each class has one")

    def size(self) -> None:
        """size(architecture, in_channels, num_classes, image_size, **options) gives parameters and multiply-adds from the definition,
        equal to those of the built network: sweeps are stratified by them without building thousands.
        """
        small = getattr(self.module, "SMALL", {})
        for architecture, (channels, pixels, classes) in zip(self.drawn(count=2), IMAGES, strict=True):
            with torch.device("meta"):
                network = self.module.build(architecture, channels, classes, **small)
                flops = count_flops(network, torch.zeros(2, channels, pixels, pixels))
            demand(flops.forward is not None, f"the multiply-adds of {architecture!r} are not counted: {flops.reason}; leave size() out")
            built = sum(parameter.numel() for parameter in network.parameters()), (flops.forward or 0) // 2
            told = self.module.size(architecture, channels, classes, pixels, **small)
            demand(
                told == built,
                f"size({architecture!r}, {channels}, {classes}, {pixels}) is {told}; its network has parameters and multiply-adds {built}",
            )

    def features(self) -> None:
        """Finite numbers under the same names for every architecture: analysis asks which of them an algorithm favours."""
        names = set()
        for architecture in self.drawn():
            found = self.module.features(architecture)
            numbers = isinstance(found, dict) and all(isinstance(value, int | float) and math.isfinite(value) for value in found.values())
            demand(numbers, f"features({architecture!r}) returned {found!r}; return finite numbers by name")
            names.add(tuple(sorted(found)))
        demand(len(names) == 1, f"features() gives other names for other architectures: {', '.join(map(str, sorted(names)))}")

    def graph(self) -> str:
        """Every linear layer and convolution of the network is on one edge, by its name, and there is a path from image to logits
        exactly where defect() finds none lacking: algorithms scale weights and rates by the paths.
        """
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
        """Text: why an architecture cannot be trained, or nothing. It becomes the reason of a refused row."""
        for architecture in self.drawn():
            reason = self.module.defect(architecture)
            demand(isinstance(reason, str), f"defect({architecture!r}) returned {reason!r}; return a reason, or '' for none")


@dataclass(frozen=True)
class _Bench(Workplace):
    """Where the kit's short trials run: the search space is the module that is checked, wherever it came from."""

    space: ModuleType | None = None

    def load(self, kind: Kind, name: str) -> ModuleType:
        return self.space if kind == "search_spaces" and self.space else super().load(kind, name)

    def executed_digest(self, kind: Kind, name: str) -> str:
        return "" if kind == "search_spaces" and self.space else super().executed_digest(kind, name)


_DATASETS: dict[Kind, tuple[Path, ...]] = {"datasets": (Path(noise.__file__).parent,)}


def _trial(module: ModuleType, architecture: str, profile: Profile) -> Trial:
    """An epoch of two steps on noise."""
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
    started = time.process_time()
    work()
    return time.process_time() - started


def _repeated(names: list[str]) -> set[str]:
    return {name for name in names if names.count(name) > 1}
