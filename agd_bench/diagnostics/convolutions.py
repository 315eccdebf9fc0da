"""Singular values of convolutions, and of whatever else is linear, as operators on whole images."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from agd_bench.diagnostics.spectra import LARGEST_RANK, Spectrum, jacobian_spectrum, summarised
from agd_bench.errors import Diverged


def operator_spectrum(layer: nn.Module, shape: tuple[int, int, int], *, largest_rank: int = LARGEST_RANK, seed: int = 0) -> Spectrum:
    """Singular values of a linear layer as an operator on one image, not of its kernel as a matrix.

    A convolution with circular padding and stride 1 is diagonal in frequencies, so that its values come from one transform
    (`method` is `fft`). With any other padding or stride the edges count: the operator's matrix is computed where it is affordable
    (`exact`), else its spectrum is estimated. A bias drops out.

    Args:
        layer: computes an affine function of feature maps (N, C, H, W), each image for itself: a convolution, or a shortcut made of
            them. That it is affine is not checked; of another function it is the Jacobian at 0.
        shape: (C, H, W) of an image.
        largest_rank: as in `jacobian_spectrum`.
        seed: of the estimates.

    Raises:
        Diverged: a weight is not finite.

    References:
        H. Sedghi, V. Gupta and P. M. Long, The singular values of convolutional layers, ICLR 2019, theorem 6.
    """
    if isinstance(layer, nn.Conv2d) and type(layer).forward is nn.Conv2d.forward and _diagonal(layer):
        if not layer.weight.isfinite().all():
            raise Diverged("a kernel is not finite")
        return summarised(_by_frequency(layer, shape[1:]), "fft")
    some = next(layer.parameters(), torch.zeros(()))
    zeros = torch.zeros(1, *shape, dtype=some.dtype, device=some.device)
    return jacobian_spectrum(layer, zeros, largest_rank=largest_rank, seed=seed)


def _diagonal(layer: nn.Conv2d) -> bool:
    """Whether it is a circular convolution of an image with itself as period, that keeps the image's size."""
    reach = tuple(dilation * (size - 1) for dilation, size in zip(layer.dilation, layer.kernel_size, strict=True))
    kept = layer.padding == "same" or tuple(2 * int(pad) for pad in layer.padding) == reach
    return layer.padding_mode == "circular" and layer.stride == (1, 1) and kept


def _by_frequency(layer: nn.Conv2d, size: tuple[int, int]) -> Tensor:
    """Singular values of the channel matrix of every frequency, (H W, groups, min(C_in, C_out) / groups)."""
    height, width = size
    kernel = layer.weight.detach().double()
    period = kernel.new_zeros(*kernel.shape[:2], height, width)
    for row in range(kernel.shape[2]):
        for column in range(kernel.shape[3]):  # taps of a kernel wider than the image fall on each other
            period[:, :, row * layer.dilation[0] % height, column * layer.dilation[1] % width] += kernel[:, :, row, column]
    matrices = torch.fft.fft2(period).permute(2, 3, 0, 1)
    outer, inner = matrices.shape[2] // layer.groups, matrices.shape[3]
    values: Tensor = torch.linalg.svdvals(matrices.reshape(height * width, layer.groups, outer, inner))
    return values
