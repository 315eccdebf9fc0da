"""Smoothness constants against derivatives computed by autograd and against an independent recursion."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.func import functional_call

from agd_bench.errors import UnknownNameError
from agd_bench.optim.dsgd import DSGD
from agd_bench.optim.dualities import EXPONENTS
from agd_bench.optim.losses import cross_entropy, square
from agd_bench.optim.smoothness import BOUNDED, LINEAR, CrossEntropy, Square, loss_named, moduli, with_ones
from tests.optim.fully_connected import LOSSES, Case, cases, recursion


@pytest.mark.parametrize("kind", list(BOUNDED))
def test_activations(kind: type[nn.Module]) -> None:
    """On a fine grid, derivatives reach but never exceed their bounds, and the values span the stated range."""
    known = BOUNDED[kind]
    grid = torch.linspace(-12, 12, 24_001, dtype=torch.float64, requires_grad=True)
    (first,) = torch.autograd.grad(kind()(grid).sum(), grid, create_graph=True)
    (second,) = torch.autograd.grad(first.sum(), grid)
    # Softsign approaches its curvature bound near 0, but has no second derivative at 0.
    for found, bound, near in ((first, known.slope, 1e-6), (second, known.curvature, 1e-3)):
        assert bound * (1 - near) <= float(found.detach().abs().max()) <= bound * (1 + 1e-12)
    values = kind()(torch.tensor([-1e9, 1e9]))
    assert (known.low, known.high) == pytest.approx(tuple(values.tolist()))
    assert known.largest == 1


def hessian(function: Callable[[Tensor], Tensor], at: Tensor) -> Tensor:
    """Return the (n, n) Hessian of a scalar function of a vector, by differentiating twice."""
    place = at.clone().requires_grad_()
    (slopes,) = torch.autograd.grad(function(place), place, create_graph=True)
    rows = [torch.autograd.grad(slope, place, retain_graph=True)[0] for slope in slopes.reshape(-1)]
    return torch.stack(rows)


def dual_exponent(q: float) -> float:
    """Return the q' with 1/q + 1/q' = 1."""
    return {1.0: math.inf, 2.0: 2.0, math.inf: 1.0}[q]


def number(value: float) -> Tensor:
    """Return a 0-dim float64 tensor."""
    return torch.tensor(value, dtype=torch.float64)


@settings(max_examples=80, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), classes=st.integers(2, 6), scale=st.sampled_from([0.1, 1, 10]), name=st.sampled_from(sorted(LOSSES)))
def test_losses_keep_their_bounds(seed: int, classes: int, scale: float, name: str) -> None:
    """First and second derivatives with respect to the outputs, computed by autograd, stay within the bounds."""
    rng = np.random.default_rng(seed)
    outputs = torch.as_tensor(rng.uniform(-scale, scale, size=classes)).requires_grad_()
    label = torch.as_tensor(rng.integers(classes, size=1))
    (gradient,) = torch.autograd.grad(LOSSES[name](outputs.unsqueeze(0), label), outputs)
    curvature = hessian(lambda y: LOSSES[name](y.unsqueeze(0), label), outputs.detach())
    directions = torch.as_tensor(rng.normal(size=(20, classes))).sign() * torch.as_tensor(rng.integers(0, 2, size=(20, classes)))
    for q in EXPONENTS:
        first, second = loss_named(name, classes).bounds(q, classes, number(-scale), number(scale))
        assert float(gradient.norm(dual_exponent(q))) <= float(first) * (1 + 1e-12)
        for v in directions:
            assert float(v @ curvature @ v) <= float(second * v.norm(q) ** 2) * (1 + 1e-12)


def of_one(loss: Callable[[Tensor, Tensor], Tensor], outputs: Tensor) -> Tensor:
    """Return the loss of a single image of class 0."""
    return loss(outputs.unsqueeze(0), torch.tensor([0]))


@pytest.mark.parametrize("q", EXPONENTS)
def test_second_derivatives_are_attained(q: float) -> None:
    """The bounds on the second derivative are tight: some direction attains each of them."""
    direction = torch.tensor({1.0: [1.0, 0.0], 2.0: [math.sqrt(0.5), -math.sqrt(0.5)], math.inf: [1.0, -1.0]}[q], dtype=torch.float64)
    even = torch.zeros(2, dtype=torch.float64)
    for loss, name in ((cross_entropy, "cross-entropy"), (square, "square")):
        curvature = hessian(partial(of_one, loss), even)
        _, second = loss_named(name, 2).bounds(q, 2, number(-1), number(1))
        assert float(direction @ curvature @ direction) == pytest.approx(float(second), rel=1e-12)


def test_first_derivatives_are_attained() -> None:
    """The bounds on the first derivative are tight: a confident wrong class and maximal residuals attain them."""
    for q, wanted in ((1.0, 1), (2.0, math.sqrt(2)), (math.inf, 2)):
        logits = torch.tensor([[60.0, 0.0, 0.0]], dtype=torch.float64, requires_grad=True)
        (gradient,) = torch.autograd.grad(cross_entropy(logits, torch.tensor([1])), logits)
        assert float(gradient[0].norm(dual_exponent(q))) == pytest.approx(wanted)
        assert float(CrossEntropy().bounds(q, 3, number(0), number(0))[0]) == wanted
        far = torch.full((3,), 2.0, dtype=torch.float64, requires_grad=True)
        (gradient,) = torch.autograd.grad(5 * (far + 1).square().sum(), far)
        first, _ = Square(5.0, -1.0, 1.0).bounds(q, 3, number(-2), number(2))
        assert float(gradient.norm(dual_exponent(q))) == pytest.approx(float(first))


def test_unknown_losses_are_named() -> None:
    """The error for an unknown loss lists the losses that have bounds."""
    with pytest.raises(UnknownNameError, match="cross-entropy, square"):
        loss_named("hinge", 3)


@pytest.mark.parametrize("q", EXPONENTS)
def test_ones_lengthen_a_vector(q: float) -> None:
    """`with_ones` computes the norm of a vector with ones appended from the vector's own norm."""
    for vector in (torch.tensor([0.1, -0.2]), torch.tensor([3.0, 4.0])):
        wanted = torch.cat([vector, torch.ones(3)]).norm(q)
        torch.testing.assert_close(with_ones(vector.norm(q), 3, q), wanted)


def test_moduli_are_those_of_the_recursion() -> None:
    """A single pass from the output down gives the same moduli as a separate upward recursion for each layer."""
    rng = np.random.default_rng(0)
    for depth in (1, 2, 3, 7):
        chosen = [list(BOUNDED.values())[i] for i in rng.integers(3, size=depth - 1)] + [LINEAR]
        norms, inputs = rng.uniform(0.1, 3, size=(2, depth))
        got = moduli(torch.as_tensor(norms), torch.as_tensor(inputs), chosen, number(1.3), number(0.7))
        wanted = recursion(list(norms), list(inputs), [a.slope for a in chosen], [a.curvature for a in chosen], 1.3, 0.7)
        assert got.tolist() == pytest.approx(wanted, rel=1e-13)


def second_derivative(case: Case, name: str, direction: Tensor) -> float:
    """Return the second derivative of the loss along a direction in one layer's (weight, bias), at the current weights."""
    parameters = {key: value.detach() for key, value in case.network.named_parameters()}
    width = parameters[f"{name}.weight"].shape[1]

    def along(t: Tensor) -> Tensor:
        moved = dict(parameters)
        moved[f"{name}.weight"] = parameters[f"{name}.weight"] + t * direction[:, :width]
        if f"{name}.bias" in parameters:
            moved[f"{name}.bias"] = parameters[f"{name}.bias"] + t * direction[:, width]
        return LOSSES[case.loss](functional_call(case.network, moved, (case.images,)), case.labels)

    return float(hessian(along, number(0.0)))


@settings(max_examples=60, deadline=None)
@given(case=cases(), q=st.sampled_from(EXPONENTS), seed=st.integers(0, 2**32 - 1))
def test_no_layer_turns_faster_than_its_modulus(case: Case, q: float, seed: int) -> None:
    """Second derivatives of random networks along random directions of each layer stay within the squared modulus."""
    optimizer = DSGD(case.network, case.loss, q)
    case.value()
    rng = np.random.default_rng(seed)
    for modulus, block in zip(optimizer.moduli().tolist(), optimizer.blocks, strict=True):
        shape = tuple(block.matrix().shape)
        for direction in (rng.normal(size=shape), np.outer(rng.choice([-1, 1], shape[0]), rng.choice([-1, 0, 1], shape[1])).astype(float)):
            size = float(np.linalg.norm(direction, q))
            assert abs(second_derivative(case, block.name, torch.as_tensor(direction))) <= (modulus * size) ** 2 * (1 + 1e-9) + 1e-13
