"""Jacobians by torch's own means."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor


def jacobian_of(function: Callable[[Tensor], Tensor], point: Tensor) -> Tensor:
    """The whole batch's Jacobian as one matrix, (N outputs, N inputs)."""
    whole: Tensor = torch.autograd.functional.jacobian(function, point)  # type: ignore[no-untyped-call]
    return whole.reshape(-1, point.numel())
