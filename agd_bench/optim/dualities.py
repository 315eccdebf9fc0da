"""Norms of a layer, their dual norms and steepest directions: the duality maps for q in {1, 2, inf}.

Activations are measured by the vector q-norm, and a matrix W of shape (outputs, inputs) by the induced norm. For a gradient G:

    q     ||W||               dual norm ||G||_*                   steepest direction d: ||d|| = 1, <G, d> = ||G||_*
    inf   largest row sum     sum over rows of the largest entry  in each row, the sign at the largest entry
    1     largest column sum  the same over columns               in each column, the sign at the largest entry
    2     largest singular    sum of the singular values          U V^T, of the non-zero singular values

Sums and largest entries are of absolute values; ties select the first entry. The duality map is ||G||_* d.

References:
    Thomas Flynn: The duality structure gradient descent algorithm: analysis and applications to neural networks.
    arXiv 1708.00523, 2017. The three maps follow from the definition of a dual norm.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from agd_bench.errors import InputError

EXPONENTS = (1.0, 2.0, math.inf)


def exponent(q: float | str) -> float:
    """Convert the exponent to a float. Strings are allowed because some file formats have no infinity.

    Args:
        q: 1, 2, `math.inf`, or one of `"1"`, `"2"`, `"inf"`.

    Raises:
        InputError: q has any other value.
    """
    try:
        value = float(q)
    except ValueError:
        value = math.nan
    if value not in EXPONENTS:
        raise InputError(f"q is {q!r}; the norms of layers are those of q = 1, 2 and 'inf': give one of these")
    return value


def induced_norm(matrix: Tensor, q: float) -> Tensor:
    """Return an upper bound, tight up to rounding, of the induced q-norm of a matrix: a 0-dim float64 tensor.

    Args:
        matrix: (outputs, inputs), real, not empty.
        q: 1, 2 or infinity.
    """
    if q == 2:
        # round up, so that the result stays a bound
        rounding = torch.finfo(matrix.dtype).eps * max(matrix.shape)
        finite = matrix.isfinite().all()
        largest = torch.linalg.svdvals(torch.where(finite, matrix, 0))[0].double()
        return torch.where(finite, largest * (1 + rounding), torch.nan)
    # float64, so that rounding in long sums does not break the bound
    return matrix.abs().sum(0 if q == 1 else 1, dtype=torch.float64).amax()


def steepest(gradient: Tensor, q: float) -> tuple[Tensor, Tensor]:
    """Return the dual norm of a gradient, a 0-dim float64 tensor, and its steepest direction, of the gradient's shape.

    For q = 2 this computes an SVD, which synchronises with the GPU. Non-finite entries make the dual norm non-finite.

    Args:
        gradient: (outputs, inputs), real, not empty.
        q: 1, 2 or infinity.
    """
    if q == 2:
        # torch's SVD raises for non-finite entries; here they must reach the dual norm and the weights
        finite = gradient.isfinite().all()
        left, values, right = torch.linalg.svd(torch.where(finite, gradient, 0), full_matrices=False)
        # directions of zero singular values are arbitrary; tolerance as in torch.linalg.matrix_rank
        kept = values > values[0] * (torch.finfo(values.dtype).eps * max(gradient.shape))
        return torch.where(finite, values.sum(dtype=torch.float64), torch.nan), (left * kept) @ right
    along = 0 if q == 1 else 1
    sizes = gradient.abs()
    largest = sizes.amax(along, keepdim=True)
    places = _first_place(sizes == largest, along)
    # sign 0 in a row (column) of zeros, which stays unchanged
    signs = torch.zeros_like(gradient).scatter_(along, places, gradient.gather(along, places).sign())
    return largest.sum(dtype=torch.float64), signs


def _first_place(ties: Tensor, along: int) -> Tensor:
    """Return the index of the first true entry along a dimension, which is kept with length 1."""
    # `argmax` does not guarantee the first of equal entries
    last = ties.shape[along] - 1
    places = torch.arange(last + 1, device=ties.device).view((-1, 1) if along == 0 else (1, -1))
    return torch.where(ties, places, last).amin(along, keepdim=True)
