"""Random semi-orthogonal matrices: all non-zero singular values are 1.

A matrix of independent normal numbers is orthonormalised. Its QR decomposition with a positive diagonal of R is unique, so two algorithms
agree up to rounding: Householder QR (LAPACK) on a CPU, and two rounds of Cholesky QR in float64 on a GPU.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

import torch
from torch import Tensor

TOLERANCE = 1e-10
"""Largest accepted deviation of a Gram matrix from the identity after Cholesky QR; rounding gives about 1e-15 times the size."""


def semi_orthogonal(
    shapes: Sequence[tuple[int, int, int]], generator: torch.Generator, dtype: torch.dtype, device: torch.device | None = None
) -> list[Tensor]:
    """Draw independent, uniformly distributed semi-orthogonal matrices.

    Args:
        shapes: (count, rows, columns) of each stack, count at least 1. Random numbers are drawn in this order.
        generator: of random numbers. If it is on the CPU, a seed gives the same matrices on every device, up to rounding.
        dtype: float32 or float64.
        device: on which to factorise. Default: the generator's.

    Returns:
        A tensor (count, rows, columns) per stack, on the device: with orthonormal columns if rows >= columns, else orthonormal rows.

    References:
        Francesco Mezzadri: How to generate random matrices from the classical compact groups. Notices of the AMS 54(5), 2007.
    """
    device = generator.device if device is None else device
    # tall, as QR needs; drawn where the generator is, as devices give different numbers for a seed
    drawn = [
        torch.randn(count, max(rows, columns), min(rows, columns), generator=generator, device=generator.device, dtype=dtype)
        for count, rows, columns in shapes
    ]
    if device.type == "cpu":  # small stacks fit into the cache; batching by shape takes a third longer
        made = {place: by_householder(stack.to(device)) for place, stack in enumerate(drawn)}
    else:
        # a GPU processes the matrices of a batched QR one by one
        made = _shape_by_shape(drawn, device)
    return [made[place] if rows >= columns else made[place].mT for place, (_, rows, columns) in enumerate(shapes)]


def _shape_by_shape(drawn: Sequence[Tensor], device: torch.device) -> dict[int, Tensor]:
    """Orthonormalise stacks by Cholesky QR, batched by shape; return them by index."""
    alike: dict[torch.Size, list[int]] = defaultdict(list)
    for place, stack in enumerate(drawn):
        alike[stack.shape[1:]].append(place)
    made: dict[int, Tensor] = {}
    for places in alike.values():
        together = by_cholesky(torch.cat([drawn[place] for place in places]).to(device))
        made |= dict(zip(places, torch.split(together, [len(drawn[place]) for place in places]), strict=True))
    return made


def by_householder(matrices: Tensor) -> Tensor:
    """Orthonormalise the columns of each matrix, by QR with a positive diagonal of R.

    Args:
        matrices: of full rank and at least as many rows as columns, (N, rows, columns).
    """
    q: Tensor
    q, r = torch.linalg.qr(matrices)
    # libraries differ in the signs of Q; a positive diagonal of R makes Q unique and uniformly distributed (Mezzadri)
    return q.mul_(torch.where(r.diagonal(dim1=-2, dim2=-1) < 0, -1, 1).unsqueeze(-2))


def by_cholesky(matrices: Tensor) -> Tensor:
    """Orthonormalise the columns of each matrix, by two rounds of Cholesky QR in float64.

    Args:
        matrices: as for `by_householder`.

    References:
        Y. Yamamoto, Y. Nakatsukasa, Y. Yanagisawa and T. Fukaya: Roundoff error analysis of the CholeskyQR2 algorithm.
        Electronic Transactions on Numerical Analysis 44, 2015.
    """
    q = matrices.double()
    # one round leaves an error of about eps cond^2, and the second removes it (Yamamoto et al.)
    for _ in range(2):
        lower, _ = torch.linalg.cholesky_ex(q.mT @ q)  # no error for a singular matrix; the check below finds it
        q = torch.linalg.solve_triangular(lower.mT, q, upper=True, left=False)
    deviation = (q.mT @ q - torch.eye(q.shape[-1], dtype=q.dtype, device=q.device)).abs().amax((-2, -1))
    unsound = ~(deviation <= TOLERANCE)  # also for NaN
    if bool(unsound.any()):
        # condition number above about 1e8, the root of 1 / eps
        q[unsound] = by_householder(matrices[unsound].double().cpu()).to(q.device)
    return q.to(matrices.dtype)
