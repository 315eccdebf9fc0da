"""The derivative of a function of one tensor as a linear operator: its products, and its matrix where that is small.

Products with the Jacobian are forward-mode derivatives, products with its transpose backward ones, so that neither needs a matrix.
"""

from __future__ import annotations

import functools
import warnings
from collections.abc import Callable

import torch
from torch import Tensor
from torch.autograd import forward_ad
from torch.nn.attention import SDPBackend, sdpa_kernel

Function = Callable[[Tensor], Tensor]


def _with_tangent(value: Tensor, tangent: Tensor) -> Tensor:
    dual: Tensor = forward_ad.make_dual(value, tangent)  # type: ignore[no-untyped-call]
    return dual


def _tangent_of(value: Tensor) -> Tensor | None:
    tangent: Tensor | None = forward_ad.unpack_dual(value).tangent  # type: ignore[no-untyped-call]
    return tangent


@functools.cache
def _load_forward_mode() -> None:
    """Torch loads its forward derivatives on first use, and then warns of a deprecated function that only torch itself calls."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        with forward_ad.dual_level():
            _with_tangent(torch.zeros(1), torch.zeros(1))


class Linearisation:
    """J, the derivative of a function at a point.

    Args:
        function: maps a batch (N, …) to a batch (N, …); the same at every call, without a draw of random numbers.
        point: where to differentiate, (N, …).

    Attributes:
        images: N.
        inputs: entries of one image of the point.
        outputs: entries of one image of the result.
        mixes: whether images depend on each other, as by the batch statistics of batch normalisation. Each half of the batch is
            asked for its dependence on the other one.
    """

    def __init__(self, function: Function, point: Tensor) -> None:
        self.function, self.point = function, point.detach()
        self._leaf = self.point.clone().requires_grad_()
        with torch.enable_grad(), sdpa_kernel(SDPBackend.MATH):
            self._result = function(self._leaf.clone())  # a clone, because a leaf cannot be changed in place
        self.images = len(point)
        self.inputs, self.outputs = point[0].numel(), self._result[0].numel()
        self.mixes = self._mixes()

    @property
    def count(self) -> int:
        """How many singular values J has, those that are 0 by its shape left out."""
        return self.images * min(self.inputs, self.outputs)

    def forward(self, tangent: Tensor) -> Tensor:
        """J v, (N, outputs), for v of (N, inputs)."""
        _load_forward_mode()
        with torch.no_grad(), forward_ad.dual_level(), sdpa_kernel(SDPBackend.MATH):
            dual = _with_tangent(self.point, tangent.reshape(self.point.shape))
            product = _tangent_of(self.function(dual.clone()))
        if product is None:  # a constant has no tangent
            return torch.zeros_like(self._result).flatten(1)
        return product.detach().flatten(1)

    def transpose(self, cotangent: Tensor) -> Tensor:
        """Jᵀ u, (N, inputs), for u of (N, outputs)."""
        if not self._result.requires_grad:
            return torch.zeros_like(self.point).flatten(1)
        shaped = cotangent.reshape(self._result.shape)
        (product,) = torch.autograd.grad(self._result, self._leaf, shaped, retain_graph=True, materialize_grads=True)
        return product.flatten(1)

    def _mixes(self) -> bool:
        if self.images < 2:
            return False
        half = self.images // 2
        generator = torch.Generator().manual_seed(0)
        drawn = torch.randn(self.images, self.outputs, generator=generator).to(self._result)
        first, second = drawn.clone(), drawn
        first[half:], second[:half] = 0, 0
        return bool(self.transpose(first)[half:].any() or self.transpose(second)[:half].any())

    def matrices(self) -> Tensor:
        """J as matrices: (N, outputs, inputs), one for each image, or a single (1, N outputs, N inputs) where images mix.

        Built column by column or row by row, whichever are fewer; where images do not mix, of all images at once.
        """
        by_column = self.inputs < self.outputs
        size, product = (self.inputs, self.forward) if by_column else (self.outputs, self.transpose)
        blocks = range(self.images) if self.mixes else (slice(None),)
        lines = []
        unit = torch.zeros(self.images, size, dtype=self.point.dtype, device=self.point.device)
        for block in blocks:
            for entry in range(size):
                unit[block, entry] = 1
                lines.append(product(unit))
                unit[block, entry] = 0
        stacked = torch.stack(lines, dim=1)  # (N, lines, other side)
        if self.mixes:
            stacked = stacked.transpose(0, 1).flatten(1)[None]
        return stacked.mT if by_column else stacked
