"""AGD with the operator norm and the dual norm, against a plain reference and the bound they are derived from."""

from __future__ import annotations

import copy
import io
import math
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from agd_bench.errors import Refused
from agd_bench.optim.agd import AGD, scale
from agd_bench.optim.matrix_norms import NORMS
from tests.optim.agd_vectors import (
    RELATIVE,
    VECTORS,
    fill,
    gradient,
    mlp,
    random_parameters,
    reference_scale,
    reference_taps,
    shapes,
    weights,
)

OURS = ("operator", "dual")
Array = np.ndarray[Any, np.dtype[np.float64]]


def direction_and_dual(tap: Tensor, norm: str) -> tuple[Array, float]:
    """Return one matrix's direction of unit operator norm and its term in the gradient summary, using NumPy's SVD."""
    matrix: Array = tap.detach().double().numpy()
    left, values, right = np.linalg.svd(matrix, full_matrices=False)
    if values[0] == 0:
        return np.zeros_like(matrix), 0.0
    if norm == "operator":
        return matrix / values[0], float((values**2).sum() / values[0])
    rank = int((values > values[0] * max(matrix.shape) * np.finfo(np.float64).eps).sum())
    return left[:, :rank] @ right[:rank], float(values.sum())


@torch.no_grad()
def reference_step(parameters: list[Tensor], norm: str) -> float:
    """Take one step, tap by tap, and return the gradient summary."""
    found = [[direction_and_dual(tap, norm) for tap in reference_taps(gradient(p))] for p in parameters]
    summary = sum(reference_scale(p) * sum(dual for _, dual in taps) for p, taps in zip(parameters, found, strict=True)) / len(parameters)
    eta = math.log((1 + math.sqrt(1 + 4 * summary)) / 2)
    for parameter, taps in zip(parameters, found, strict=True):
        for tap, (direction, _) in zip(reference_taps(parameter), taps, strict=True):
            tap -= eta / len(parameters) * reference_scale(parameter) * torch.from_numpy(direction)
    return summary


def summary_of(parameters: list[Tensor], norm: str) -> float:
    """Return the gradient summary computed by a step on a copy."""
    twins = copy.deepcopy(parameters)
    optimizer = AGD(twins, norm=norm)
    optimizer.step()
    return float(optimizer.diagnostics()["gradient_summary/last"])


@pytest.mark.parametrize("norm", OURS)
@given(drawn=shapes, seed=st.integers(0, 2**31))
@settings(max_examples=60, deadline=None)
def test_agrees_with_the_plain_loop(norm: str, drawn: list[tuple[int, ...]], seed: int) -> None:
    """Two steps on any mixture of shapes, missing gradients and dead taps equal the tap-by-tap reference."""
    parameters = random_parameters(drawn, seed)
    twins = copy.deepcopy(parameters)
    optimizer = AGD(parameters, norm=norm)
    for _ in range(2):
        optimizer.step()
        summary = reference_step(twins, norm)
        assert float(optimizer.diagnostics()["gradient_summary/last"]) == pytest.approx(summary, rel=1e-11, abs=1e-15)
        for parameter, twin in zip(parameters, twins, strict=True):
            torch.testing.assert_close(parameter, twin, rtol=1e-9, atol=1e-9)


@given(drawn=shapes, seed=st.integers(0, 2**31))
@settings(max_examples=30, deadline=None)
def test_norms_are_ordered(drawn: list[tuple[int, ...]], seed: int) -> None:
    """The Frobenius summary is at most the operator's, which is at most the dual's."""
    parameters = random_parameters(drawn, seed)
    frobenius, operator, dual = (summary_of(parameters, norm) for norm in NORMS)
    assert frobenius <= operator * (1 + RELATIVE)
    assert operator <= dual * (1 + RELATIVE)


@pytest.mark.parametrize("norm", NORMS)
def test_loss_falls_by_eta_times_the_summary_to_first_order(norm: str) -> None:
    """The inner product of gradients and updates is -eta G, so directions and dual norms are consistent."""
    parameters = random_parameters([(4, 3, 3, 3), (5, 7), (7, 5), (2, 2, 1, 1)], seed=2)
    before = [parameter.detach().clone() for parameter in parameters]
    optimizer = AGD(parameters, norm=norm)
    optimizer.step()
    fall = sum(float(((old - new.detach()) * gradient(new)).sum()) for old, new in zip(before, parameters, strict=True))
    read = optimizer.diagnostics()
    assert fall == pytest.approx(float(read["eta/last"] * read["gradient_summary/last"]), rel=1e-11)


@pytest.mark.parametrize("norm", OURS)
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-12), (torch.float32, 2e-6)])
def test_update_has_the_operator_norm_of_the_bound(norm: str, dtype: torch.dtype, tolerance: float) -> None:
    """The largest singular value of each tap's update is (eta/L) s; with the dual norm, all singular values are."""
    parameters = [torch.zeros(6, 4, 3, 3, dtype=dtype, requires_grad=True), torch.zeros(5, 8, dtype=dtype, requires_grad=True)]
    for index, parameter in enumerate(parameters):
        parameter.grad = torch.randn(parameter.shape, generator=torch.Generator().manual_seed(index), dtype=dtype)
    optimizer = AGD(parameters, norm=norm)
    optimizer.step()
    for parameter in parameters:
        size = optimizer.param_groups[0]["lr"].item() / 2 * scale(tuple(parameter.shape))
        for tap in reference_taps(parameter.detach().double()):
            values = torch.linalg.svdvals(tap)
            assert float(values[0]) == pytest.approx(size, rel=tolerance)
            assert norm == "operator" or values.tolist() == pytest.approx(4 * [size] if len(values) == 4 else 5 * [size], rel=tolerance)


def test_the_dual_direction_keeps_to_the_gradients_rank() -> None:
    """A gradient of rank 2, as from two images, moves a matrix along two directions only, in float32 too."""
    generator = torch.Generator().manual_seed(0)
    for dtype in (torch.float32, torch.float64):
        parameter = torch.zeros(20, 30, dtype=dtype, requires_grad=True)
        parameter.grad = torch.randn(20, 2, generator=generator, dtype=dtype) @ torch.randn(2, 30, generator=generator, dtype=dtype)
        AGD([parameter], norm="dual").step()
        values = torch.linalg.svdvals(parameter.detach().double())
        assert float(values[1] / values[0]) == pytest.approx(1, rel=1e-5)
        assert float(values[2] / values[0]) < 1e-5


def test_norms_agree_where_their_assumption_holds() -> None:
    """For gradients of rank 1 at every tap, all three norms give the same step."""
    results = []
    for norm in NORMS:
        parameters = weights([(4, 5), (3, 2, 2, 2)])
        for parameter in parameters:
            column, row = fill((parameter.shape[0],), 0.7, 0.1), fill((parameter.shape[1],), 1.1, 0.3)
            rank_1 = torch.outer(column, row)
            parameter.grad = rank_1 if parameter.dim() == 2 else rank_1[..., None, None] * fill((2, 2), 0.9, 0.4)
        AGD(parameters, norm=norm).step()
        results.append([parameter.detach() for parameter in parameters])
    for other in results[1:]:
        for one, two in zip(results[0], other, strict=True):
            torch.testing.assert_close(one, two, rtol=1e-11, atol=1e-12)


@pytest.mark.parametrize("norm", NORMS)
def test_gradients_that_are_not_finite_show_in_the_weights(norm: str) -> None:
    """NaN and infinity propagate to the weights instead of raising or silently stopping training."""
    for value in (math.nan, math.inf):
        parameters = weights([(3, 4), (2, 3)])
        for parameter in parameters:
            parameter.grad = torch.ones_like(parameter)
        assert parameters[0].grad is not None
        parameters[0].grad[1, 1] = value
        AGD(parameters, norm=norm).step()
        assert not parameters[0].detach().isfinite().all()


@pytest.mark.parametrize("norm", NORMS)
def test_a_dead_network_stays(norm: str) -> None:
    """If all gradients are zero or missing, nothing moves and eta is 0."""
    parameters = weights([(3, 4), (2, 3, 2, 2)])
    parameters[0].grad = torch.zeros_like(parameters[0])
    before = [parameter.detach().clone() for parameter in parameters]
    optimizer = AGD(parameters, norm=norm)
    optimizer.step()
    assert float(optimizer.param_groups[0]["lr"]) == 0
    assert all(torch.equal(old, new) for old, new in zip(before, parameters, strict=True))


@pytest.mark.parametrize("norm", OURS)
def test_state_goes_through_a_file(norm: str) -> None:
    """The norm is part of the state, and training resumed from a file continues bit for bit."""
    parameters = weights([(5, 6), (4, 5), (3, 4)])
    loss = VECTORS["V1"][1]

    def step(optimizer: AGD, parameters: list[Tensor]) -> None:
        optimizer.zero_grad()
        torch.autograd.backward(loss(mlp(parameters), torch.arange(8) % 3))
        optimizer.step()

    optimizer = AGD(parameters, norm=norm)
    step(optimizer, parameters)
    file = io.BytesIO()
    torch.save({"weights": parameters, "optimizer": optimizer.state_dict()}, file)
    file.seek(0)
    saved = torch.load(file, weights_only=True)
    others = [weight.detach().requires_grad_() for weight in saved["weights"]]
    other = AGD(others)
    other.load_state_dict(saved["optimizer"])
    for _ in range(2):
        step(optimizer, parameters)
        step(other, others)
    assert all(torch.equal(a, b) for a, b in zip(parameters, others, strict=True))


def test_a_checkpoint_from_before_norms_is_the_papers() -> None:
    """Old states without a norm can be loaded and use the Frobenius norm."""
    optimizer = AGD(weights([(3, 4)]))
    state = optimizer.state_dict()
    del state["param_groups"][0]["norm"]
    optimizer.load_state_dict(state)
    assert optimizer.param_groups[0]["norm"] == "frobenius"


def test_refuses_unknown_and_mixed_norms() -> None:
    """Unknown norms are refused with the list of valid ones, and all groups must use the same norm."""
    with pytest.raises(Refused, match="norm is 'nuclear'; AGD takes one of 'frobenius', 'operator', 'dual'"):
        AGD([torch.zeros(2, 2)], norm="nuclear")
    groups: list[dict[str, Any]] = [{"params": [torch.zeros(2, 2)]}, {"params": [torch.zeros(2, 2)], "norm": "dual"}]
    with pytest.raises(Refused, match="the same in all groups"):
        AGD(groups)


def test_both_ways_to_subtract_are_one() -> None:
    """Subtracting updates jointly, as on a GPU, and tensor by tensor, as on a CPU, gives the same weights."""
    parameters = random_parameters([(4, 3, 3, 3), (5, 7), (4, 3, 3, 3), (4, 3, 3, 3)], seed=12)
    twins = copy.deepcopy(parameters)
    optimizer = AGD(parameters)
    buckets = AGD(twins)._buckets()
    optimizer.step()
    together = optimizer._assembled()
    lengths = torch.cat([bucket.squares().flatten().sqrt() for bucket in buckets])
    factors = torch.where(lengths > 0, together.moves * optimizer.param_groups[0]["lr"] / lengths, 0)
    for bucket, own in zip(buckets, torch.split(factors, together.sizes), strict=True):
        with torch.no_grad():
            bucket.subtract(bucket.gradients(), own)
    for parameter, twin in zip(parameters, twins, strict=True):
        torch.testing.assert_close(parameter, twin, rtol=1e-14, atol=1e-15)
