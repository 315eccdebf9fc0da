"""Read a network as a chain of fully connected layers, or say which part of it is none.

Guarantees hold for a chain only: what has no parameters, then linear layers with a smooth bounded activation after each,
which the last one may lack. A chain is recognised by its modules, so it must be a plain `nn.Sequential`, nested or not.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from torch import nn

from agd_bench.errors import Refused
from agd_bench.optim.smoothness import BOUNDED, LINEAR, Activation

ALLOWED = (
    f"allowed are nn.Sequential of nn.Linear with one of {', '.join(kind.__name__ for kind in BOUNDED)} after each but the last, and "
    "anything without parameters before the first; use dsgd_heuristic for other networks"
)


@dataclass(frozen=True)
class Layer:
    """One fully connected layer and what follows it.

    Attributes:
        name: of the linear layer within the network, as `named_modules` gives it.
        linear: weight (outputs, inputs) and perhaps bias (outputs,).
        activation: what is known of the activation; linear where there is none.
    """

    name: str
    linear: nn.Linear
    activation: Activation


def read_chain(network: nn.Module) -> tuple[Layer, ...]:
    """The layers of a network from its input to its output.

    Args:
        network: any module.

    Raises:
        Refused: it is no such chain; the message names the first part for which there is no guarantee.
    """
    layers: list[Layer] = []
    awaits_activation = False
    for name, module in _parts(network):
        if isinstance(module, nn.Linear):
            _check_linear(name, module, layers, awaits_activation)
            layers.append(Layer(name, module, LINEAR))
            awaits_activation = True
        elif awaits_activation and type(module) in BOUNDED:
            layers[-1] = Layer(layers[-1].name, layers[-1].linear, BOUNDED[type(module)])
            awaits_activation = False
        elif type(module) is nn.Identity or (not layers and next(module.parameters(), None) is None):
            continue
        else:
            raise Refused(f"{_place(name)} is {type(module).__name__}: dsgd has no guarantee for it there; {ALLOWED}")
    if not layers:
        raise Refused(f"the network has no nn.Linear, so dsgd has nothing to train; {ALLOWED}")
    return tuple(layers)


def _parts(module: nn.Module, name: str = "") -> Iterator[tuple[str, nn.Module]]:
    """The modules that run one after the other. A subclass may compute anything, so it counts as one part."""
    if type(module) is not nn.Sequential:
        yield name, module
        return
    for key, child in module._modules.items():
        if child is not None:
            yield from _parts(child, f"{name}.{key}" if name else key)


def _check_linear(name: str, module: nn.Linear, layers: list[Layer], awaits_activation: bool) -> None:
    if type(module) is not nn.Linear:
        raise Refused(f"{_place(name)} is {type(module).__name__}, a changed nn.Linear: dsgd has no guarantee for it; {ALLOWED}")
    if awaits_activation:
        raise Refused(f"no activation stands between {layers[-1].name} and {name}: values there have no bound; {ALLOWED}")
    if any(module.weight is layer.linear.weight for layer in layers):
        raise Refused(f"{_place(name)} shares its weight with an earlier layer: dsgd moves one layer at a time; give each its own")
    if not module.weight.is_floating_point() or module.weight.numel() == 0:
        raise Refused(f"{_place(name)} has a weight {tuple(module.weight.shape)} of {module.weight.dtype}; dsgd needs non-empty real ones")


def _place(name: str) -> str:
    return f"layer {name!r}" if name else "the network itself"
