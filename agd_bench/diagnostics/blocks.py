"""Find the blocks of a network, record their inputs, and linearise what follows the first one."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator

import torch
from torch import Tensor, nn

from agd_bench.diagnostics.linearisation import Function
from agd_bench.errors import InputError

_CONTAINERS = (nn.Sequential, nn.ModuleList, nn.ModuleDict)
# `_ConvNd` is the private base of convolutions of every dimension, transposed ones included.
_LAYERS = (nn.Linear, nn.modules.conv._ConvNd)


def find_blocks(network: nn.Module, images: Tensor) -> tuple[str, ...]:
    """Return the names of a network's blocks in the order of the forward pass.

    Blocks are the outermost composite modules, except for containers (`Sequential`, `ModuleList`, `ModuleDict`) and a single module that
    wraps all others. In a plain chain, the linear layers and convolutions are the blocks. A block must be called once per forward pass,
    with one floating-point tensor, and return one; other modules have no Jacobian.

    Args:
        network: maps images (N, C, H, W) to logits.
        images: (N, C, H, W).

    Raises:
        InputError: there is no such module.
    """
    level = list(_contents(network, ""))
    composed = [name for name, module in level if next(module.children(), None) is not None]
    # The only module with parameters wraps the whole network, so its contents are the blocks.
    while len(composed) == 1 and composed == [name for name, _ in level if _has_parameters(network.get_submodule(name))]:
        level = list(_contents(network.get_submodule(composed[0]), f"{composed[0]}."))
        composed = [name for name, module in level if next(module.children(), None) is not None]
    candidates = composed or [name for name, module in network.named_modules() if isinstance(module, _LAYERS)]
    # Definition order need not be call order, and some modules are never called: a forward pass decides both.
    calls = inputs_of(network, images, candidates)
    if not calls:
        raise InputError(
            f"{type(network).__name__}: no module that is called once with one tensor for one tensor was found; name the blocks"
        )
    return tuple(calls)


def _contents(module: nn.Module, prefix: str) -> Iterator[tuple[str, nn.Module]]:
    """Yield the children of a module, with containers replaced by their contents."""
    for name, child in module.named_children():
        if isinstance(child, _CONTAINERS):
            yield from _contents(child, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", child


def _has_parameters(module: nn.Module) -> bool:
    return next(module.parameters(), None) is not None


def inputs_of(network: nn.Module, images: Tensor, names: Iterable[str]) -> dict[str, Tensor]:
    """Return the inputs of modules during one forward pass, by name, in the order of the calls.

    Modules that are not called exactly once, with one floating-point tensor for another, are omitted.

    Args:
        network: maps images (N, C, H, W) to logits. The pass may change its buffers.
        images: (N, C, H, W).
        names: of modules, as in `named_modules`.

    Raises:
        InputError: no module has this name.
    """
    clock = itertools.count()
    calls = {name: _Calls(submodule(network, name), clock) for name in names}
    try:
        with torch.no_grad():
            network(images)
    finally:
        # Hooks that outlive a failed pass would record every later training step.
        for record in calls.values():
            record.close()
    taken = {name: record for name, record in calls.items() if record.given is not None}
    order = sorted(taken, key=lambda name: taken[name].place)
    return {name: given for name in order if (given := taken[name].given) is not None}


class _Calls:
    """Records the input of a module that is called once, with one tensor for another."""

    def __init__(self, module: nn.Module, clock: Iterator[int]) -> None:
        self.given: Tensor | None = None
        self.clock, self.place, self.times = clock, 0, 0
        before = module.register_forward_pre_hook(self._enter, with_kwargs=True)
        self.handles = (before, module.register_forward_hook(self._leave))

    def _enter(self, _: nn.Module, given: tuple[object, ...], keywords: dict[str, object]) -> None:
        """Pre-hook: record the input."""
        self.times += 1
        self.place = next(self.clock)
        # A second call clears the record: the module then has no single input to differentiate at.
        fits = self.times == 1 and len(given) == 1 and not keywords and _is_floating(given[0])
        # a clone, since the module may change its input in place
        self.given = given[0].detach().clone() if fits and isinstance(given[0], Tensor) else None

    def _leave(self, _: nn.Module, given: tuple[object, ...], result: object) -> None:
        if not _is_floating(result):
            self.given = None

    def close(self) -> None:
        for handle in self.handles:
            handle.remove()


def _is_floating(value: object) -> bool:
    return isinstance(value, Tensor) and value.is_floating_point()


def submodule(network: nn.Module, name: str) -> nn.Module:
    """Return a module of a network by its name.

    Raises:
        InputError: no module has this name.
    """
    try:
        return network.get_submodule(name)
    except AttributeError:
        known = [other for other, _ in network.named_modules() if other]
        raise InputError(f"{name!r}: no module of the network; give one of {', '.join(known[:20])}") from None


def head_function(network: nn.Module, images: Tensor, block: str) -> Function:
    """Return the logits as a function of a block's input, with everything before the block fixed.

    Args:
        network: maps images (N, C, H, W) to logits.
        images: (N, C, H, W).
        block: name of a module that is called once, with one tensor.
    """
    module = submodule(network, block)

    def logits_of(given: Tensor) -> Tensor:
        # Everything before the block still runs, but its result is discarded, so no derivative flows through it.
        handle = module.register_forward_pre_hook(lambda _, __: (given,))
        try:
            logits: Tensor = network(images)
        finally:
            handle.remove()
        return logits

    return logits_of
