"""Losses against numpy."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from agd_bench.errors import UnknownNameError
from agd_bench.optim.losses import LOSSES, by_name, cross_entropy, smoothed_cross_entropy, square

LOGITS = np.random.default_rng(0).normal(size=(7, 5))
LABELS = np.array([0, 4, 2, 2, 1, 3, 0])


def test_square_is_the_mean_over_images_and_classes() -> None:
    """Targets are sqrt(C) at the label and 0 elsewhere, and the mean is over both axes."""
    targets = np.sqrt(5) * np.eye(5)[LABELS]
    loss = square(torch.from_numpy(LOGITS), torch.from_numpy(LABELS))
    assert loss.item() == pytest.approx(np.mean((LOGITS - targets) ** 2), rel=1e-14)


def test_square_of_silence_is_one() -> None:
    """A network that outputs 0 has loss 1, whatever the number of classes."""
    for classes in (2, 10, 120):
        assert square(torch.zeros(4, classes), torch.zeros(4, dtype=torch.int64)).item() == pytest.approx(1, rel=1e-6)


def test_cross_entropy_is_in_nats() -> None:
    """The loss is the mean of log-sum-exp minus the label's logit."""
    expected = np.mean(np.log(np.exp(LOGITS).sum(1)) - LOGITS[np.arange(7), LABELS])
    assert cross_entropy(torch.from_numpy(LOGITS), torch.from_numpy(LABELS)).item() == pytest.approx(expected, rel=1e-14)


def test_smoothing_spreads_a_tenth_over_all_classes() -> None:
    """Nine tenths of the target stay at the label, and a tenth is spread evenly over all classes, the label included."""
    targets = 0.9 * np.eye(5)[LABELS] + 0.1 / 5
    logarithms = LOGITS - np.log(np.exp(LOGITS).sum(1, keepdims=True))
    loss = smoothed_cross_entropy(torch.from_numpy(LOGITS), torch.from_numpy(LABELS))
    assert loss.item() == pytest.approx(np.mean(-(targets * logarithms).sum(1)), rel=1e-14)
    assert by_name("smoothed-cross-entropy") is smoothed_cross_entropy


@pytest.mark.parametrize("name", LOSSES)
def test_gradient(name: str) -> None:
    """Automatic differentiation agrees with finite differences."""
    logits = torch.from_numpy(LOGITS).requires_grad_()
    assert torch.autograd.gradcheck(lambda values: by_name(name)(values, torch.from_numpy(LABELS)), [logits])


@pytest.mark.parametrize("name", LOSSES)
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float32])
def test_half_precision_is_widened(name: str, dtype: torch.dtype) -> None:
    """Logits of half or single precision give a float32 loss, with no extra rounding."""
    logits = torch.from_numpy(LOGITS).to(dtype)
    loss = by_name(name)(logits, torch.from_numpy(LABELS))
    assert loss.dtype == torch.float32
    assert loss.item() == pytest.approx(by_name(name)(logits.double(), torch.from_numpy(LABELS)).item(), rel=1e-6)


def test_names() -> None:
    """Losses are found by the names that sweeps use; the error for an unknown name suggests the closest one."""
    assert by_name("square") is square
    assert by_name("cross-entropy") is cross_entropy
    with pytest.raises(UnknownNameError, match=r"unknown loss 'cross_entropy'. Did you mean 'cross-entropy'\?"):
        by_name("cross_entropy")
