"""Norms of a layer, their dual norms, and the steepest directions: the duality maps of q in {1, 2, inf}.

Activations carry the vector q-norm, and a matrix W of shape (outputs, inputs) the norm that it induces. For a gradient G:

    q     ||W||               dual norm ||G||_*                   steepest direction d: ||d|| = 1, <G, d> = ||G||_*
    inf   largest row sum     sum over rows of the largest entry  in each row, the sign at the largest entry
    1     largest column sum  the same over columns               in each column, the sign at the largest entry
    2     largest singular    sum of the singular values          U V^T, of the non-zero singular values

Sums and largest entries are of absolute values; the first of equal entries counts. The duality map is ||G||_* d.

References:
    Thomas Flynn: The duality structure gradient descent algorithm: analysis and applications to neural networks.
    arXiv 1708.00523, 2017. The three maps follow from the definition of a dual norm; the tests compare each with it.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from agd_bench.errors import InputError

EXPONENTS = (1.0, 2.0, math.inf)


def exponent(q: float | str) -> float:
    """The exponent as a float; text serves where a file format has no infinity.

    Args:
        q: 1, 2, `math.inf`, or one of them as text: `"1"`, `"2"`, `"inf"`.

    Raises:
        InputError: any other value.
    """
    try:
        value = float(q)
    except ValueError:
        value = math.nan
    if value not in EXPONENTS:
        raise InputError(f"q is {q!r}; the norms of layers are those of q = 1, 2 and 'inf': give one of these")
    return value


def induced_norm(matrix: Tensor, q: float) -> Tensor:
    """The norm of a matrix (outputs, inputs) that the vector q-norm induces: a 0-dim float64 tensor, never too small.

    Args:
        matrix: real, not empty.
        q: 1, 2 or infinity.
    """
    if q == 2:
        # Singular values are exact up to rounding; a bound must err upwards.
        rounding = torch.finfo(matrix.dtype).eps * max(matrix.shape)
        finite = matrix.isfinite().all()
        largest = torch.linalg.svdvals(torch.where(finite, matrix, 0))[0].double()
        return torch.where(finite, largest * (1 + rounding), torch.nan)
    return matrix.abs().sum(0 if q == 1 else 1, dtype=torch.float64).amax()


def steepest(gradient: Tensor, q: float) -> tuple[Tensor, Tensor]:
    """The dual norm of a gradient (outputs, inputs), a 0-dim float64 tensor, and its steepest direction, of the gradient's shape.

    For q = 2 this factors the gradient, for which the host waits where the gradient is on a GPU; otherwise nothing waits. Entries that
    are not finite make the dual norm so.

    Args:
        gradient: real, not empty.
        q: 1, 2 or infinity.
    """
    if q == 2:
        # What is not finite must show as such in the dual norm, and so in the weights; torch's factorisation would raise.
        finite = gradient.isfinite().all()
        left, values, right = torch.linalg.svd(torch.where(finite, gradient, 0), full_matrices=False)
        # What is zero up to rounding has no direction of its own.
        kept = values > values[0] * (torch.finfo(values.dtype).eps * max(gradient.shape))
        return torch.where(finite, values.sum(dtype=torch.float64), torch.nan), (left * kept) @ right
    along = 0 if q == 1 else 1
    sizes = gradient.abs()
    largest = sizes.amax(along, keepdim=True)
    places = _first_place(sizes == largest, along)
    signs = torch.zeros_like(gradient).scatter_(along, places, gradient.gather(along, places).sign())
    return largest.sum(dtype=torch.float64), signs


def _first_place(ties: Tensor, along: int) -> Tensor:
    """The index of the first true entry along a dimension, kept as 1 long (`argmax` promises no order among equal entries)."""
    last = ties.shape[along] - 1
    places = torch.arange(last + 1, device=ties.device).view((-1, 1) if along == 0 else (1, -1))
    return torch.where(ties, places, last).amin(along, keepdim=True)
