"""Duality structure gradient descent (DSGD): each step updates one layer, with a guaranteed decrease of the loss.

For a chain of fully connected layers with smooth bounded activations (`agd_bench.optim.chains`), the moduli p_i of
`agd_bench.optim.smoothness` bound the loss along every layer. With the dual norms n_i of the gradients, a step has

    f(w) - f(w+) >= step_size (1 - step_size / 2) max_i (n_i / p_i)^2

up to rounding, where f is the loss of the step's gradient, on a mini-batch or the full data set. Nothing is tuned: step_size = 1 maximises
the right-hand side.

    optimizer = DSGD(network, loss="cross-entropy")
    for images, labels in data:
        loss = cross_entropy(network(images), labels)
        optimizer.zero_grad(); loss.backward(); optimizer.step()

The bound needs the largest norm of an image. Unless it is given, a forward hook records the largest norm of all images in passes with
gradients.

The bounds are conservative, at least by a factor of two in every measured step. Those of lower layers grow with the product of the norms
above, so the last layers are updated first and most often. With mini-batches, gradient noise counts as slope, and training stalls when
the layer with the smallest bound has only noise left.

References:
    Thomas Flynn: The duality structure gradient descent algorithm: analysis and applications to neural networks.
    arXiv 1708.00523, 2017. Implemented from descriptions in the abstract and in later papers. The constants are our own derivation, and
    can differ from the paper's (which adds 1 to them, for example).
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from agd_bench.errors import InputError
from agd_bench.optim.chains import read_chain
from agd_bench.optim.dualities import induced_norm
from agd_bench.optim.greedy import Block, GreedyDescent
from agd_bench.optim.smoothness import LINEAR, Loss, loss_named, moduli, norm_of_constant, with_ones


class DSGD(GreedyDescent):
    """Duality structure gradient descent with a guaranteed decrease of the loss at every step."""

    def __init__(
        self,
        network: nn.Module,
        loss: str | Loss = "square",
        # 4 layers of 256 units, one CPU core: a step took 10 (1, inf) or 240 (2) times as long as fused SGD
        q: float | str = "inf",
        step_size: float = 1.0,
        input_norm: float | None = None,
    ) -> None:
        """Create the optimizer.

        Args:
            network: a chain of fully connected layers with smooth bounded activations, on one device.
            loss: `"square"` or `"cross-entropy"`, as in `agd_bench.optim.losses`, or bounds of another square loss.
            q: norm of the layers: 1, 2 or `"inf"`. For 2, each step computes an SVD of every layer's gradient.
            step_size: in (0, 2); 1 gives the largest guaranteed decrease.
            input_norm: largest q-norm of an input of the first layer, above 0. None: the largest one so far.

        Raises:
            Refused: no guarantee is known for the network.
            InputError: q, step_size or input_norm is out of range, or the loss is unknown.
        """
        if input_norm is not None and not 0 < input_norm < math.inf:
            raise InputError(f"input_norm is {input_norm!r}; give the largest norm of an image, above 0, or nothing to have it measured")
        self.layers = read_chain(network)
        super().__init__([Block(layer.name, layer.linear) for layer in self.layers], q, step_size)
        self.loss = loss_named(loss, self.layers[-1].linear.out_features) if isinstance(loss, str) else loss
        (group,) = self.param_groups
        self._probe = LargestNorm(group["q"])
        # in the group, so that checkpoints have it
        group["input_norm"] = None
        if input_norm is not None:
            group["input_norm"] = group["lr"].new_tensor(input_norm)
        else:
            # the forward pass precedes the step, so the bound covers the images of the step too
            self.layers[0].linear.register_forward_pre_hook(self._probe)

    @torch.no_grad()
    def moduli(self) -> Tensor:
        """Return the p_i of the layers, (K,), float64, for the current weights and the images so far.

        Raises:
            InputError: input_norm is None, and there was no forward pass with gradients.
        """
        (group,) = self.param_groups
        largest = self._probe.merged(group["input_norm"])
        if largest is None:
            raise InputError("DSGD has seen no image: call the network with gradients on before step(), or give input_norm")
        if group["input_norm"] is None:
            group["input_norm"] = largest.clone()
        # in place, because a captured step repeats its writes at the same addresses
        group["input_norm"].copy_(largest)
        q = group["q"]
        norms = torch.stack([induced_norm(layer.linear.weight, q) for layer in self.layers])
        first, second = self.loss.bounds(q, self.layers[-1].linear.out_features, *self._output_range())
        return moduli(norms, self._input_norms(q, group["input_norm"]), [layer.activation for layer in self.layers], first, second)

    def _input_norms(self, q: float, largest: Tensor) -> Tensor:
        """Return c_(k-1) of the layers, (K,): bounds on their inputs, with a 1 appended for a bias."""
        # outputs of an activation are within its range for any weights, so steps do not change these bounds
        hidden = [largest.new_full((), norm_of_constant(k.activation.largest, k.linear.out_features, q)) for k in self.layers[:-1]]
        sizes = zip(self.layers, [largest, *hidden], strict=True)
        return torch.stack([size if layer.linear.bias is None else with_ones(size, 1, q) for layer, size in sizes])

    def _output_range(self) -> tuple[Tensor, Tensor]:
        """Return lower and upper bounds of the outputs, 0-dim float64."""
        (group,) = self.param_groups
        activation = self.layers[-1].activation
        if activation != LINEAR:
            return group["lr"].new_full((), activation.low), group["lr"].new_full((), activation.high)
        # Hidden values are within [-1, 1], so the largest absolute row sum bounds an output. Only layers below the last one use
        # this bound (the last one's term has curvature 0), and their steps do not change it.
        largest = induced_norm(self.blocks[-1].matrix(), math.inf)
        return -largest, largest


class LargestNorm:
    """Forward pre-hook that records the largest q-norm of a layer's inputs in passes with gradients."""

    def __init__(self, q: float) -> None:
        """Create the hook for a q-norm."""
        self.q = q
        self.seen: Tensor | None = None

    def __call__(self, module: nn.Module, inputs: Sequence[Tensor]) -> None:
        """Update the norm with inputs (..., features), except under `no_grad`."""
        # larger images of an evaluation must not shrink the training steps
        if torch.is_grad_enabled():
            norms = torch.linalg.vector_norm(inputs[0].detach(), self.q, dim=-1, dtype=torch.float64)
            self.seen = self.merged(norms.amax())

    def merged(self, other: Tensor | None) -> Tensor | None:
        """Return the larger of the recorded norm and another one; None if both are None."""
        if self.seen is None or other is None:
            return other if self.seen is None else self.seen
        return torch.maximum(self.seen, other)
