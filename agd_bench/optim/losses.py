"""Losses of classifiers.

Each takes logits (N, C) and int64 labels (N,) in [0, C), and returns a float32 scalar, or float64 for float64 logits. Logits of lower
precision are converted to float32 first.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional

from agd_bench.errors import UnknownNameError


def square(logits: Tensor, labels: Tensor) -> Tensor:
    """Return the mean squared error over images and classes, with targets sqrt(C) at the label and 0 elsewhere.

    References:
        Bernstein et al.: Automatic Gradient Descent, arXiv 2304.05187, 2023 (the mean over classes is the released code's).
    """
    wide = _widened(logits)
    # sqrt(C) gives targets a mean square of 1, like outputs of a well-scaled network; outputs of 0 have loss 1
    targets = torch.zeros_like(wide).scatter_(1, labels.unsqueeze(1), math.sqrt(wide.shape[1]))
    return (wide - targets).square().mean()


def cross_entropy(logits: Tensor, labels: Tensor) -> Tensor:
    """Return the mean over images of logsumexp(logits) - logits[label], in nats."""
    return functional.cross_entropy(_widened(logits), labels)


SMOOTHING = 0.1  # epsilon of Szegedy et al., section 7


def smoothed_cross_entropy(logits: Tensor, labels: Tensor) -> Tensor:
    """Return the cross-entropy with label smoothing: 1 - SMOOTHING at the label plus SMOOTHING / C for every class, in nats.

    References:
        Szegedy, Vanhoucke, Ioffe, Shlens, Wojna: Rethinking the Inception Architecture for Computer Vision. CVPR 2016, section 7.
    """
    return functional.cross_entropy(_widened(logits), labels, label_smoothing=SMOOTHING)


def _widened(logits: Tensor) -> Tensor:
    # squares of float16 overflow above 255
    return logits.to(torch.promote_types(logits.dtype, torch.float32))


LOSSES: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "square": square,
    "cross-entropy": cross_entropy,
    "smoothed-cross-entropy": smoothed_cross_entropy,
}
"""The losses by the names that a sweep uses."""


def by_name(name: str) -> Callable[[Tensor, Tensor], Tensor]:
    """Return a loss by its name.

    Raises:
        UnknownNameError: no loss has this name.
    """
    if name not in LOSSES:
        raise UnknownNameError("loss", name, LOSSES)
    return LOSSES[name]
