"""Random semi-orthogonal matrices: all their non-zero singular values are 1."""

from __future__ import annotations

import torch
from torch import Tensor


def semi_orthogonal(count: int, rows: int, columns: int, generator: torch.Generator, dtype: torch.dtype) -> Tensor:
    """Independent semi-orthogonal matrices, uniformly distributed, by one batched QR factorisation.

    Args:
        count: how many.
        rows: of each, at least 1.
        columns: of each, at least 1.
        generator: the source of randomness; its device is where the work is done.
        dtype: float32 or float64.

    Returns:
        (count, rows, columns): with orthonormal columns if rows >= columns, else with orthonormal rows.

    References:
        Francesco Mezzadri: How to generate random matrices from the classical compact groups. Notices of the AMS 54(5), 2007.
    """
    normal = torch.randn(count, max(rows, columns), min(rows, columns), generator=generator, device=generator.device, dtype=dtype)
    q: Tensor
    q, r = torch.linalg.qr(normal)
    # Q alone depends on the sign convention of the library; with R's diagonal made positive it is unique and uniform.
    q = q * torch.where(r.diagonal(dim1=-2, dim2=-1) < 0, -1, 1).unsqueeze(-2)
    return q if rows >= columns else q.mT
