"""Find the built-in algorithms that refuse the networks of a search space, and say what its author can change."""

from __future__ import annotations

import copy
import inspect
from collections.abc import Callable
from functools import partial
from types import ModuleType
from typing import Any

import torch
from torch import nn

from agd_bench import plugins
from agd_bench.errors import Refused
from agd_bench.optim.path_scaling import graph_of
from agd_bench.testing._algorithms import kit_network, middle
from agd_bench.testing._checking import Note
from agd_bench.training.profiles import apply_profile

STEPS = 10


def find_refusals(module: ModuleType, networks: dict[str, nn.Module]) -> str:
    """Offer networks to every built-in algorithm in the profile matrix-only, and collect the reasons of refusals.

    Args:
        module: the search space.
        networks: some of its networks, as `build` returns them, by architecture.

    Returns:
        Each reason with the algorithms that refuse all the networks for it. It is a `Note` if one of these algorithms trains other
        convolutional networks, or needs only the space's graph.
    """
    offered = {architecture: apply_profile(copy.deepcopy(network), "matrix-only") for architecture, network in networks.items()}
    reasons: dict[str, list[str]] = {}
    surprising = False
    for name, source in plugins.find("algorithms").items():
        # Optional packages are no fault of the search space.
        if plugins.missing_packages(source):
            continue
        algorithm = plugins.load_source(source)
        found = [_reason(algorithm, network, partial(_graph, module, architecture)) for architecture, network in offered.items()]
        if found and all(found):  # some networks may be refused for a property that others do not have
            reasons.setdefault(found[0].split("; ")[0], []).append(name)
            surprising |= "graph" in _parameters(algorithm) or not _reason(algorithm, kit_network("matrix-only"), dict)
    remark = "; ".join(f"refused by {', '.join(names)}: {reason}" for reason, names in reasons.items())
    left = {f"{owner}.{name}" for network in offered.values() for owner, name in _vectors(network)}
    if remark and left:
        remark += (
            f"; the profile matrix-only removes biases and scales of torch's own layers only, and {', '.join(sorted(left))} remain: use "
            "torch's layers, such as torch.nn.LayerNorm, or add an option to build() that omits these parameters"
        )
    return Note(remark) if surprising else remark


def _parameters(algorithm: ModuleType) -> set[str]:
    return {*inspect.signature(algorithm.prepare).parameters, *inspect.signature(algorithm.build).parameters}


def _graph(module: ModuleType, architecture: str) -> dict[str, Any]:
    return {"graph": graph_of(module, architecture, getattr(module, "SMALL", {}))}


def _reason(algorithm: ModuleType, network: nn.Module, graph: Callable[[], dict[str, Any]]) -> str:
    """Return why an algorithm refuses a network, or an empty string."""
    try:
        given = graph() if "graph" in _parameters(algorithm) else {}
        for_prepare, for_build = (
            given if "graph" in inspect.signature(function).parameters else {} for function in (algorithm.prepare, algorithm.build)
        )
        # prepare() changes weights in place, and every algorithm gets the same network.
        prepared = algorithm.prepare(copy.deepcopy(network), torch.Generator().manual_seed(0), **for_prepare)
        algorithm.build(prepared, STEPS, **for_build, **middle(algorithm.RANGES))
    except Refused as refusal:
        return str(refusal)
    return ""


def _vectors(network: nn.Module) -> set[tuple[str, str]]:
    """Return class and name of the parameters that are neither matrices nor convolution kernels."""
    return {
        (type(module).__name__, name)
        for module in network.modules()
        for name, parameter in module.named_parameters(recurse=False)
        if parameter.dim() < 2
    }
