"""Three norms of a gradient's matrices, and what each makes of automatic gradient descent.

The bound that AGD minimises holds for any update whose matrices have operator norm (eta/L) s. With a gradient G of a matrix:

    norm        direction D          counts in the gradient summary as     what is assumed
    dual        U V^T                nuclear norm: sum of singular values  nothing; no direction lowers the bound further
    operator    G / sigma_max        ||G||_F^2 / sigma_max                 nothing; the update points along the gradient
    frobenius   G / ||G||_F          ||G||_F                               G has stable rank 1, so that sigma_max is ||G||_F

`frobenius` is the paper's method; the others are its bound before that last step. Always frobenius <= operator <= dual in
what they count. Singular values are computed exactly, all matrices of one shape in one call: O(m n min(m, n)) for m x n. On a CPU
that made a step 50 to 200 (operator) and 110 to 300 (dual) times as long as the paper's, 0.04 and 0.09 s for the 83 tensors of a
NAS-Bench-201 network: as long as forward and backward on small images. On a GPU the factorisation itself waits for the device.

References:
    Bernstein et al.: Automatic Gradient Descent, arXiv 2304.05187, 2023, appendix: the proof before its stable-rank assumption.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Measured:
    """What a norm says of the blocks of several stacks, one value a block and tap, stack after stack, flat.

    Attributes:
        lengths: ||X||_F of the matrices X that the update is made of.
        duals: what each adds to the gradient summary, before its scale and share.
        divisors: X / divisor is the direction; 0 where X is 0.
        directions: X where it is not the gradient, shaped as the stacks.
    """

    lengths: Tensor
    duals: Tensor
    divisors: Tensor
    directions: list[Tensor] | None = None


Stacks = Sequence[Callable[[], Tensor]]
"""Each gives a copy of a stack of gradients, (blocks, rows, columns, *kernel), when it is asked."""


def frobenius(squares: Sequence[Tensor], stacks: Stacks) -> Measured:
    """The paper's norm; `squares` are the stacks' squared Frobenius norms by block and tap, and the stacks are not read."""
    lengths = _flat(squares).sqrt_()
    return Measured(lengths, lengths, lengths)


def operator(squares: Sequence[Tensor], stacks: Stacks) -> Measured:
    """The direction of the gradient, its size set by the largest singular value."""
    lengths = _flat(squares).sqrt_()
    largest = _flat([_checked(_matrices(stack()), lambda finite: torch.linalg.matrix_norm(finite, ord=2)) for stack in stacks])
    duals = torch.where(largest > 0, lengths.square() / largest, lengths)
    return Measured(lengths, duals, largest)


def dual(squares: Sequence[Tensor], stacks: Stacks) -> Measured:
    """The orthogonal factor U V^T of each matrix, without the directions in which it vanishes.

    A singular value counts as zero up to max(m, n) times the type's precision times the largest one, as a matrix's numerical
    rank is defined: a mini-batch smaller than a layer is wide gives gradients that lack rank.
    """
    factors = [_orthogonal_factor(stack()) for stack in stacks]
    duals, ranks = _flat([nuclear for _, nuclear, _ in factors]), _flat([rank for _, _, rank in factors])
    return Measured(ranks.sqrt(), duals, torch.ones_like(duals), [direction for direction, _, _ in factors])


NORMS: dict[str, Callable[[Sequence[Tensor], Stacks], Measured]] = {"frobenius": frobenius, "operator": operator, "dual": dual}
"""The norms by the names that `AGD` takes."""


def _orthogonal_factor(stack: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """U V^T in the stack's shape, and nuclear norm and numerical rank by block and tap."""
    matrices = _matrices(stack)
    finite = matrices.isfinite().all(-1, keepdim=True).all(-2, keepdim=True)
    left, values, right = torch.linalg.svd(torch.where(finite, matrices, 0), full_matrices=False)
    kept = values > values[..., :1] * max(matrices.shape[-2:]) * torch.finfo(values.dtype).eps
    # A gradient that is not finite must show in the weights, where the harness finds it; torch's SVD would raise.
    values = torch.where(finite.squeeze(-1), values, torch.nan)
    orthogonal = torch.where(finite, (left * kept.unsqueeze(-2)) @ right, torch.nan)
    return _stacked(orthogonal, stack.shape), values.sum(-1), kept.sum(-1).to(values.dtype)


def _checked(matrices: Tensor, norm: Callable[[Tensor], Tensor]) -> Tensor:
    """A norm of matrices, NaN for those that are not finite, for which torch's singular values would raise."""
    finite = matrices.isfinite().all(-1).all(-1)
    return torch.where(finite, norm(torch.where(finite[..., None, None], matrices, 0)), torch.nan)


def _matrices(stack: Tensor) -> Tensor:
    """A stack (blocks, rows, columns, *kernel) as matrices (blocks, taps, rows, columns)."""
    return stack.flatten(3).movedim(-1, 1) if stack.dim() > 3 else stack.unsqueeze(1)


def _stacked(matrices: Tensor, shape: torch.Size) -> Tensor:
    """The reverse of `_matrices`."""
    return matrices.movedim(1, -1).reshape(shape)


def _flat(tensors: Sequence[Tensor]) -> Tensor:
    return torch.cat([tensor.flatten() for tensor in tensors])
