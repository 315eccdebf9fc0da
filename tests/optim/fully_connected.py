"""Fully connected networks, images and losses for the tests of DSGD."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn import functional

from agd_bench.optim.losses import cross_entropy, square

ACTIVATIONS: tuple[type[nn.Module], ...] = (nn.Tanh, nn.Sigmoid, nn.Softsign)
LOSSES: dict[str, Callable[[Tensor, Tensor], Tensor]] = {"square": square, "cross-entropy": cross_entropy}


@dataclass(frozen=True)
class Case:
    """One random problem: a network in float64, images, labels and a loss by name."""

    network: nn.Sequential
    images: Tensor
    labels: Tensor
    loss: str

    def value(self, chosen: slice = slice(None)) -> Tensor:
        """Return the loss on the chosen images."""
        return LOSSES[self.loss](self.network(self.images[chosen]), self.labels[chosen])


def chain(
    widths: list[int], activations: list[type[nn.Module] | None], bias: bool, scale: float, rng: np.random.Generator
) -> nn.Sequential:
    """Return linear layers of the given widths, each with its activation; parameters are normal with deviation scale / sqrt(inputs)."""
    parts: list[nn.Module] = []
    for inputs, outputs, activation in zip(widths[:-1], widths[1:], activations, strict=True):
        linear = nn.Linear(inputs, outputs, bias=bias, dtype=torch.float64)
        with torch.no_grad():
            for parameter in linear.parameters():
                parameter.copy_(torch.as_tensor(scale / math.sqrt(inputs) * rng.normal(size=tuple(parameter.shape))))
        parts += [linear] + ([activation()] if activation else [])
    return nn.Sequential(*parts)


@st.composite
def cases(draw: st.DrawFn) -> Case:
    """Draw a problem on a chain of one to four layers, with or without biases and a final activation."""
    depth = draw(st.integers(1, 4))
    widths = draw(st.lists(st.integers(1, 7), min_size=depth + 1, max_size=depth + 1))
    widths[-1] = max(widths[-1], 2)
    activations: list[type[nn.Module] | None] = [draw(st.sampled_from(ACTIVATIONS)) for _ in range(depth - 1)]
    activations.append(draw(st.sampled_from([None, *ACTIVATIONS])))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    network = chain(widths, activations, draw(st.booleans()), draw(st.sampled_from([0.1, 1.0, 4.0])), rng)
    count = draw(st.integers(1, 9))
    images = torch.as_tensor(draw(st.sampled_from([0.1, 1.0, 5.0])) * rng.normal(size=(count, widths[0])))
    return Case(network, images, torch.as_tensor(rng.integers(widths[-1], size=count)), draw(st.sampled_from(sorted(LOSSES))))


def recursion(norms: list[float], inputs: list[float], slopes: list[float], bends: list[float], l1: float, l2: float) -> list[float]:
    """Return the moduli by a separate recursion from each layer up to the output."""
    found = []
    for i in range(len(norms)):
        d, s = slopes[i] * inputs[i], bends[i] * inputs[i] ** 2
        for k in range(i + 1, len(norms)):
            d, s = slopes[k] * norms[k] * d, bends[k] * norms[k] ** 2 * d**2 + slopes[k] * norms[k] * s
        found.append(math.sqrt(l2 * d**2 + l1 * s))
    return found


def sine(shape: tuple[int, ...], a: float, b: float) -> Tensor:
    """Return the float64 tensor of sin(a k + b) for k = 0, 1, … in row-major order."""
    return torch.sin(a * torch.arange(math.prod(shape), dtype=torch.float64) + b).view(shape)


def vector_network(tanh_at_the_end: bool) -> nn.Sequential:
    """Return the test vectors' network 6-5-4-3."""
    parts: list[nn.Module] = []
    for i, (outputs, inputs) in enumerate([(5, 6), (4, 5), (3, 4)]):
        linear = nn.Linear(inputs, outputs, bias=False, dtype=torch.float64)
        linear.weight.data = 0.5 * sine((outputs, inputs), 1.7 + 0.3 * i, 0.5 * i)
        parts += [linear, nn.Tanh()]
    return nn.Sequential(*(parts if tanh_at_the_end else parts[:-1]))


VECTOR_IMAGES = sine((8, 6), 0.9, 0.2)
VECTOR_LABELS = torch.arange(8) % 3


def vector_loss(network: nn.Module, tanh_at_the_end: bool) -> Tensor:
    """Return the mean over images of the squared error to one-hot targets if tanh ends the network, else of the cross-entropy."""
    outputs: Tensor = network(VECTOR_IMAGES)
    if not tanh_at_the_end:
        return functional.cross_entropy(outputs, VECTOR_LABELS)
    return (outputs - functional.one_hot(VECTOR_LABELS, 3)).square().sum(1).mean()
