"""The conformance kit: what a plug-in must keep, checked, with what to do about it where it does not.

`agd-bench check FILE` prints these lists, and the package's own tests run them over every built-in plug-in.
"""

from __future__ import annotations

import ast
import copy
import inspect
import itertools
import json
import math
import re
import traceback
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any, get_args

import numpy as np
import torch
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from agd_bench import plugins
from agd_bench.datasets import data_root
from agd_bench.errors import AgdBenchError, PluginError, Refused
from agd_bench.records import Profile
from agd_bench.training.data import fault_of
from agd_bench.training.profiles import apply_profile

DRAWS = 16
BUILT = 6
"""Architectures drawn from a search space, and how many of them are built."""

IMAGES = ((3, 32), (1, 28))
"""Channels and size of the images that a search space's networks are given."""

PROFILES: tuple[Profile, ...] = get_args(Profile)
TIERS = ("self-tuning", "learning-rate-free", "externally tuned")
STEPS = 40
"""Steps for which an algorithm trains the kit's networks."""


@dataclass(frozen=True)
class Check:
    """One thing that a plug-in must keep.

    Attributes:
        name: what must hold.
        passed: whether it does.
        message: what is wrong and how to mend it; where it holds, empty or a remark.
    """

    name: str
    passed: bool
    message: str = ""


class _Fault(Exception):
    """What is wrong and how to mend it."""


def _demand(holds: bool, message: str) -> None:
    if not holds:
        raise _Fault(message)


def _run(checks: Mapping[str, Callable[[], str | None]]) -> list[Check]:
    """Run every check, whatever the others come to; each returns a remark or none, or raises."""
    done = []
    for name, check in checks.items():
        with torch.random.fork_rng():
            torch.manual_seed(0)
            try:
                done.append(Check(name, True, check() or ""))
            except (_Fault, AgdBenchError) as fault:
                done.append(Check(name, False, str(fault)))
            except Exception as error:
                frame = traceback.extract_tb(error.__traceback__)[-1]
                where = f"{Path(frame.filename).name}:{frame.lineno}"
                done.append(Check(name, False, f"raises {type(error).__name__}: {' '.join(str(error).split())} ({where})"))
    return done


def _cites(module: ModuleType) -> None:
    _demand(
        re.search(r"\b(19|20)\d\d\b", module.__doc__ or "") is not None,
        "the module's docstring names no source; add a References section with authors, title, venue and year",
    )


def _keywords(function: Callable[..., Any], first: tuple[str, ...]) -> dict[str, inspect.Parameter]:
    """The parameters of `function` after those that are given by position, which must have the names `first`."""
    parameters = dict(inspect.signature(function).parameters)
    given = tuple(parameters)[: len(first)]
    _demand(given == first, f"{function.__name__}({', '.join(parameters)}) must begin with ({', '.join(first)})")
    rest = {name: parameter for name, parameter in parameters.items() if name not in first}
    loose = [name for name, parameter in rest.items() if parameter.kind in (parameter.VAR_KEYWORD, parameter.VAR_POSITIONAL)]
    _demand(not loose, f"{function.__name__} takes *{' and *'.join(loose)}; name each option, so that a misspelt one is refused")
    return rest


def _equal(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


# ------------------------------------------------------------------------------------------------------- search spaces


def check_search_space(module: ModuleType) -> list[Check]:
    """Whether a search space keeps its protocol."""
    space = _SearchSpace(module)
    checks: dict[str, Callable[[], str | None]] = {
        "the docstring names a source": lambda: _cites(module),
        "OPTIONS are the keywords of build": space.options,
        "equal seeds draw equal architectures": space.drawing,
        "architectures are text that survives JSON": space.text,
        "build refuses what is no architecture": space.malformed,
        "networks give finite logits of the right shape": space.logits,
        "networks build in both profiles": space.profiles,
        "building repeats under a seed": space.repeats,
        "the image reaches the logits and the gradient every parameter": space.gradient,
    }
    for name, check in {"architectures": space.enumeration, "canonical": space.canonical, "defect": space.defects}.items():
        if hasattr(module, name):
            checks[f"{name}() keeps its promise"] = check
    return _run(checks)


class _SearchSpace:
    """The checks of a search space, which share its first draws."""

    def __init__(self, module: ModuleType) -> None:
        self.module = module

    def drawn(self, seed: int = 0, count: int = DRAWS) -> list[str]:
        rng = np.random.default_rng(seed)
        return [self.module.sample(rng) for _ in range(count)]

    def network(self, architecture: str, channels: int = 3, classes: int = 10, seed: int = 0) -> nn.Module:
        torch.manual_seed(seed)
        network: nn.Module = self.module.build(architecture, channels, classes)
        return network

    def defect(self, architecture: str) -> str:
        return self.module.defect(architecture) if hasattr(self.module, "defect") else ""

    def options(self) -> None:
        keywords = _keywords(self.module.build, ("architecture", "in_channels", "num_classes"))
        defaults = {name: parameter.default for name, parameter in keywords.items()}
        stated = getattr(self.module, "OPTIONS", {})
        _demand(stated == defaults, f"OPTIONS is {stated}, but build has {defaults}; every option of build needs its default in OPTIONS")

    def drawing(self) -> None:
        before = (torch.get_rng_state(), np.random.get_state(legacy=False))
        first, second = self.drawn(), self.drawn()
        _demand(first == second, "two generators with one seed drew different architectures; draw from `rng` alone")
        untouched = torch.equal(before[0], torch.get_rng_state()) and str(before[1]) == str(np.random.get_state(legacy=False))
        _demand(untouched, "sample uses a global random generator; draw from `rng` alone")
        _demand(len(set(first + self.drawn(1))) > 1, f"{2 * DRAWS} draws gave one architecture; draw from `rng`")

    def text(self) -> None:
        for architecture in self.drawn():
            _demand(isinstance(architecture, str), f"sample returned {type(architecture).__name__}, not str; return the canonical string")
            kept = (
                architecture.isprintable() and architecture == architecture.strip() and json.loads(json.dumps(architecture)) == architecture
            )
            _demand(bool(architecture) and kept, f"{architecture!r} must be printable text with no space around it")

    def malformed(self) -> None:
        for wrong in ("", "no such architecture", f"{self.drawn(count=1)[0]}?"):
            try:
                self.module.build(wrong, 3, 10)
            except ValueError:
                continue
            raise _Fault(f"build accepts {wrong!r}; raise ValueError with what is allowed")

    def logits(self) -> None:
        for architecture in self.drawn(count=BUILT):
            for (channels, size), classes in zip(IMAGES, (10, 7), strict=True):
                got = self.network(architecture, channels, classes)(torch.randn(4, channels, size, size))
                case = f"{architecture!r} on images (4, {channels}, {size}, {size})"
                _demand(tuple(got.shape) == (4, classes), f"{case} gives logits {tuple(got.shape)}, not (4, {classes})")
                _demand(bool(got.isfinite().all()), f"{case} gives logits that are not finite at initialisation; scale the weights")

    def profiles(self) -> str:
        left: set[str] = set()
        for profile, architecture in itertools.product(PROFILES, self.drawn(count=BUILT)):
            network = apply_profile(self.network(architecture), profile)
            got = network(torch.randn(4, 3, 32, 32))
            _demand(bool(got.isfinite().all()), f"{architecture!r} in profile {profile} gives logits that are not finite")
            if profile == "matrix-only":
                left |= {name for name, parameter in network.named_parameters() if parameter.ndim < 2}
        return f"matrix-only leaves {', '.join(sorted(left))}: algorithms for matrices alone will refuse" if left else ""

    def repeats(self) -> None:
        for architecture in self.drawn(count=BUILT):
            one, other = (self.network(architecture, seed=5).state_dict() for _ in range(2))
            _demand(_equal(one, other), f"{architecture!r} built twice under one torch seed differs; use torch's own initialisation")

    def gradient(self) -> str:
        """Dead parts of an architecture may stay without a gradient, the same part of every architecture may not."""
        sound = [architecture for architecture in self.drawn(count=4 * DRAWS) if not self.defect(architecture)][:DRAWS]
        _demand(bool(sound), f"defect() finds fault with each of {4 * DRAWS} draws")
        unreached = {}
        for architecture in sound:
            network, images = self.network(architecture), torch.randn(4, 3, 16, 16, requires_grad=True)
            torch.nn.functional.cross_entropy(network(images), torch.arange(4)).backward()
            _demand(
                images.grad is not None and bool(images.grad.any()),
                f"logits of {architecture!r} do not depend on the image; let defect(architecture) return the reason",
            )
            unreached[architecture] = [n for n, p in network.named_parameters() if p.requires_grad and (p.grad is None or not p.grad.any())]
        worst = max(unreached, key=lambda architecture: len(unreached[architecture]))
        dead = sum(bool(names) for names in unreached.values())
        remark = f"{dead} of {len(sound)} architectures have parameters without a gradient, {worst!r}: {', '.join(unreached[worst][:4])}"
        _demand(dead < len(sound), f"{remark}; use each parameter in forward, or do not make it")
        return remark if dead else ""

    def enumeration(self) -> None:
        listed = list(itertools.islice(self.module.architectures(), 1_000_000))
        known = set(listed)
        _demand(len(known) == len(listed), f"architectures() lists {len(listed) - len(known)} twice")
        foreign = [architecture for architecture in self.drawn() if architecture not in known]
        _demand(not foreign or len(listed) == 1_000_000, f"sample drew {foreign[:1]}, which architectures() does not list")

    def canonical(self) -> None:
        for architecture in self.drawn():
            once = self.module.canonical(architecture)
            _demand(self.module.canonical(once) == once, f"canonical(canonical(a)) differs from canonical(a) for {architecture!r}")

    def defects(self) -> None:
        for architecture in self.drawn():
            reason = self.module.defect(architecture)
            _demand(isinstance(reason, str), f"defect({architecture!r}) returned {reason!r}; return a reason, or '' for none")


# ---------------------------------------------------------------------------------------------------------- algorithms


def check_algorithm(module: ModuleType) -> list[Check]:
    """Whether a training algorithm keeps its protocol."""
    algorithm = _Algorithm(module)
    return _run(
        {
            "TIER, SOURCE and LICENCE are stated": algorithm.facts,
            "functions take what the harness gives": algorithm.signatures,
            "RANGES are well formed": algorithm.ranges,
            "the loss is a finite scalar with a gradient": algorithm.loss,
            "preparing repeats under its generator": algorithm.preparing,
            "steps lower the loss, or the network is refused": algorithm.training,
            "a checkpoint continues as if nothing had happened": algorithm.resuming,
        }
    )


@dataclass
class _Training:
    """A network, what trains it, and the one batch that it is trained on."""

    network: nn.Module
    optimizer: Optimizer
    scheduler: LRScheduler | None
    loss: Callable[[Tensor, Tensor], Tensor]
    images: Tensor
    labels: Tensor

    def step(self) -> float:
        self.optimizer.zero_grad(set_to_none=True)
        loss = self.loss(self.network(self.images), self.labels)
        loss.backward()  # type: ignore[no-untyped-call]
        self.optimizer.step()
        if self.scheduler is not None:
            self.scheduler.step()
        return float(loss)

    @property
    def state(self) -> dict[str, Any]:
        scheduler = self.scheduler.state_dict() if self.scheduler is not None else {}
        return copy.deepcopy({"network": self.network.state_dict(), "optimizer": self.optimizer.state_dict(), "scheduler": scheduler})

    def restore(self, state: dict[str, Any]) -> None:
        self.network.load_state_dict(state["network"])
        self.optimizer.load_state_dict(state["optimizer"])
        if self.scheduler is not None:
            self.scheduler.load_state_dict(state["scheduler"])


def _kit_network(profile: Profile) -> nn.Module:
    torch.manual_seed(0)
    layers = [nn.Conv2d(1, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU(), nn.AvgPool2d(2), nn.Flatten(), nn.Linear(128, 4)]
    return apply_profile(nn.Sequential(*layers), profile)


def middle(ranges: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """The middle of each range (of its logarithm where it is logarithmic), or the first choice."""
    values: dict[str, Any] = {}
    for name, item in ranges.items():
        if "choices" in item:
            values[name] = item["choices"][0]
            continue
        low, high = item["low"], item["high"]
        value = math.sqrt(low * high) if item.get("log") else (low + high) / 2
        values[name] = round(value) if isinstance(low, int) and isinstance(high, int) else value
    return values


class _Algorithm:
    """The checks of a training algorithm."""

    def __init__(self, module: ModuleType) -> None:
        self.module = module

    def start(self, profile: Profile) -> _Training:
        network = self.module.prepare(_kit_network(profile), torch.Generator().manual_seed(0))
        built = self.module.build(network, STEPS, **middle(self.module.RANGES))
        optimizer, scheduler = built if isinstance(built, tuple) else (built, None)
        _demand(
            isinstance(optimizer, Optimizer), f"build returned {type(optimizer).__name__}; return an Optimizer, or it and an LRScheduler"
        )
        generator = torch.Generator().manual_seed(1)
        labels = torch.arange(64) % 4
        prototypes = torch.randn(4, 1, 8, 8, generator=generator)
        images = prototypes[labels] + torch.randn(64, 1, 8, 8, generator=generator)
        return _Training(network, optimizer, scheduler, self.module.loss, images, labels)

    def accepted(self) -> dict[Profile, _Training]:
        """What it agrees to train, by profile."""
        begun, reasons = {}, []
        for profile in PROFILES:
            try:
                begun[profile] = self.start(profile)
            except Refused as refusal:
                reasons.append(f"{profile}: {refusal}")
        _demand(bool(begun), f"refuses a convolution and a linear layer in either profile ({'; '.join(reasons)})")
        return begun

    def facts(self) -> None:
        tier = getattr(self.module, "TIER", None)
        _demand(tier in TIERS, f"TIER is {tier!r}; state one of {', '.join(TIERS)}")
        searched = bool(self.module.RANGES)
        _demand(searched == (tier == "externally tuned"), f"TIER is {tier!r}, but RANGES {'has entries' if searched else 'is empty'}")
        for fact in ("SOURCE", "LICENCE"):
            _demand(bool(getattr(self.module, fact, "")), f"{fact} is missing; state it as text")

    def signatures(self) -> None:
        _keywords(self.module.prepare, ("network", "generator"))
        _keywords(self.module.loss, ("logits", "labels"))
        keywords = _keywords(self.module.build, ("network", "steps"))
        strange = sorted(self.module.RANGES.keys() - keywords.keys())
        _demand(not strange, f"RANGES names {', '.join(strange)}, which build does not take")
        needed = sorted(name for name, item in keywords.items() if item.default is item.empty and name not in self.module.RANGES)
        _demand(not needed, f"build needs {', '.join(needed)}: give a default, or a range in RANGES")

    def ranges(self) -> None:
        for name, item in self.module.RANGES.items():
            fault = _fault_of_range(item)
            _demand(not fault, f"RANGES[{name!r}] = {item}: {fault}")

    def loss(self) -> None:
        logits = torch.randn(8, 4, requires_grad=True)
        loss = self.module.loss(logits, torch.arange(8) % 4)
        _demand(loss.ndim == 0 and bool(loss.isfinite()), f"loss returned shape {tuple(loss.shape)}, {loss}; return a finite scalar tensor")
        loss.backward()
        _demand(logits.grad is not None and bool(logits.grad.any()), "the loss has no gradient; compute it from the logits")

    def preparing(self) -> str:
        try:
            states = []
            for seed in (1, 2):
                network = _kit_network("matrix-only")
                torch.manual_seed(seed)
                states.append(self.module.prepare(network, torch.Generator().manual_seed(0)).state_dict())
        except Refused as refusal:
            return f"refuses the matrix-only network: {refusal}"
        _demand(_equal(*states), "prepare gave two networks for one generator; draw from `generator` alone")
        return ""

    def training(self) -> str:
        begun = self.accepted()
        for profile, training in begun.items():
            losses = [training.step() for _ in range(STEPS)]
            case = f"{STEPS} steps on the {profile} network took the loss from {losses[0]:.4g} to {losses[-1]:.4g}"
            _demand(all(map(math.isfinite, losses)) and losses[-1] < losses[0], f"{case}; it must fall")
            rate = training.optimizer.param_groups[0].get("lr")
            readable = rate is None or math.isfinite(float(rate))
            _demand(readable, f"param_groups[0]['lr'] is {rate}; keep the learning rate there as a float or a 0-dim tensor")
        refused = [profile for profile in PROFILES if profile not in begun]
        return f"refuses {refused[0]} networks" if refused else ""

    def resuming(self) -> None:
        for profile, training in self.accepted().items():
            for _ in range(3):
                training.step()
            saved, resumed = training.state, self.start(profile)
            resumed.restore(saved)
            for one in (training, resumed):
                for _ in range(3):
                    one.step()
            same = _equal(training.network.state_dict(), resumed.network.state_dict())
            _demand(same, "training went on differently from a checkpoint; keep all that a step depends on in the optimizer's state_dict")


def _fault_of_range(item: Any) -> str:
    """What is wrong with an entry of RANGES; empty if nothing."""
    if not isinstance(item, dict):
        return 'give {"low": a, "high": b, "log": bool} or {"choices": [...]}'
    if "choices" in item:
        values = item["choices"]
        plain = isinstance(values, list | tuple) and all(isinstance(value, bool | int | float | str) for value in values)
        return (
            "" if set(item) == {"choices"} and plain and len(set(values)) == len(values) > 0 else "choices are a list of different scalars"
        )
    if not {"low", "high"} <= set(item) <= {"low", "high", "log"}:
        return "keys are low, high and log, or choices"
    low, high = item["low"], item["high"]
    if not (isinstance(low, int | float) and isinstance(high, int | float) and math.isfinite(low) and math.isfinite(high) and low < high):
        return "low must lie under high, both finite numbers"
    return "a logarithmic range lies above 0" if item.get("log") and low <= 0 else ""


# ----------------------------------------------------------------------------------------------------------- data sets


def check_dataset(module: ModuleType, root: Path) -> list[Check]:
    """Whether a data set keeps its protocol.

    Args:
        module: the plug-in.
        root: folder of the data sets' files.
    """
    facts = _run({"facts are stated": lambda: _dataset_facts(module)})
    loaded: list[Any] = []
    load = _run({"load returns what the facts say": lambda: _loads(module, root, loaded)})
    if not load[0].passed or not facts[0].passed:
        return facts + load
    arrays = loaded[0]
    return (
        facts
        + load
        + _run(
            {
                "loading repeats": lambda: _loading_repeats(module, root, arrays),
                "every class is there to train on": lambda: _classes(module, arrays),
                "MEAN and STD are those of the training pixels": lambda: _normalisation(module, arrays),
                "splits have no image in common": lambda: _disjoint(arrays),
            }
        )
    )


def _dataset_facts(module: ModuleType) -> None:
    def fact(name: str, holds: Callable[[Any], bool], wanted: str) -> None:
        value = getattr(module, name, None)
        _demand(value is not None and holds(value), f"{name} is {value!r}; it must be {wanted}")

    def per_channel(values: Any) -> bool:
        return isinstance(values, tuple) and len(values) == module.IN_CHANNELS and all(isinstance(value, float) for value in values)

    for name, least in (("IN_CHANNELS", 1), ("NUM_CLASSES", 2), ("IMAGE_SIZE", 1), ("CROP_PADDING", 0)):
        fact(name, lambda value, least=least: type(value) is int and value >= least, f"a whole number from {least}")
    fact(
        "MEAN",
        lambda values: per_channel(values) and all(0 <= value <= 1 for value in values),
        "a tuple of floats in [0, 1], one a channel",
    )
    fact(
        "STD", lambda values: per_channel(values) and all(0 < value <= 1 for value in values), "a tuple of floats in (0, 1], one a channel"
    )
    fact("FLIP", lambda value: isinstance(value, bool), "True or False")
    for name in ("LICENCE", "SOURCE"):
        fact(name, lambda value: isinstance(value, str) and bool(value), "text")


def _loads(module: ModuleType, root: Path, loaded: list[Any]) -> None:
    arrays = module.load(root)
    for split in ("train", "val", "test"):
        fault = fault_of(arrays, split, module)
        _demand(not fault, fault)
    loaded.append(arrays)


def _loading_repeats(module: ModuleType, root: Path, arrays: Any) -> None:
    again = module.load(root)
    for split, pair in arrays.items():
        same = all(np.array_equal(one, other) for one, other in zip(pair, again[split], strict=True))
        _demand(same, f"load gave another {split!r} split the second time; draw splits with a fixed seed")


def _classes(module: ModuleType, arrays: Any) -> None:
    missing = sorted(set(range(module.NUM_CLASSES)) - set(arrays["train"][1].tolist()))
    _demand(not missing, f"no training image of the classes {missing[:5]}; number the classes from 0 to NUM_CLASSES - 1")


def _normalisation(module: ModuleType, arrays: Any) -> None:
    pixels = arrays["train"][0] / np.float32(255)
    for name, values in (("MEAN", pixels.mean((0, 2, 3))), ("STD", pixels.std((0, 2, 3)))):
        found = ", ".join(f"{value:.4f}" for value in values)
        near = bool((np.abs(values - np.array(getattr(module, name))) < 0.1).all())
        _demand(near, f"{name} is {getattr(module, name)}, but the training pixels in [0, 1] give ({found})")


def _disjoint(arrays: Any) -> str:
    """Published data sets hold a few images twice; more than one in fifty is a split that leaks."""
    contents = {split: [image.tobytes() for image in images] for split, (images, _) in arrays.items()}
    seen, remarks = set(contents["train"]), []
    for split in ("val", "test"):
        shared = sum(content in seen for content in contents[split])
        text = f"{shared} of {len(contents[split])} images of {split!r} are in an earlier split too"
        _demand(shared <= len(contents[split]) / 50, f"{text}; split the images, do not draw each split for itself")
        remarks += [text] if shared else []
        seen |= set(contents[split])
    return "; ".join(remarks)


# --------------------------------------------------------------------------------------------------------------- files


def check_file(path: Path, kind: plugins.Kind | None = None) -> list[Check]:
    """Run the kit over a plug-in in a file.

    Args:
        path: the plug-in.
        kind: which kind it is; null: what its functions say.

    Raises:
        PluginError: the file is no Python, or defines no function of any kind's protocol.
    """
    kind = kind or _kind_of(path)
    try:
        module = plugins.load_source(plugins.Source(kind, path.stem, path.resolve(), None, str(path.parent)))
    except PluginError as error:
        return [Check("it loads and defines its protocol", False, str(error))]
    loads = [Check("it loads and defines its protocol", True, f"as one of the {kind.replace('_', ' ')}")]
    if kind == "datasets":
        return loads + check_dataset(module, data_root())
    return loads + (check_search_space(module) if kind == "search_spaces" else check_algorithm(module))


def _kind_of(path: Path) -> plugins.Kind:
    """The kind whose telling name the file defines at its top level."""
    try:
        tree = ast.parse(path.read_text(encoding="utf-8"))
    except (OSError, SyntaxError, UnicodeDecodeError) as error:
        raise PluginError(f"{path}: cannot be read as Python: {error}") from None
    names = set(_top_level_names(tree.body))
    telling: dict[str, plugins.Kind] = {"sample": "search_spaces", "prepare": "algorithms", "RANGES": "algorithms", "load": "datasets"}
    for name, kind in telling.items():
        if name in names:
            return kind
    raise PluginError(f"{path}: no plug-in: define sample() for a search space, prepare() for an algorithm or load() for a data set")


def _top_level_names(body: Iterable[ast.stmt]) -> Iterable[str]:
    for node in body:
        if isinstance(node, ast.FunctionDef):
            yield node.name
        elif isinstance(node, ast.Assign):
            yield from (target.id for target in node.targets if isinstance(target, ast.Name))
        elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            yield node.target.id
        elif isinstance(node, ast.ImportFrom):
            yield from (alias.asname or alias.name for alias in node.names)
