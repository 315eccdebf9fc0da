"""Duality structure gradient descent: one layer a step, chosen and moved so that the loss is sure to fall.

For a chain of fully connected layers with smooth bounded activations (`agd_bench.optim.chains`), the moduli p_i of
`agd_bench.optim.smoothness` bound the loss along every layer. With the gradients' dual norms n_i a step has

    f(w) - f(w+) >= step_size (1 - step_size / 2) max_i (n_i / p_i)^2

for the loss f whose gradient it was given, up to rounding: the whole data set's, or a mini-batch's. Nothing is tuned: a
step size of 1 makes the right side largest.

    optimizer = DSGD(network, loss="cross-entropy")
    for images, labels in data:
        loss = cross_entropy(network(images), labels)
        optimizer.zero_grad(); loss.backward(); optimizer.step()

It needs the largest norm of an image. Unless that is given, the network reports it: every forward pass that records gradients
counts, and the largest so far is kept. So the bound covers all images seen, those of the step included.

The bounds are conservative, twofold and more at every step measured, and the lower layers' grow with the product of the norms
above: the last layers move first and most. With mini-batches the noise of the gradient counts as slope, so that training
stalls where only noise is left for the layer with the smallest bound.

On one CPU core a step took 10 (q = 1, inf) or 240 (q = 2) times as long as torch's fused SGD for a network of 4 layers of 256
units, half as long as and 12 times as long as forward and backward on 128 images of 784 pixels.

References:
    Thomas Flynn: The duality structure gradient descent algorithm: analysis and applications to neural networks.
    arXiv 1708.00523, 2017. Rebuilt from the abstract's and later papers' descriptions and derived anew; where the paper's
    constants differ (it adds 1 to them, for one), these are ours.
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
        q: float | str = "inf",
        step_size: float = 1.0,
        input_norm: float | None = None,
    ) -> None:
        """Take charge of a network's layers.

        Args:
            network: a chain of fully connected layers with smooth bounded activations, on one device.
            loss: `"square"` or `"cross-entropy"`, as in `agd_bench.optim.losses`, or the bounds of another square loss.
            q: norm of the layers: 1, 2 or `"inf"`. For 2, each step computes an SVD of every layer's gradient.
            step_size: in (0, 2); 1 gives the largest guaranteed decrease.
            input_norm: the largest q-norm of an image as the first layer gets it, above 0; null: the largest one seen.

        Raises:
            Refused: a network without a guarantee, with the part for which there is none and what is allowed.
            InputError: q, step size or input norm is out of range, or no such loss.
        """
        if input_norm is not None and not 0 < input_norm < math.inf:
            raise InputError(f"input_norm is {input_norm!r}; give the largest norm of an image, above 0, or nothing to have it measured")
        self.layers = read_chain(network)
        super().__init__([Block(layer.name, layer.linear) for layer in self.layers], q, step_size)
        self.loss = loss_named(loss, self.layers[-1].linear.out_features) if isinstance(loss, str) else loss
        (group,) = self.param_groups
        self._probe = LargestNorm(group["q"])
        group["input_norm"] = None
        if input_norm is not None:
            group["input_norm"] = group["lr"].new_tensor(input_norm)
        else:
            self.layers[0].linear.register_forward_pre_hook(self._probe)

    @torch.no_grad()
    def moduli(self) -> Tensor:
        """The p_i of the layers, (K,), float64, from the weights as they are and the images seen so far.

        Raises:
            InputError: no input norm was given, and no image went through the network in a pass that records gradients.
        """
        (group,) = self.param_groups
        group["input_norm"] = self._probe.merged(group["input_norm"])
        if group["input_norm"] is None:
            raise InputError("DSGD has seen no image: call the network with gradients on before step(), or give input_norm")
        q = group["q"]
        norms = torch.stack([induced_norm(layer.linear.weight, q) for layer in self.layers])
        first, second = self.loss.bounds(q, self.layers[-1].linear.out_features, *self._output_range())
        return moduli(norms, self._input_norms(q, group["input_norm"]), [layer.activation for layer in self.layers], first, second)

    def _input_norms(self, q: float, largest: Tensor) -> Tensor:
        """The c_(k-1) of the layers, (K,): of what each one gets, with a 1 for its bias."""
        hidden = [largest.new_tensor(norm_of_constant(k.activation.largest, k.linear.out_features, q)) for k in self.layers[:-1]]
        sizes = zip(self.layers, [largest, *hidden], strict=True)
        return torch.stack([size if layer.linear.bias is None else with_ones(size, 1, q) for layer, size in sizes])

    def _output_range(self) -> tuple[Tensor, Tensor]:
        """Between which values the outputs lie, 0-dim float64."""
        (group,) = self.param_groups
        activation = self.layers[-1].activation
        if activation != LINEAR:
            return group["lr"].new_tensor(activation.low), group["lr"].new_tensor(activation.high)
        # Hidden values lie within 1, so a row's absolute sum bounds an output. Only layers under the last one use this
        # bound, as the last one's term has the curvature 0: along a step of theirs it stays as it is.
        largest = induced_norm(self.blocks[-1].matrix(), math.inf)
        return -largest, largest


class LargestNorm:
    """A forward pre-hook that keeps the largest q-norm of what a layer was given while gradients were recorded."""

    def __init__(self, q: float) -> None:
        """Start with nothing seen."""
        self.q = q
        self.seen: Tensor | None = None

    def __call__(self, module: nn.Module, inputs: Sequence[Tensor]) -> None:
        """Look at the inputs (..., features); evaluation under `no_grad` does not count."""
        if torch.is_grad_enabled():
            norms = torch.linalg.vector_norm(inputs[0].detach(), self.q, dim=-1, dtype=torch.float64)
            self.seen = self.merged(norms.amax())

    def merged(self, other: Tensor | None) -> Tensor | None:
        """The larger of what was seen and another norm, where both are there."""
        if self.seen is None or other is None:
            return other if self.seen is None else self.seen
        return torch.maximum(self.seen, other)
