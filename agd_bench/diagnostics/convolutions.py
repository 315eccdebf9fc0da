"""Singular values of convolutions and other linear layers, as operators on whole images."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from agd_bench.diagnostics.spectra import LARGEST_RANK, Spectrum, jacobian_spectrum, summarised
from agd_bench.errors import Diverged


def operator_spectrum(layer: nn.Module, shape: tuple[int, int, int], *, largest_rank: int = LARGEST_RANK, seed: int = 0) -> Spectrum:
    """Return the singular values of a linear layer as an operator on one image, rather than of its kernel as a matrix.

    A convolution with circular padding and stride 1 is block-diagonal in the frequency domain, so one Fourier transform gives its singular
    values (`method` is `fft`). For other paddings and strides, the matrix of the operator is computed if affordable (`exact`), otherwise
    its spectrum is estimated. A bias has no effect.

    Args:
        layer: an affine function of feature maps (N, C, H, W), independent across images: a convolution, or a shortcut of convolutions.
            This is not checked; for other functions, the result is the Jacobian at 0.
        shape: (C, H, W) of an image.
        largest_rank: see `jacobian_spectrum`.
        seed: of the estimate.

    Raises:
        Diverged: a weight is not finite.

    References:
        H. Sedghi, V. Gupta and P. M. Long, The singular values of convolutional layers, ICLR 2019, theorem 6.
    """
    # A subclass with its own `forward` (weight standardisation, for example) may apply another kernel than `weight`.
    if isinstance(layer, nn.Conv2d) and type(layer).forward is nn.Conv2d.forward and _diagonal(layer):
        if not layer.weight.isfinite().all():
            raise Diverged("a kernel is not finite")
        return summarised(_by_frequency(layer, shape[1:]), "fft")
    # Dtype and device of the layer; a layer without parameters, as pooling, takes the default ones.
    some = next(layer.parameters(), torch.zeros(()))
    # One image is enough, as images are independent; an affine function has the same Jacobian everywhere, so also at 0.
    zeros = torch.zeros(1, *shape, dtype=some.dtype, device=some.device)
    return jacobian_spectrum(layer, zeros, largest_rank=largest_rank, seed=seed)


def _diagonal(layer: nn.Conv2d) -> bool:
    """Return whether a layer is a circular convolution with stride 1 that keeps the size of the image."""
    # 2 × padding = dilation (k − 1) keeps the size; only then is the operator a square circulant.
    reach = tuple(dilation * (size - 1) for dilation, size in zip(layer.dilation, layer.kernel_size, strict=True))
    kept = layer.padding == "same" or tuple(2 * int(pad) for pad in layer.padding) == reach
    return layer.padding_mode == "circular" and layer.stride == (1, 1) and kept


def _by_frequency(layer: nn.Conv2d, size: tuple[int, int]) -> Tensor:
    """Return the singular values of the channel matrix at every frequency, (H W, groups, min(C_in, C_out) / groups)."""
    height, width = size
    # (C_out, C_in / groups, kH, kW); double, since small singular values lose their digits first.
    kernel = layer.weight.detach().double()
    period = kernel.new_zeros(*kernel.shape[:2], height, width)
    for row in range(kernel.shape[2]):
        for column in range(kernel.shape[3]):  # taps of a kernel wider than the image wrap around
            # Not centred: a shift only multiplies each frequency by a phase, which leaves singular values alone.
            period[:, :, row * layer.dilation[0] % height, column * layer.dilation[1] % width] += kernel[:, :, row, column]
    matrices = torch.fft.fft2(period).permute(2, 3, 0, 1)
    # Groups are blocks on the diagonal of every frequency's matrix; a whole one would add zeros between them.
    outer, inner = matrices.shape[2] // layer.groups, matrices.shape[3]
    values: Tensor = torch.linalg.svdvals(matrices.reshape(height * width, layer.groups, outer, inner))
    return values
