"""Convolutions as linear operators on images."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from agd_bench.diagnostics import operator_spectrum
from search_spaces.resnet_skips import FixedPath, Shortcut


def explicit(layer: nn.Module, shape: tuple[int, int, int]) -> Tensor:
    """Singular values of the operator's matrix, from the images of all unit vectors."""
    size = shape[0] * shape[1] * shape[2]
    units = torch.eye(size, dtype=torch.float64).reshape(size, *shape)
    columns = layer(units) - layer(torch.zeros_like(units))
    values = torch.linalg.svdvals(columns.detach().flatten(1))
    return torch.as_tensor(values)


def convolution(channels: int, outputs: int, **options: Any) -> nn.Conv2d:
    """A convolution in double precision, of known weights."""
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
    """Every value, by Fourier transform where the operator is diagonal in frequencies, else by its matrix."""
    layer = convolution(4, 6, **options)
    spectrum = operator_spectrum(layer, (4, 5, 6))
    assert spectrum.method == method
    assert spectrum.values is not None
    torch.testing.assert_close(spectrum.values, explicit(layer, (4, 5, 6))[: spectrum.count], atol=1e-10, rtol=1e-7)


def test_a_kernel_wider_than_the_image_wraps() -> None:
    """Taps that fall on the same pixel add up."""
    layer = convolution(2, 2, kernel_size=5, padding=2, padding_mode="circular")
    spectrum = operator_spectrum(layer, (2, 3, 4))
    assert spectrum.method == "fft"
    assert spectrum.values is not None
    torch.testing.assert_close(spectrum.values, explicit(layer, (2, 3, 4)), atol=1e-10, rtol=1e-7)


def test_a_layer_with_a_forward_of_its_own_is_not_transformed() -> None:
    """What a subclass computes is not its kernel's convolution, so it is asked, not read."""

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
    """Beyond the rank that is allowed, the mean comes by quadrature, near the exact one."""
    layer = convolution(3, 3, kernel_size=3, padding=1)
    exact, estimate = operator_spectrum(layer, (3, 8, 8)), operator_spectrum(layer, (3, 8, 8), largest_rank=100)
    assert (exact.method, estimate.method) == ("exact", "estimated")
    assert estimate.mean == pytest.approx(exact.mean, rel=0.05)


def test_the_fixed_path_has_singular_values_of_one() -> None:
    """As many as it has input cells, and zeros for the channels that it pads."""
    spectrum = operator_spectrum(FixedPath(2, 5, 2, 1.0).double(), (2, 4, 4))
    assert spectrum.values is not None
    torch.testing.assert_close(spectrum.values, torch.tensor([1.0] * 8 + [0.0] * 12).double(), atol=1e-6, rtol=1e-6)


@pytest.mark.parametrize(("channels", "plain", "skipped"), [(64, 0.379, 0.774), (128, 0.383, 0.779), (256, 0.381, 0.777)])
def test_the_paper_s_shortcuts_have_the_known_means(channels: int, plain: float, skipped: float) -> None:
    """PreAct-ResNet-18's three shortcuts at torch's initialisation, without and with the fixed path (science notes, 4.2).

    On a cell of 2 x 2 pixels, which the operator on any image repeats. The notes do not tell their seed: ours differ by up to 0.005.
    """
    means = []
    for dose in (0.0, 1.0):
        with torch.random.fork_rng():
            torch.manual_seed(0)
            means.append(operator_spectrum(Shortcut(channels, 2 * channels, 2, dose=dose), (channels, 2, 2)).mean)
    assert means == pytest.approx([plain, skipped], abs=0.005)
