"""Spectra of Jacobians and convolutions compared with explicit matrices, and estimates compared with exact values."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from agd_bench.diagnostics import jacobian_spectrum, operator_spectrum
from agd_bench.diagnostics.linearisation import Linearisation
from agd_bench.diagnostics.spectra import quadrature
from search_spaces.resnet_skips import FixedPath, Shortcut
from tests.diagnostics.explicit import jacobian_of


def small_network(seed: int = 0) -> nn.Module:
    """Return a small network with convolutions, batch normalisation and a stride, in double precision."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        network = nn.Sequential(nn.Conv2d(2, 3, 3, padding=1), nn.BatchNorm2d(3), nn.GELU(), nn.Conv2d(3, 4, 3, stride=2, padding=1))
    return network.double()


def drawn(*shape: int, seed: int = 1) -> Tensor:
    """Return standard normal numbers in double precision."""
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@pytest.mark.parametrize("training", [True, False])
def test_exact_values_are_those_of_the_whole_batch(training: bool) -> None:
    """Batch statistics mix images, giving one matrix; without them there is one per image, with the same values overall."""
    network, point = small_network().train(training), drawn(3, 2, 4, 4)
    network(point)
    spectrum = jacobian_spectrum(network, point)
    expected = torch.linalg.svdvals(jacobian_of(network, point))[: spectrum.count]
    assert spectrum.method == "exact"
    assert spectrum.count == 3 * min(2 * 16, 4 * 4)
    assert spectrum.values is not None
    torch.testing.assert_close(spectrum.values, expected)
    assert Linearisation(network, point).mixes == training
    assert spectrum.numbers["mean"] == pytest.approx(float(expected.mean()))
    assert spectrum.numbers["rms"] == pytest.approx(float(expected.square().mean().sqrt()))
    assert [spectrum.numbers[name] for name in ("min", "max")] == pytest.approx([float(expected[-1]), float(expected[0])])
    assert spectrum.numbers["median"] == pytest.approx(float(expected.quantile(0.5)))


@pytest.mark.parametrize(("inputs", "outputs"), [(7, 4), (4, 7)])
def test_matrices_are_built_from_either_side(inputs: int, outputs: int) -> None:
    """Matrices are built by rows or by columns, whichever are fewer; both ways give the layer's matrix for each image."""
    layer = nn.Linear(inputs, outputs).double()
    linear = Linearisation(layer, drawn(2, inputs))
    torch.testing.assert_close(linear.matrices(), layer.weight.detach().expand(2, -1, -1))


def test_products_are_those_of_the_matrix() -> None:
    """Forward and transposed products equal those of the explicit matrix, also if images mix."""
    network, point = small_network().train(), drawn(3, 2, 4, 4)
    linear, matrix = Linearisation(network, point), jacobian_of(network, point)
    tangent, cotangent = drawn(3, 32, seed=2), drawn(3, 16, seed=3)
    torch.testing.assert_close(linear.forward(tangent).flatten(), matrix @ tangent.flatten())
    torch.testing.assert_close(linear.transpose(cotangent).flatten(), matrix.T @ cotangent.flatten())


def test_a_change_in_place_and_a_constant_are_differentiated() -> None:
    """An in-place ReLU does not modify the point, and a constant function has a spectrum of zeros."""
    point = drawn(2, 5)
    before = point.clone()
    spectrum = jacobian_spectrum(nn.ReLU(inplace=True), point)
    assert torch.equal(point, before)
    assert spectrum.numbers["mean"] == pytest.approx(float((point > 0).double().mean()))
    constant = jacobian_spectrum(lambda given: torch.ones_like(given[:, :3]), point, largest_rank=0)
    assert constant.numbers["rms_by_probes"] == constant.numbers["max_by_lanczos"] == 0.0
    assert jacobian_spectrum(lambda given: torch.ones_like(given[:, :3]), point).numbers["max"] == 0.0


@pytest.mark.parametrize("training", [True, False])
def test_estimates_meet_the_exact_values(training: bool) -> None:
    """Estimates of mean and RMS are close to the exact values; Ritz values lie inside the spectrum, the largest near its maximum."""
    network, point = small_network().train(training), drawn(4, 2, 8, 8)
    network(point)
    exact = jacobian_spectrum(network, point).numbers
    estimate = jacobian_spectrum(network, point, largest_rank=0, probes=64, starts=8, steps=24)
    assert estimate.method == "estimated"
    assert estimate.values is None
    numbers = estimate.numbers
    assert abs(numbers["mean_by_quadrature"] - exact["mean"]) < 4 * numbers["mean_error"] < 0.15 * exact["mean"]
    assert numbers["rms_by_probes"] == pytest.approx(exact["rms"], rel=0.05)
    assert 0.95 * exact["max"] < numbers["max_by_lanczos"] <= exact["max"] * (1 + 1e-9)
    assert exact["min"] * (1 - 1e-9) <= numbers["min_by_lanczos"] < exact["median"]


def test_quadrature_is_exact_for_polynomials() -> None:
    """Five steps integrate vᵀ Aᵖ v exactly up to p = 9, and a start vector in a small invariant subspace ends early."""
    roots = torch.linspace(0.1, 2, 40, dtype=torch.float64)
    start = drawn(40)
    unit = start / start.norm()
    nodes, weights = quadrature(lambda vector: roots * vector, start, 5)
    for power in range(10):
        assert float((weights * nodes**power).sum()) == pytest.approx(float((unit.square() * roots**power).sum()))
    assert float((weights * nodes**10).sum()) != pytest.approx(float((unit.square() * roots**10).sum()), rel=1e-9)
    sparse = torch.zeros(40, dtype=torch.float64)
    sparse[[3, 30]] = 1.0
    nodes, weights = quadrature(lambda vector: roots * vector, sparse, 16)
    torch.testing.assert_close(nodes, roots[[3, 30]])
    torch.testing.assert_close(weights, torch.full((2,), 0.5, dtype=torch.float64))


def test_equal_seeds_give_equal_estimates_and_touch_no_global_generator() -> None:
    """With equal seeds, estimates use the same random directions, and the global generator is not used."""
    network, point = small_network().eval(), drawn(2, 2, 4, 4)
    state = torch.get_rng_state()
    first, again, other = (jacobian_spectrum(network, point, largest_rank=0, starts=2, seed=seed).numbers for seed in (5, 5, 6))
    assert first == again
    assert first["mean_by_quadrature"] != other["mean_by_quadrature"]
    assert torch.equal(state, torch.get_rng_state())


def test_one_start_has_no_error() -> None:
    """A single start gives no error estimate, so the number is omitted."""
    numbers = jacobian_spectrum(small_network().eval(), drawn(1, 2, 4, 4), largest_rank=0, starts=1).numbers
    assert "mean_error" not in numbers
    assert all(math.isfinite(value) for value in numbers.values())


def test_the_example_of_a_residual_matrix() -> None:
    """Singular values of a uniform 500 x 500 matrix, and of the same plus the identity, have known means (science notes, 4.2)."""
    matrix = torch.from_numpy(np.random.default_rng(0).uniform(-1, 1, (500, 500)) / np.sqrt(500))
    point = torch.zeros(1, 500, dtype=torch.float64)
    plain = jacobian_spectrum(lambda given: given @ matrix.T, point).numbers
    skipped = jacobian_spectrum(lambda given: given + given @ matrix.T, point).numbers
    assert [plain["mean"], plain["max"]] == pytest.approx([0.490, 1.15], abs=0.01)
    assert [skipped["mean"], skipped["min"], skipped["max"]] == pytest.approx([1.082, 0.30, 1.87], abs=0.01)


def explicit(layer: nn.Module, shape: tuple[int, int, int]) -> Tensor:
    """Return the singular values of the operator's explicit matrix, built from the outputs for all unit vectors."""
    size = shape[0] * shape[1] * shape[2]
    units = torch.eye(size, dtype=torch.float64).reshape(size, *shape)
    columns = layer(units) - layer(torch.zeros_like(units))
    values = torch.linalg.svdvals(columns.detach().flatten(1))
    return torch.as_tensor(values)


def convolution(channels: int, outputs: int, **options: Any) -> nn.Conv2d:
    """Return a convolution in double precision with reproducible weights."""
    with torch.random.fork_rng():
        torch.manual_seed(4)
        return nn.Conv2d(channels, outputs, **options).double()


@pytest.mark.parametrize(
    ("options", "method"),
    [
        ({"kernel_size": 3, "padding": 1}, "exact"),
        ({"kernel_size": 3, "padding": 1, "stride": 2}, "exact"),
        ({"kernel_size": 3, "padding": 1, "stride": 2, "padding_mode": "circular"}, "exact"),
        ({"kernel_size": 3, "padding": 0, "padding_mode": "circular"}, "exact"),
        ({"kernel_size": 3, "padding": 1, "padding_mode": "reflect"}, "exact"),
        ({"kernel_size": 3, "padding": 1, "padding_mode": "circular"}, "fft"),
        ({"kernel_size": 3, "padding": "same", "padding_mode": "circular", "bias": False}, "fft"),
        ({"kernel_size": 3, "padding": 2, "dilation": 2, "padding_mode": "circular"}, "fft"),
        ({"kernel_size": (1, 5), "padding": (0, 2), "padding_mode": "circular"}, "fft"),
        ({"kernel_size": 5, "padding": 2, "padding_mode": "circular", "groups": 2}, "fft"),
    ],
)
def test_spectra_are_those_of_the_explicit_operator(options: dict[str, Any], method: str) -> None:
    """All values are exact, computed by FFT if the operator is diagonal in frequency space and from its matrix otherwise."""
    layer = convolution(4, 6, **options)
    spectrum = operator_spectrum(layer, (4, 5, 6))
    assert spectrum.method == method
    assert spectrum.values is not None
    torch.testing.assert_close(spectrum.values, explicit(layer, (4, 5, 6))[: spectrum.count], atol=1e-10, rtol=1e-7)


def test_a_kernel_wider_than_the_image_wraps() -> None:
    """Kernel taps that fall on the same pixel are summed."""
    layer = convolution(2, 2, kernel_size=5, padding=2, padding_mode="circular")
    spectrum = operator_spectrum(layer, (2, 3, 4))
    assert spectrum.method == "fft"
    assert spectrum.values is not None
    torch.testing.assert_close(spectrum.values, explicit(layer, (2, 3, 4)), atol=1e-10, rtol=1e-7)


def test_a_layer_with_a_forward_of_its_own_is_not_transformed() -> None:
    """A subclass may compute something other than its kernel's convolution, so it is evaluated instead of transformed."""

    class Doubled(nn.Conv2d):
        def forward(self, input: Tensor) -> Tensor:
            return 2 * super().forward(input)

    options: dict[str, Any] = {"padding": 1, "padding_mode": "circular", "bias": False}
    plain, doubled = nn.Conv2d(2, 2, 3, **options).double(), Doubled(2, 2, 3, **options).double()
    doubled.load_state_dict(plain.state_dict())
    first, second = operator_spectrum(plain, (2, 4, 4)), operator_spectrum(doubled, (2, 4, 4))
    assert (first.method, second.method) == ("fft", "exact")
    assert second.mean == pytest.approx(2 * first.mean)


def test_a_large_operator_is_estimated() -> None:
    """Above the maximum rank, the mean is estimated by quadrature and close to the exact one."""
    layer = convolution(3, 3, kernel_size=3, padding=1)
    exact, estimate = operator_spectrum(layer, (3, 8, 8)), operator_spectrum(layer, (3, 8, 8), largest_rank=100)
    assert (exact.method, estimate.method) == ("exact", "estimated")
    assert estimate.mean == pytest.approx(exact.mean, rel=0.05)


def test_the_fixed_path_has_singular_values_of_one() -> None:
    """The fixed path has a singular value of one per input cell, and zeros for the padded channels."""
    spectrum = operator_spectrum(FixedPath(2, 5, 2, 1.0).double(), (2, 4, 4))
    assert spectrum.values is not None
    torch.testing.assert_close(spectrum.values, torch.tensor([1.0] * 8 + [0.0] * 12).double(), atol=1e-6, rtol=1e-6)


@pytest.mark.parametrize(("channels", "plain", "skipped"), [(64, 0.379, 0.774), (128, 0.383, 0.779), (256, 0.381, 0.777)])
def test_the_paper_s_shortcuts_have_the_known_means(channels: int, plain: float, skipped: float) -> None:
    """PreAct-ResNet-18's shortcuts have the known means at initialisation, without and with the fixed path (science notes, 4.2).

    A cell of 2 x 2 pixels suffices, as the operator repeats it on larger images. The notes give no seed, so ours differ by up to 0.005.
    """
    means = []
    for dose in (0.0, 1.0):
        with torch.random.fork_rng():
            torch.manual_seed(0)
            means.append(operator_spectrum(Shortcut(channels, 2 * channels, 2, dose=dose), (channels, 2, 2)).mean)
    assert means == pytest.approx([plain, skipped], abs=0.005)
