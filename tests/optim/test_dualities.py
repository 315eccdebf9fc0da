"""Norms, dual norms and steepest directions against their definitions, numpy and test vectors."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from agd_bench.errors import InputError
from agd_bench.optim.dualities import EXPONENTS, exponent, induced_norm, steepest

MATRIX = torch.tensor([[3, -1, 2], [0.5, 4, -4.5]], dtype=torch.float64)
VECTORS: dict[float, tuple[float, float, list[list[float]]]] = {
    1.0: (6.5, 11.5, [[11.5, 0, 0], [0, 11.5, -11.5]]),
    math.inf: (9, 7.5, [[7.5, 0, 0], [0, 0, -7.5]]),
    2.0: (
        6.429436253918081,
        9.456373560306144,
        [[8.92194832358361, -0.5118567542382265, 3.0918993655197538], [2.632415231485639, 6.2865657301472515, -6.555339982154832]],
    ),
}


@pytest.mark.parametrize("q", EXPONENTS)
def test_vectors(q: float) -> None:
    """Norm, dual norm and duality map of one matrix match the test vectors."""
    norm, dual, image = VECTORS[q]
    got, direction = steepest(MATRIX, q)
    assert float(induced_norm(MATRIX, q)) == pytest.approx(norm, rel=1e-14)
    assert float(got) == pytest.approx(dual, rel=1e-14)
    torch.testing.assert_close(got * direction, torch.tensor(image, dtype=torch.float64), rtol=1e-13, atol=1e-13)


def matrices(seed: int, rows: int, columns: int, count: int, rank: int) -> Tensor:
    """Return random float64 matrices of at most the given rank, with shape (count, rows, columns)."""
    rng = np.random.default_rng(seed)
    return torch.as_tensor(rng.normal(size=(count, rows, rank)) @ rng.normal(size=(count, rank, columns)))


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1), rows=st.integers(1, 7), columns=st.integers(1, 7), rank=st.integers(1, 7), q=st.sampled_from(EXPONENTS)
)
def test_the_direction_is_steepest(seed: int, rows: int, columns: int, rank: int, q: float) -> None:
    """The direction has norm 1 and slope ||G||_*, and no other direction of norm 1 is steeper, as the dual norm is defined."""
    gradient, *others = matrices(seed, rows, columns, 30, rank)
    dual, direction = steepest(gradient, q)
    assert np.linalg.norm(direction.numpy(), q) == pytest.approx(1, rel=1e-10)
    assert float((gradient * direction).sum()) == pytest.approx(float(dual), rel=1e-10)
    for other in others:
        assert float((gradient * other).sum()) <= float(dual) * float(np.linalg.norm(other.numpy(), q)) * (1 + 1e-10)


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), rows=st.integers(1, 7), columns=st.integers(1, 7), q=st.sampled_from(EXPONENTS))
def test_the_norm_is_induced(seed: int, rows: int, columns: int, q: float) -> None:
    """The norm equals numpy's, and no vector is stretched by more than it."""
    (matrix,) = matrices(seed, rows, columns, 1, 7)
    norm = float(induced_norm(matrix, q))
    assert norm == pytest.approx(float(np.linalg.norm(matrix.numpy(), q)), rel=1e-12)
    for vector in torch.as_tensor(np.random.default_rng(seed).normal(size=(30, columns))):
        assert float((matrix @ vector).norm(q)) <= norm * float(vector.norm(q)) * (1 + 1e-12)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_the_spectral_norm_errs_upwards(dtype: torch.dtype) -> None:
    """The computed norm of an orthogonal matrix, whatever its size and dtype, is never below 1 beyond rounding."""
    for size in (3, 40, 200):
        orthogonal = torch.linalg.qr(matrices(size, size, size, 1, size)[0]).Q.to(dtype)
        assert 1 <= float(induced_norm(orthogonal, 2)) + torch.finfo(dtype).eps < 1 + 2 * size * torch.finfo(dtype).eps


@pytest.mark.parametrize("q", EXPONENTS)
def test_no_gradient_has_no_direction(q: float) -> None:
    """A gradient of zeros has dual norm 0 and moves nothing."""
    dual, direction = steepest(torch.zeros(3, 2), q)
    assert float(dual) == 0
    assert not direction.any()


def test_the_first_of_equal_entries_counts() -> None:
    """Ties go to the lowest index, on long rows too, where `argmax` may choose another."""
    gradient = torch.ones(5, 1000)
    gradient[1, 0] = -1
    _, rows = steepest(gradient, math.inf)
    assert rows.nonzero().tolist() == [[row, 0] for row in range(5)]
    assert rows[:, 0].tolist() == [1, -1, 1, 1, 1]
    _, columns = steepest(gradient.T.contiguous(), 1)
    assert torch.equal(columns, rows.T)


def test_a_lost_rank_has_no_direction() -> None:
    """For q = 2, singular values that are zero up to rounding are dropped, so the direction stays in the gradient's range."""
    left, right = torch.tensor([[1.0], [2.0], [2.0]]) / 3, torch.tensor([[0.6, 0.8]])
    dual, direction = steepest(5 * left @ right, 2)
    assert float(dual) == pytest.approx(5, rel=1e-6)
    torch.testing.assert_close(direction, left @ right)


@pytest.mark.parametrize("q", EXPONENTS)
@pytest.mark.parametrize("wrong", [math.nan, math.inf])
def test_what_is_not_finite_shows(q: float, wrong: float) -> None:
    """NaN and infinity give a norm and a dual norm that are not finite, where torch's factorisation would raise."""
    matrix = torch.tensor([[1.0, wrong], [0.0, 2.0]])
    assert not math.isfinite(float(steepest(matrix, q)[0]))
    assert not math.isfinite(float(induced_norm(matrix, q)))


def test_exponents() -> None:
    """Exponents are accepted as numbers or text; the error for anything else lists what is allowed."""
    assert [exponent(q) for q in (1, "1", 2.0, "2", "inf", math.inf)] == [1, 1, 2, 2, math.inf, math.inf]
    for wrong in (3, "spectral", math.nan, -math.inf):
        with pytest.raises(InputError, match=r"q = 1, 2 and 'inf'"):
            exponent(wrong)
