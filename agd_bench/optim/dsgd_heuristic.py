"""Greedy layer-wise steps of DSGD with estimated moduli, for networks with ReLU, convolutions and normalisation.

This method has NO guarantee. `agd_bench.optim.dsgd` bounds the curvature of the loss along a layer; here it is estimated from the pass that
computed the gradient. With x_n the input of layer i for image n, delta_n the gradient at its output, delta_n^K the gradient at the logits,
and l2 a bound on the loss's second derivative,

    p_i^2 = l2 mean_n (||x_n||_q r_n)^2           r_n = ||delta_n||_q' / ||delta_n^K||_q'          1/q + 1/q' = 1

r_n underestimates the norm of the Jacobian from the layer's output to the logits, since it measures one direction only. The curvature of
the layers above (the kinks of ReLU) and the dependence between images in batch normalisation are ignored. For the last linear layer, p_i
is a true bound.

A kernel counts as the matrix (d_out, d_in k_x k_y) that acts on patches.

References:
    Thomas Flynn: The duality structure gradient descent algorithm: analysis and applications to neural networks.
    arXiv 1708.00523, 2017: the greedy step. The estimate of p_i is ours, a Gauss-Newton bound with a measured Jacobian.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Sequence
from functools import partial
from typing import get_args

import torch
from torch import Tensor, nn

from agd_bench.errors import InputError, Refused
from agd_bench.optim.dualities import exponent
from agd_bench.optim.greedy import Block, GreedyDescent
from agd_bench.optim.requirements import require_shapes
from agd_bench.optim.smoothness import Loss, loss_named, with_ones

Movable = nn.Linear | nn.Conv1d | nn.Conv2d | nn.Conv3d
"""Layers that the optimizer updates."""


class HeuristicDSGD(GreedyDescent):
    """Greedy layer-wise descent with estimated moduli. The promised decrease is an estimate; a step may increase the loss."""

    def __init__(self, network: nn.Module, loss: str | Loss = "cross-entropy", q: float | str = "inf", step_size: float = 1.0) -> None:
        """Create the optimizer, and register hooks on the network. Each step needs one forward and one backward pass.

        Args:
            network: maps inputs to logits (N, C), one tensor; all its parameters belong to linear and convolution layers.
            loss: `"square"` or `"cross-entropy"`, as in `agd_bench.optim.losses`, or bounds of another square loss.
            q: norm of the layers: 1, 2 or `"inf"`. For 2, each step computes an SVD of every layer's gradient.
            step_size: in (0, 2); 1 gives the largest estimated decrease.

        Raises:
            Refused: another kind of layer has parameters.
            InputError: q or step_size is out of range, or the loss is unknown.
        """
        require_shapes(network.parameters())
        layers = _layers(network)
        super().__init__([Block(name, layer) for name, layer in layers.items()], q, step_size)
        # bounds are looked up in `moduli`: a pass is needed to know the number of classes
        self.loss = loss
        self._watch = _Watch(exponent(q))
        network.register_forward_pre_hook(self._watch.begin)
        for name, layer in layers.items():
            layer.register_forward_hook(partial(self._watch.of_layer, name))  # a deep copy of a closure would refer to the original
        network.register_forward_hook(self._watch.end)

    @torch.no_grad()
    def moduli(self) -> Tensor:
        """Return the estimated p_i of the layers, (K,), float64; 0 for a layer without gradient.

        Raises:
            InputError: there was no forward and backward pass.
        """
        watch, (group,) = self._watch, self.param_groups
        if watch.outputs is None:
            raise InputError("HeuristicDSGD has seen no gradient: call network and backward() before step()")
        sensitivities = [watch.sensitivity(block.name) for block in self.blocks]
        classes = watch.classes
        bounds = loss_named(self.loss, classes) if isinstance(self.loss, str) else self.loss
        nothing = group["lr"].new_zeros(())  # the second derivative does not depend on the range of the outputs
        _, second = bounds.bounds(group["q"], classes, nothing, nothing)
        # p_i^2 = l2 mean_n (||x_n|| r_n)^2
        return torch.stack([nothing if s is None else (second * s.square().mean()).sqrt() for s in sensitivities])


class _Watch:
    """Records the norms of each layer's inputs and output gradients in the last pass."""

    def __init__(self, q: float) -> None:
        self.q = q
        # the exponent q' with 1/q + 1/q' = 1
        self.dual = {1.0: math.inf, 2.0: 2.0, math.inf: 1.0}[q]
        self.classes = 0
        self.outputs: Tensor | None = None
        self.products: dict[str, list[Tensor]] = defaultdict(list)

    def begin(self, module: nn.Module, inputs: Sequence[Tensor]) -> None:
        """Network pre-hook: discard the previous pass."""
        if torch.is_grad_enabled():
            self.outputs = None
            self.products.clear()  # otherwise a pass without a step would mix with the next one

    def of_layer(self, name: str, layer: Movable, inputs: Sequence[Tensor], output: Tensor) -> None:
        """Forward hook of a layer, to be bound to its name."""
        if output.requires_grad:
            sizes = self._input_norms(layer, inputs[0].detach(), output)
            output.register_hook(partial(self._of_layer, name, sizes))  # type: ignore[no-untyped-call]

    def end(self, module: nn.Module, inputs: Sequence[Tensor], output: Tensor) -> None:
        """Forward hook of the network."""
        if output.requires_grad:
            self.classes = output.shape[1]
            output.register_hook(self._of_outputs)  # type: ignore[no-untyped-call]

    def sensitivity(self, name: str) -> Tensor | None:
        """Return ||x_n|| r_n of a layer, (N,), summed over its calls in the pass; None if no gradient reached it."""
        if self.outputs is None or name not in self.products:
            return None
        # the 1/N of the mean loss cancels; an image that is fitted exactly has no gradient anywhere
        return torch.where(self.outputs > 0, torch.stack(self.products[name]).sum(0) / self.outputs, 0)

    def _of_layer(self, name: str, sizes: Tensor, gradient: Tensor) -> None:
        self.products[name].append(sizes * self._norms(gradient, self.dual))

    def _of_outputs(self, gradient: Tensor) -> None:
        self.outputs = self._norms(gradient, self.dual)

    def _norms(self, values: Tensor, q: float) -> Tensor:
        norms: Tensor = torch.linalg.vector_norm(values.detach().flatten(1), q, dim=1, dtype=torch.float64)
        return norms

    def _input_norms(self, layer: Movable, inputs: Tensor, output: Tensor) -> Tensor:
        """Return norms of the layer's inputs, (N,): as patches for convolutions, with a 1 for the bias at each position."""
        norms = self._norms(inputs, self.q)
        if not isinstance(layer, nn.Linear):
            # a pixel is in at most this many patches; for q = inf the exponent is 0, as the largest entry stays
            overlaps = math.prod(math.ceil(k / s) for k, s in zip(layer.kernel_size, layer.stride, strict=True))
            norms = norms * overlaps ** (1 / self.q)
        # positions of the output, each of which adds the bias
        places = output[0].numel() // layer.weight.shape[0]
        return norms if layer.bias is None else with_ones(norms, places, self.q)


def _layers(network: nn.Module) -> dict[str, Movable]:
    """Return the layers to update, by name, in the order of the network's modules.

    Raises:
        Refused: another layer has parameters, two layers share a weight, or there is no layer.
    """
    layers: dict[str, Movable] = {}
    kinds = ", ".join(kind.__name__ for kind in get_args(Movable))
    for name, module in network.named_modules():
        own = [key for key, parameter in module._parameters.items() if parameter is not None]
        place = f"layer {name!r}" if name else "the network itself"
        # accept subclasses that do not change forward
        if own and type(module).forward not in {kind.forward for kind in get_args(Movable)}:
            raise Refused(
                f"{place} is {type(module).__name__} with parameters {', '.join(own)}; dsgd_heuristic moves {kinds} alone; "
                "the matrix-only profile removes learned scales"
            )
        if isinstance(module, Movable) and own:
            if any(module.weight is layer.weight for layer in layers.values()):
                raise Refused(f"{place} shares its weight with an earlier layer; give each its own")
            layers[name] = module
    if not layers:
        raise Refused(f"the network has no layer to move; dsgd_heuristic moves {kinds}")
    return layers
