"""Which built-in algorithms refuse the networks of a search space, and what its author can change."""

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


def refusals(module: ModuleType, networks: dict[str, nn.Module]) -> str:
    """What the built-in algorithms say of networks in the profile matrix-only, the one in which all are compared.

    Args:
        module: the search space.
        networks: some of its networks as `build` gives them, by architecture.

    Returns:
        Reasons, each with the algorithms that refuse all of the networks for it; a `Note` if one of these trains other convolutions.
    """
    offered = {architecture: apply_profile(copy.deepcopy(network), "matrix-only") for architecture, network in networks.items()}
    reasons: dict[str, list[str]] = {}
    surprising = False
    for name, source in plugins.find("algorithms").items():
        if plugins.lacks(source):
            continue
        algorithm = plugins.load_source(source)
        found = [_reason(algorithm, network, partial(_graph, module, architecture)) for architecture, network in offered.items()]
        if found and all(found):
            reasons.setdefault(found[0].split("; ")[0], []).append(name)
            surprising |= "graph" in _parameters(algorithm) or not _reason(algorithm, kit_network("matrix-only"), dict)
    remark = "; ".join(f"refused by {', '.join(names)}: {reason}" for reason, names in reasons.items())
    left = {f"{owner}.{name}" for network in offered.values() for owner, name in _vectors(network)}
    if remark and left:
        remark += (
            f"; the profile matrix-only takes biases and scales from torch's own layers, and leaves {', '.join(sorted(left))}: use torch's "
            "layers, such as torch.nn.LayerNorm, or let an option of build leave the parameter out"
        )
    return Note(remark) if surprising else remark


def _parameters(algorithm: ModuleType) -> set[str]:
    return {*inspect.signature(algorithm.prepare).parameters, *inspect.signature(algorithm.build).parameters}


def _graph(module: ModuleType, architecture: str) -> dict[str, Any]:
    return {"graph": graph_of(module, architecture, getattr(module, "SMALL", {}))}


def _reason(algorithm: ModuleType, network: nn.Module, graph: Callable[[], dict[str, Any]]) -> str:
    """Why an algorithm refuses a network; empty if it does not."""
    try:
        told = graph() if "graph" in _parameters(algorithm) else {}
        for_prepare, for_build = (
            told if "graph" in inspect.signature(function).parameters else {} for function in (algorithm.prepare, algorithm.build)
        )
        prepared = algorithm.prepare(copy.deepcopy(network), torch.Generator().manual_seed(0), **for_prepare)
        algorithm.build(prepared, STEPS, **for_build, **middle(algorithm.RANGES))
    except Refused as refusal:
        return str(refusal)
    return ""


def _vectors(network: nn.Module) -> set[tuple[str, str]]:
    """Class and name of the parameters that are neither matrices nor kernels."""
    return {
        (type(module).__name__, name)
        for module in network.modules()
        for name, parameter in module.named_parameters(recurse=False)
        if parameter.dim() < 2
    }
