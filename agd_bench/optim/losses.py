"""Losses of classifiers: what a training step minimises.

Each takes logits (N, C) and labels (N,) of int64 in [0, C) and returns a scalar in float32, or in float64 for logits of that
type; logits of fewer bits are widened first.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional

from agd_bench.errors import UnknownNameError


def square(logits: Tensor, labels: Tensor) -> Tensor:
    """Mean square distance to the targets, over images and classes alike; a target is sqrt(C) at the label and 0 elsewhere.

    The factor sqrt(C) gives a target a mean square of 1, the size of a well-scaled network's outputs; a network that answers
    0 has loss 1.

    References:
        Bernstein et al.: Automatic Gradient Descent, arXiv 2304.05187, 2023 (the mean over classes is the released code's).
    """
    wide = _widened(logits)
    targets = torch.zeros_like(wide).scatter_(1, labels.unsqueeze(1), math.sqrt(wide.shape[1]))
    return (wide - targets).square().mean()


def cross_entropy(logits: Tensor, labels: Tensor) -> Tensor:
    """Mean over images of logsumexp(logits) - logit of the label, in nats."""
    return functional.cross_entropy(_widened(logits), labels)


SMOOTHING = 0.1


def smoothed_cross_entropy(logits: Tensor, labels: Tensor) -> Tensor:
    """Cross-entropy against targets that have 1 - SMOOTHING at the label and SMOOTHING spread evenly over all classes, in nats.

    References:
        Szegedy, Vanhoucke, Ioffe, Shlens, Wojna: Rethinking the Inception Architecture for Computer Vision. CVPR 2016, section 7.
    """
    return functional.cross_entropy(_widened(logits), labels, label_smoothing=SMOOTHING)


def _widened(logits: Tensor) -> Tensor:
    return logits.to(torch.promote_types(logits.dtype, torch.float32))


LOSSES: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "square": square,
    "cross-entropy": cross_entropy,
    "smoothed-cross-entropy": smoothed_cross_entropy,
}
"""The losses by the names that a sweep uses."""


def by_name(name: str) -> Callable[[Tensor, Tensor], Tensor]:
    """The loss called `name`.

    Raises:
        UnknownNameError: nothing of that name.
    """
    if name not in LOSSES:
        raise UnknownNameError("loss", name, LOSSES)
    return LOSSES[name]
