"""A picture of what a search space varies: a few of its architectures, drawn from what the space says of them.

Where the string of an architecture writes cells out (`|OP~FROM|OP~FROM|+…`), these are drawn; else the edges that `cell` or `graph`
lists; else the network's linear layers and convolutions one after the other, as images pass them.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from types import ModuleType

import torch
from torch import nn

from agd_bench import plugins
from agd_bench.errors import PluginError
from agd_bench.figures import Picture
from agd_bench.figures.networks import Step, draw_networks
from agd_bench.optim.path_scaling import Edge, read_edges
from agd_bench.planning.architectures import draw_architectures

CONSIDERED = 12
"""Architectures that are drawn from the space, of which some are shown."""

Panels = list[tuple[str, list[Step]]]


def sketch(name: str, folders: Sequence[Path] = ()) -> Picture:
    """Draw the smallest, a middle and the largest of the first twelve architectures that a sweep would draw from a search space.

    Args:
        name: of the search space.
        folders: folders with further search spaces.

    Raises:
        UnknownNameError: no search space of that name.
        PluginError: it cannot be loaded, or all that was drawn have a defect.
    """
    source = plugins.locate("search_spaces", name, folders)
    space = plugins.load_source(source)
    drawn = draw_architectures(space, name, min(CONSIDERED, getattr(space, "SIZE", CONSIDERED)))
    sound = [one for one in drawn if not (hasattr(space, "defect") and space.defect(one))]
    if not sound:
        raise PluginError(f"{source.path}: all of {len(drawn)} architectures that were drawn have a defect; there is nothing to show")
    networks = {architecture: _network(space, architecture) for architecture in sound}
    ordered = sorted(sound, key=lambda one: (sum(p.numel() for p in networks[one].parameters()), one))
    shown = list(dict.fromkeys([ordered[0], ordered[len(ordered) // 2], ordered[-1]]))
    if len(shown) > 2 and len(_panels(space, shown[0], networks[shown[0]])) > 1:
        shown = [shown[0], shown[-1]]
    panels = [panel for architecture in shown for panel in _panels(space, architecture, networks[architecture])]
    facts = plugins.describe(source)
    which = (
        "the only one",
        "those with the fewest and the most parameters",
        "those with the fewest, a middle number and the most parameters",
    )
    caption = f"{facts.get('VARIES') or facts['summary']}; of {len(sound)} drawn, {which[len(shown) - 1]}"
    return draw_networks(panels, name, caption)


def _network(space: ModuleType, architecture: str) -> nn.Module:
    with torch.device("meta"):
        network: nn.Module = space.build(architecture, 3, 10, **getattr(space, "SMALL", {}))
    return network


def _panels(space: ModuleType, architecture: str, network: nn.Module) -> Panels:
    """What is drawn of one architecture: mostly one panel, one per cell where its string writes out several."""
    if re.fullmatch(r"[|+/]*([^|~+/]+~\d+[|+/]+)+", architecture):
        return [(cell, _written_cell(cell)) for cell in architecture.split("/")]
    if hasattr(space, "cell"):
        return [(architecture, _steps(read_edges(space.cell(architecture)), network))]
    if hasattr(space, "graph"):
        return [(architecture, _steps(read_edges(space.graph(architecture, **getattr(space, "SMALL", {}))), network))]
    return [(architecture, _passed_layers(network))]


def _written_cell(text: str) -> list[Step]:
    """The edges of `|OP~FROM|…|+|…|`, a group for each node after the inputs; as many inputs as the first group reads."""
    groups = [re.findall(r"([^|~]+)~(\d+)", group) for group in text.split("+")]
    inputs = 1 + max((int(start) for _, start in groups[0]), default=0)
    edges = [(int(start), node, operation) for node, group in enumerate(groups, start=inputs) for operation, start in group]
    return [Step(start, end, operation) for start, end, operation in edges if operation != "none"]


def _steps(edges: Sequence[Edge], network: nn.Module) -> list[Step]:
    modules = dict(network.named_modules())
    steps = []
    for edge in edges:
        # A cell's names are the ends of the network's.
        module = modules.get(edge.module) or next((found for name, found in modules.items() if name.endswith(f".{edge.module}")), None)
        if not edge.layers:
            steps.append(Step(edge.start, edge.end, ""))
        elif module is None:
            steps.append(Step(edge.start, edge.end, "layer"))
        else:
            steps.append(Step(edge.start, edge.end, _kind(module), _channels(module)))
    return steps


def _kind(module: nn.Module) -> str:
    return f"{' × '.join(map(str, module.kernel_size))} convolution" if isinstance(module, nn.Conv2d) else "linear layer"


def _channels(module: nn.Module) -> int:
    weight = module.weight
    return int(weight.shape[0]) if isinstance(weight, torch.Tensor) else 1


def _passed_layers(network: nn.Module) -> list[Step]:
    """The linear layers and convolutions in the order in which images meet them."""
    met: list[nn.Module] = []
    layers = [module for module in network.modules() if isinstance(module, nn.Linear | nn.Conv2d)]
    hooks = [layer.register_forward_pre_hook(partial(_note, met)) for layer in layers]
    with torch.device("meta"):
        network(torch.zeros(1, 3, 32, 32))
    for hook in hooks:
        hook.remove()
    return [Step(place, place + 1, _kind(module), _channels(module)) for place, module in enumerate(met)]


def _note(met: list[nn.Module], module: nn.Module, inputs: object) -> None:
    met.append(module)
