"""Semi-orthogonal matrices: Cholesky and Householder agree, and batched draws equal single ones."""

from __future__ import annotations

import pytest
import torch

from agd_bench.algorithms import agd
from agd_bench.optim.agd import initialise
from agd_bench.optim.orthogonal import TOLERANCE, _shape_by_shape, by_cholesky, by_householder, semi_orthogonal
from agd_bench.training.profiles import apply_profile
from search_spaces import nas_bench_201

SHAPES = [(9, 16, 16), (1, 10, 64), (9, 16, 3), (4, 3, 16), (1, 5, 1)]


def draw(count: int, rows: int, columns: int, dtype: torch.dtype = torch.float64) -> torch.Tensor:
    """Return matrices with independent standard normal entries."""
    return torch.randn(count, rows, columns, generator=torch.Generator().manual_seed(0), dtype=dtype)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("shape", [(50, 16, 16), (20, 64, 10), (3, 128, 128), (4, 1, 1)])
def test_cholesky_gives_what_qr_gives(shape: tuple[int, int, int], dtype: torch.dtype) -> None:
    """The factors agree up to rounding, amplified by the condition number, and are orthonormal to machine precision."""
    matrices = draw(*shape, dtype)
    found, expected = by_cholesky(matrices), by_householder(matrices)
    assert found.dtype == dtype
    precision = torch.finfo(dtype).eps
    allowed = 10 * shape[1] * precision * torch.linalg.cond(matrices.double())
    assert bool(((found - expected).abs().amax((1, 2)) <= allowed).all())
    gram = found.mT @ found
    assert float((gram - torch.eye(shape[2], dtype=dtype)).abs().max()) < 10 * shape[1] * precision


def test_nearly_dependent_columns_are_left_to_qr() -> None:
    """Only the ill-conditioned matrices of a stack fall back to QR, and all results are orthonormal."""
    matrices = draw(5, 12, 6)
    matrices[1, :, 3] = matrices[1, :, 2] + 1e-12 * matrices[1, :, 3]
    matrices[4] *= 1e-200  # its Gram matrix underflows to 0
    found, sound = by_cholesky(matrices), by_cholesky(matrices[[0, 2, 3]])
    assert torch.equal(found[[1, 4]], by_householder(matrices[[1, 4]]))
    assert torch.equal(found[[0, 2, 3]], sound)
    assert float((found.mT @ found - torch.eye(6, dtype=torch.float64)).abs().max()) < TOLERANCE


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_stacks_of_equal_shapes_are_those_made_one_by_one(dtype: torch.dtype) -> None:
    """Factorising stacks together, as on a GPU, gives the same weights for a seed as drawing them one by one, in order."""
    shapes = [*SHAPES, (3, 16, 16), (2, 64, 10)]
    together = semi_orthogonal(shapes, torch.Generator().manual_seed(3), dtype)
    generator = torch.Generator().manual_seed(3)
    for shape, stack in zip(shapes, together, strict=True):
        assert tuple(stack.shape) == shape
        assert torch.equal(stack, semi_orthogonal([shape], generator, dtype)[0])
    stacks = [draw(*shape, dtype) for shape in ((2, 8, 4), (3, 6, 6), (5, 8, 4), (1, 8, 8))]
    for place, made in _shape_by_shape(stacks, torch.device("cpu")).items():
        torch.testing.assert_close(made, by_cholesky(stacks[place]), rtol=0, atol=1e-6)


NEEDS_GPU = [pytest.mark.gpu, pytest.mark.skipif(not torch.cuda.is_available(), reason="torch sees no GPU here")]


@pytest.mark.parametrize("device", ["cpu", pytest.param("cuda", marks=NEEDS_GPU)])
def test_one_seed_gives_the_same_weights_on_every_device(device: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A network prepared as in a trial gets the same weights on CPU and GPU; the CPU case substitutes the GPU's factorisation."""
    cell = "|nor_conv_3x3~0|+|nor_conv_1x1~0|nor_conv_3x3~1|+|skip_connect~0|avg_pool_3x3~1|nor_conv_3x3~2|"

    def build() -> torch.nn.Module:
        return apply_profile(nas_bench_201.build(cell, 3, 10, channels=8, cells=2), "matrix-only")

    expected = agd.prepare(build(), torch.Generator().manual_seed(7)).state_dict()
    if device == "cpu":
        monkeypatch.setattr("agd_bench.optim.orthogonal.by_householder", by_cholesky)
    found = agd.prepare(build(), torch.Generator().manual_seed(7), torch.device(device)).state_dict()
    moved = build().to(device)
    initialise(moved, torch.Generator().manual_seed(7))
    for name, weights in expected.items():
        torch.testing.assert_close(found[name], weights, rtol=0, atol=2e-3)
        torch.testing.assert_close(moved.state_dict()[name].cpu(), weights, rtol=0, atol=2e-3)
