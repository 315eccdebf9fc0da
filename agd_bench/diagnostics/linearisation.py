"""The Jacobian of a function of one tensor as a linear operator.

Products with the Jacobian use forward-mode differentiation, products with its transpose reverse mode; neither needs the matrix.
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
    """Load torch's forward-mode derivatives, without the deprecation warning that torch's own code causes on first use."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        with forward_ad.dual_level():
            _with_tangent(torch.zeros(1), torch.zeros(1))


class Linearisation:
    """Jacobian J of a function at a point.

    Args:
        function: maps a batch (N, …) to a batch (N, …); deterministic.
        point: at which to differentiate, (N, …).

    Attributes:
        images: N.
        inputs: number of entries per image of the point.
        outputs: number of entries per image of the result.
        mixes: whether outputs depend on other images, for example through batch statistics.
    """

    def __init__(self, function: Function, point: Tensor) -> None:
        self.function, self.point = function, point.detach()
        # Leaf and result are kept: every product with Jᵀ reuses this one graph instead of a forward pass of its own.
        self._leaf = self.point.clone().requires_grad_()
        # Fused attention has no forward-mode derivative; both directions use the same kernel, so that Jᵀ is the transpose of J.
        with torch.enable_grad(), sdpa_kernel(SDPBackend.MATH):
            self._result = function(self._leaf.clone())  # a clone, since the function may change its input in place
        self.images = len(point)
        self.inputs, self.outputs = point[0].numel(), self._result[0].numel()
        self.mixes = self._mixes()

    @property
    def count(self) -> int:
        """Number of singular values of J, without those that are 0 because of its shape."""
        return self.images * min(self.inputs, self.outputs)

    def forward(self, tangent: Tensor) -> Tensor:
        """Return J v, (N, outputs), for v of (N, inputs)."""
        _load_forward_mode()
        with torch.no_grad(), forward_ad.dual_level(), sdpa_kernel(SDPBackend.MATH):
            # The clone below carries the tangent along, since the function may change its input in place.
            dual = _with_tangent(self.point, tangent.reshape(self.point.shape))
            product = _tangent_of(self.function(dual.clone()))
        if product is None:  # a constant has no tangent
            return torch.zeros_like(self._result).flatten(1)
        return product.detach().flatten(1)

    def transpose(self, cotangent: Tensor) -> Tensor:
        """Return Jᵀ u, (N, inputs), for u of (N, outputs)."""
        # A constant: autograd would raise an error.
        if not self._result.requires_grad:
            return torch.zeros_like(self.point).flatten(1)
        shaped = cotangent.reshape(self._result.shape)
        (product,) = torch.autograd.grad(self._result, self._leaf, shaped, retain_graph=True, materialize_grads=True)
        return product.flatten(1)

    def _mixes(self) -> bool:
        if self.images < 2:
            return False
        half = self.images // 2
        # Its own generator: measuring must not advance the training's.
        generator = torch.Generator().manual_seed(0)
        # Random, not ones: gradients of a plain sum cancel in batch normalisation, whose outputs sum to a constant.
        drawn = torch.randn(self.images, self.outputs, generator=generator).to(self._result)
        # outputs of one half must have no gradient with respect to the other half
        first, second = drawn.clone(), drawn
        first[half:], second[:half] = 0, 0
        return bool(self.transpose(first)[half:].any() or self.transpose(second)[:half].any())

    def matrices(self) -> Tensor:
        """Return J as matrices: (N, outputs, inputs), one per image, or a single (1, N outputs, N inputs) if images mix."""
        # by columns or by rows, whichever are fewer, and for all images at once if they do not mix
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
            # (lines, N × other side): with mixed images the lines run over all images, and each product is a row of all of them.
            stacked = stacked.transpose(0, 1).flatten(1)[None]
        return stacked.mT if by_column else stacked
