"""Three norms of gradient matrices, each of which gives a variant of automatic gradient descent.

The bound that AGD minimises holds for any update with matrices of operator norm (eta/L) s. For the gradient G of a matrix:

    norm        direction D          term in the gradient summary          assumption
    dual        U V^T                nuclear norm: sum of singular values  nothing; no direction lowers the bound further
    operator    G / sigma_max        ||G||_F^2 / sigma_max                 nothing; the update points along the gradient
    frobenius   G / ||G||_F          ||G||_F                               G has stable rank 1, so that sigma_max is ||G||_F

`frobenius` is the paper's method; the others omit its last assumption. The terms satisfy frobenius <= operator <= dual. Singular values are
computed exactly, in one call for all matrices of a shape: O(m n min(m, n)) for m x n.

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
    """Norms of all matrices: one value per block and tap, flat, in the order of the stacks.

    Attributes:
        lengths: ||X||_F of the matrices X that make up the update.
        duals: terms in the gradient summary, before scale and share.
        divisors: X / divisor is the direction; 0 if X is 0.
        directions: X in the shape of the stacks; None if it is the gradient.
    """

    lengths: Tensor
    duals: Tensor
    divisors: Tensor
    directions: list[Tensor] | None = None


Stacks = Sequence[Callable[[], Tensor]]
"""Functions that return a copy of a stack of gradients, (blocks, rows, columns, *kernel)."""


def frobenius(squares: Sequence[Tensor], stacks: Stacks) -> Measured:
    """Return the paper's norm, from the squared Frobenius norms by block and tap. `stacks` is not read."""
    lengths = _flat(squares).sqrt_()
    return Measured(lengths, lengths, lengths)


def operator(squares: Sequence[Tensor], stacks: Stacks) -> Measured:
    """Return the gradient's direction, normalised by its largest singular value."""
    lengths = _flat(squares).sqrt_()
    # on a CPU, a step takes 50 to 200 times as long as the paper's (0.04 s for the 83 tensors of NAS-Bench-201)
    largest = _flat([_checked(_matrices(stack()), lambda finite: torch.linalg.matrix_norm(finite, ord=2)) for stack in stacks])
    # 0 / 0 for a tap without gradient; NaN passes through `lengths`
    duals = torch.where(largest > 0, lengths.square() / largest, lengths)
    return Measured(lengths, duals, largest)


def dual(squares: Sequence[Tensor], stacks: Stacks) -> Measured:
    """Return the orthogonal factor U V^T of each matrix, without directions of zero singular values.

    Singular values up to max(m, n) * eps times the largest one count as zero.
    """
    factors = [_orthogonal_factor(stack()) for stack in stacks]
    duals, ranks = _flat([nuclear for _, nuclear, _ in factors]), _flat([rank for _, _, rank in factors])
    # ||U V^T||_F^2 is the rank
    return Measured(ranks.sqrt(), duals, torch.ones_like(duals), [direction for direction, _, _ in factors])


NORMS: dict[str, Callable[[Sequence[Tensor], Stacks], Measured]] = {"frobenius": frobenius, "operator": operator, "dual": dual}
"""The norms by the names that `AGD` takes."""


def _orthogonal_factor(stack: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return U V^T in the stack's shape, and nuclear norm and numerical rank by block and tap."""
    matrices = _matrices(stack)
    finite = matrices.isfinite().all(-1, keepdim=True).all(-2, keepdim=True)
    # synchronises on a GPU; on a CPU a step takes 110 to 300 times as long as the paper's (0.09 s for 83 tensors)
    left, values, right = torch.linalg.svd(torch.where(finite, matrices, 0), full_matrices=False)
    # numerical rank: gradients of a mini-batch smaller than the width are not of full rank
    kept = values > values[..., :1] * max(matrices.shape[-2:]) * torch.finfo(values.dtype).eps
    # torch's SVD raises for non-finite entries; here NaN must reach the weights, where the harness detects it
    values = torch.where(finite.squeeze(-1), values, torch.nan)
    orthogonal = torch.where(finite, (left * kept.unsqueeze(-2)) @ right, torch.nan)
    return _stacked(orthogonal, stack.shape), values.sum(-1), kept.sum(-1).to(values.dtype)


def _checked(matrices: Tensor, norm: Callable[[Tensor], Tensor]) -> Tensor:
    """Return a norm of matrices, NaN for non-finite ones, for which torch's singular values would raise."""
    finite = matrices.isfinite().all(-1).all(-1)
    return torch.where(finite, norm(torch.where(finite[..., None, None], matrices, 0)), torch.nan)


def _matrices(stack: Tensor) -> Tensor:
    """Reshape a stack (blocks, rows, columns, *kernel) to matrices (blocks, taps, rows, columns)."""
    return stack.flatten(3).movedim(-1, 1) if stack.dim() > 3 else stack.unsqueeze(1)


def _stacked(matrices: Tensor, shape: torch.Size) -> Tensor:
    """Invert `_matrices`."""
    return matrices.movedim(1, -1).reshape(shape)


def _flat(tensors: Sequence[Tensor]) -> Tensor:
    return torch.cat([tensor.flatten() for tensor in tensors])
