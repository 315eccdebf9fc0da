"""Read a network as a chain of fully connected layers, or name the part that does not fit.

Guarantees hold only for a chain: modules without parameters, then linear layers, each followed by a smooth bounded activation, which is
optional after the last one. The network must be an `nn.Sequential`, possibly nested.
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
    """A fully connected layer and its activation.

    Attributes:
        name: of the linear layer, as in `named_modules`.
        linear: with weight (outputs, inputs) and optional bias (outputs,).
        activation: properties of the activation; `LINEAR` if there is none.
    """

    name: str
    linear: nn.Linear
    activation: Activation


def read_chain(network: nn.Module) -> tuple[Layer, ...]:
    """Return the layers of a network from input to output.

    Raises:
        Refused: the network is not such a chain; the message names the first part without a guarantee.
    """
    layers: list[Layer] = []
    awaits_activation = False
    for name, module in _parts(network):
        if isinstance(module, nn.Linear):
            _check_linear(name, module, layers, awaits_activation)
            layers.append(Layer(name, module, LINEAR))
            awaits_activation = True
        # exact types, since a subclass may compute something without these bounds
        elif awaits_activation and type(module) in BOUNDED:
            layers[-1] = Layer(layers[-1].name, layers[-1].linear, BOUNDED[type(module)])
            awaits_activation = False
        # before the first layer, any function without parameters is only another input
        elif type(module) is nn.Identity or (not layers and next(module.parameters(), None) is None):
            continue
        else:
            raise Refused(f"{_place(name)} is {type(module).__name__}: dsgd has no guarantee for it there; {ALLOWED}")
    if not layers:
        raise Refused(f"the network has no nn.Linear, so dsgd has nothing to train; {ALLOWED}")
    return tuple(layers)


def _parts(module: nn.Module, name: str = "") -> Iterator[tuple[str, nn.Module]]:
    """Yield the modules in the order of execution."""
    if type(module) is not nn.Sequential:  # a subclass may have another forward
        yield name, module
        return
    # not `children()`, which yields a module only once even if it runs twice
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
