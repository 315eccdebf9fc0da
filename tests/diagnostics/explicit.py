"""Reference Jacobians computed by torch."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor


def jacobian_of(function: Callable[[Tensor], Tensor], point: Tensor) -> Tensor:
    """Return the Jacobian of the whole batch as one matrix, (N outputs, N inputs)."""
    whole: Tensor = torch.autograd.functional.jacobian(function, point)  # type: ignore[no-untyped-call]
    return whole.reshape(-1, point.numel())
