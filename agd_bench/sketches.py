"""Draw a few architectures of a search space, to show what the space varies.

The drawing shows the cells that an architecture's string spells out (`|OP~FROM|OP~FROM|+…`), otherwise the edges from `cell()` or
`graph()`, otherwise the network's linear layers and convolutions in the order of the forward pass.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from types import ModuleType

import torch
from torch import nn

from agd_bench import plugins
from agd_bench.errors import PluginError
from agd_bench.figures import Picture
from agd_bench.figures.networks import Step, draw_networks, written_cells
from agd_bench.optim.path_scaling import Edge, read_edges
from agd_bench.planning.architectures import draw_architectures

CONSIDERED = 12
"""Number of architectures sampled from the space; two or three of them are shown."""

Panels = list[tuple[str, list[Step]]]


def sketch(name: str, folders: Sequence[Path] = ()) -> Picture:
    """Draw the smallest, the median and the largest of the first twelve architectures that a sweep samples from a search space.

    Args:
        name: of the search space.
        folders: folders with further search spaces.

    Raises:
        UnknownNameError: no search space has this name.
        PluginError: it cannot be loaded, or all sampled architectures have a defect.
    """
    source = plugins.locate("search_spaces", name, folders)
    space = plugins.load_source(source)
    drawn = draw_architectures(space, name, min(CONSIDERED, getattr(space, "SIZE", CONSIDERED)))
    sound = [one for one in drawn if not (hasattr(space, "defect") and space.defect(one))]
    if not sound:
        raise PluginError(f"{source.path}: defect() rejects all {len(drawn)} sampled architectures, so there is nothing to draw")
    networks = {architecture: _network(space, architecture) for architecture in sound}
    # Equal numbers of parameters by name, so that the drawing is the same each time.
    ordered = sorted(sound, key=lambda one: (sum(p.numel() for p in networks[one].parameters()), one))
    # Of fewer than three architectures, some would appear twice.
    shown = list(dict.fromkeys([ordered[0], ordered[len(ordered) // 2], ordered[-1]]))
    # architectures of several cells fill the page with two
    if len(shown) > 2 and len(_panels(space, shown[0], networks[shown[0]])) > 1:
        shown = [shown[0], shown[-1]]
    panels = [panel for architecture in shown for panel in _panels(space, architecture, networks[architecture])]
    facts = plugins.describe(source)
    which = (
        "the only one",
        "the ones with the fewest and the most parameters",
        "the ones with the fewest, the median number and the most parameters",
    )
    caption = f"{facts.get('VARIES') or facts['summary']}; of {len(sound)} sampled, {which[len(shown) - 1]}"
    return draw_networks(panels, name, caption)


def _network(space: ModuleType, architecture: str) -> nn.Module:
    # Only shapes are drawn, of a network for RGB images and ten classes.
    with torch.device("meta"):
        network: nn.Module = space.build(architecture, 3, 10, **getattr(space, "SMALL", {}))
    return network


def _panels(space: ModuleType, architecture: str, network: nn.Module) -> Panels:
    """Return the panels of one architecture: one, or one per cell if its string spells out several."""
    if cells := written_cells(architecture):
        return cells
    if hasattr(space, "cell"):
        return [(architecture, _steps(read_edges(space.cell(architecture)), network))]
    if hasattr(space, "graph"):
        return [(architecture, _steps(read_edges(space.graph(architecture, **getattr(space, "SMALL", {}))), network))]
    return [(architecture, _passed_layers(network))]


def _steps(edges: Sequence[Edge], network: nn.Module) -> list[Step]:
    modules = dict(network.named_modules())
    steps = []
    for edge in edges:
        # an edge of a cell names a suffix of the module's name in the network
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
    """Return the linear layers and convolutions in the order of the forward pass."""
    met: list[nn.Module] = []
    layers = [module for module in network.modules() if isinstance(module, nn.Linear | nn.Conv2d)]
    hooks = [layer.register_forward_pre_hook(partial(_note, met)) for layer in layers]
    with torch.device("meta"):  # shapes only: nothing is computed
        network(torch.zeros(1, 3, 32, 32))
    for hook in hooks:
        hook.remove()
    return [Step(place, place + 1, _kind(module), _channels(module)) for place, module in enumerate(met)]


def _note(met: list[nn.Module], module: nn.Module, inputs: object) -> None:
    met.append(module)
