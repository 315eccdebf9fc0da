"""Singular values of Jacobians and of linear layers on whole images: exact for small matrices, otherwise estimated from products.

References:
    C. Lanczos, An iteration method for the solution of the eigenvalue problem, Journal of Research of the National Bureau of
    Standards, 1950.
    M. F. Hutchinson, A stochastic estimator of the trace of the influence matrix, Communications in Statistics, 1990.
    G. H. Golub and G. Meurant, Matrices, Moments and Quadrature with Applications, 2010, chapter 6 (Gauss quadrature by Lanczos).
    S. Ubaru, J. Chen and Y. Saad, Fast estimation of tr(f(A)) via stochastic Lanczos quadrature, SIAM Journal on Matrix Analysis
    and Applications, 2017.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from agd_bench.diagnostics.linearisation import Function, Linearisation
from agd_bench.errors import Diverged

LARGEST_RANK = 4096
"""Largest min(rows, columns) of a Jacobian for which matrices are computed."""
LARGEST_WORK = 1e11
"""Largest number of multiply-adds, matrices × rows × columns × min(rows, columns): about half a minute on one core."""
LARGEST_ENTRIES = 2**26
"""Largest number of entries of all matrices: half a gigabyte in double precision."""

NOT_FINITE = "a Jacobian is not finite"


@dataclass(frozen=True)
class Spectrum:
    """The r = images × min(inputs, outputs) singular values of a Jacobian, including zeros.

    Attributes:
        method: `exact` (SVD of the matrix), `fft` (also exact, for circular convolutions) or `estimated`.
        count: r.
        numbers: statistics by name. For `exact` and `fft`: `mean`, `median`, `min`, `max`, `rms`. For `estimated`: `rms_by_probes`
            (sqrt(E ‖J v‖² / r), v standard normal); `mean_by_quadrature` and its standard error over the starts, `mean_error` (omitted for
            one start); `max_by_lanczos` and `min_by_lanczos`, the outermost Ritz values, which are bounds from inside.
        values: all singular values, descending; None for `estimated`.
    """

    method: Literal["exact", "fft", "estimated"]
    count: int
    numbers: dict[str, float]
    values: Tensor | None = None

    @property
    def mean(self) -> float:
        """Mean singular value, exact or by quadrature."""
        return self.numbers["mean_by_quadrature" if self.method == "estimated" else "mean"]


def summarised(values: Tensor, method: Literal["exact", "fft"]) -> Spectrum:
    """Return the spectrum of known singular values.

    Args:
        values: singular values in any order and shape.
        method: by which they were computed.
    """
    values = values.double().flatten().sort(descending=True).values
    numbers = {  # `quantile` is limited to 2^24 values
        "mean": values.mean(),
        "median": values.quantile(0.5) if len(values) < 2**24 else values[len(values) // 2],
        "min": values[-1],
        "max": values[0],
        "rms": values.square().mean().sqrt(),
    }
    return Spectrum(method, len(values), {name: float(value) for name, value in numbers.items()}, values.cpu())


def jacobian_spectrum(
    function: Function,
    point: Tensor,
    *,
    largest_rank: int = LARGEST_RANK,
    probes: int = 32,
    starts: int = 4,
    steps: int = 16,
    seed: int = 0,
) -> Spectrum:
    """Return the singular values of the Jacobian of a function at a point.

    If images are independent (which is tested), the Jacobian is one matrix per image, and the spectrum is that of all of them together.

    Args:
        function: maps a batch (N, …) to a batch (N, …); deterministic.
        point: batch at which to differentiate, (N, …), floating point.
        largest_rank: largest min(rows, columns) for which matrices are computed, within `LARGEST_WORK` and `LARGEST_ENTRIES`; 0: never.
        probes: random directions for the estimated root mean square, at least 1.
        starts: random starts of the Lanczos iteration, at least 1.
        steps: of the Lanczos iteration, at least 2.
        seed: of the random directions. Equal seeds give networks of the same shape the same directions.

    Raises:
        Diverged: the function's value or a product with its Jacobian is not finite.
    """
    linear = Linearisation(function, point)
    if affordable(linear, largest_rank):
        matrices = linear.matrices().double()
        if not matrices.isfinite().all():  # the SVD would raise another error
            raise Diverged(NOT_FINITE)
        return summarised(torch.linalg.svdvals(matrices), "exact")
    # On the CPU and private: directions are the same on every device, and no training generator advances.
    generator = torch.Generator().manual_seed(seed)
    numbers = {"rms_by_probes": rms_by_probes(linear, probes, generator), **_by_lanczos(linear, starts, steps, generator)}
    return Spectrum("estimated", linear.count, numbers)


def affordable(linear: Linearisation, largest_rank: int = LARGEST_RANK) -> bool:
    """Return whether the matrices of a Jacobian are within the limits."""
    # With mixed images there is one matrix of N × the side, else N small ones.
    blocks, side = (1, linear.images) if linear.mixes else (linear.images, 1)
    rows, columns = side * linear.outputs, side * linear.inputs
    entries = blocks * rows * columns
    return min(rows, columns) <= largest_rank and entries <= LARGEST_ENTRIES and entries * min(rows, columns) <= LARGEST_WORK


def rms_by_probes(linear: Linearisation, probes: int, generator: torch.Generator) -> float:
    """Estimate the root mean square of the singular values, sqrt(E ‖J v‖² / r) over standard normal v (Hutchinson)."""
    total = 0.0
    for _ in range(probes):
        direction = torch.randn(linear.images, linear.inputs, generator=generator)
        # E ‖J v‖² = tr(JᵀJ) = Σ σ² for standard normal v.
        total += float(linear.forward(direction.to(linear.point)).double().square().sum())
    # One check at the end: a NaN or infinity stays in the sum.
    if not math.isfinite(total):
        raise Diverged(NOT_FINITE)
    return math.sqrt(total / probes / linear.count)


def _by_lanczos(linear: Linearisation, starts: int, steps: int, generator: torch.Generator) -> dict[str, float]:
    """Estimate the mean and the ends of the spectrum by Lanczos quadrature."""
    # with the Gram operator on the smaller side, whose eigenvalues are the squared singular values
    tall = linear.outputs > linear.inputs
    size = min(linear.inputs, linear.outputs)

    def gram(vector: Tensor) -> Tensor:
        batch = vector.reshape(linear.images, size).to(linear.point.dtype)
        # JᵀJ or JJᵀ: the larger side would add eigenvalues of 0 that are not singular values.
        product = linear.transpose(linear.forward(batch)) if tall else linear.forward(linear.transpose(batch))
        return product.double().flatten()

    means, ends = [], []
    for _ in range(starts):
        # All images as one vector, whether they mix or not: its spectrum is that of all images together.
        start = torch.randn(linear.images * size, generator=generator).to(linear.point.device).double()
        nodes, weights = quadrature(gram, start, steps)
        values = nodes.clamp(min=0).sqrt()  # rounding can make zero eigenvalues negative
        # f = sqrt on eigenvalues σ²: its mean over the spectrum is the mean singular value.
        means.append(float((weights * values).sum()))
        ends.append((float(values.min()), float(values.max())))
    mean = sum(means) / starts
    numbers = {"mean_by_quadrature": mean}
    if starts > 1:
        variance = sum((value - mean) ** 2 for value in means) / (starts - 1)
        numbers["mean_error"] = math.sqrt(variance / starts)
    # Ritz values lie inside the spectrum, so the outermost over all starts are the sharpest bounds.
    return {**numbers, "min_by_lanczos": min(low for low, _ in ends), "max_by_lanczos": max(high for _, high in ends)}


def quadrature(apply: Callable[[Tensor], Tensor], start: Tensor, steps: int) -> tuple[Tensor, Tensor]:
    """Return nodes and weights of the Gauss quadrature of a symmetric operator's spectral measure for a start vector.

    The sum of weights × f(nodes) equals vᵀ f(A) v for the normalised start v, exactly for polynomials f up to degree 2 steps − 1. Its mean
    over random starts is the mean of f over the eigenvalues. Nodes are Ritz values, between the outermost eigenvalues.

    Args:
        apply: multiplies a vector (n,) by the symmetric operator A.
        start: (n,), not 0.
        steps: of the Lanczos iteration, which stops earlier if the start is in a smaller invariant subspace.

    Returns:
        Nodes in ascending order, and weights with sum 1.
    """
    basis = [start / torch.linalg.vector_norm(start)]
    diagonal: list[Tensor] = []
    beside: list[Tensor] = []
    for _ in range(min(steps, len(start))):
        vector = apply(basis[-1])
        diagonal.append(torch.dot(vector, basis[-1]))
        known = torch.stack(basis)
        for _ in range(2):  # full reorthogonalisation: the three-term recurrence loses orthogonality
            vector = vector - known.T @ (known @ vector)
        length = torch.linalg.vector_norm(vector)
        # A residual of rounding size: the start lies in an invariant subspace, and its quadrature is already exact.
        if len(diagonal) == steps or float(length) <= 1e-10 * max(float(abs(value)) for value in (*diagonal, *beside)):
            break
        beside.append(length)
        basis.append(vector / length)
    middle = torch.stack(diagonal)
    matrix = torch.diag(middle)
    if len(middle) > 1:
        off = torch.stack(beside[: len(middle) - 1])
        matrix = matrix + torch.diag(off, 1) + torch.diag(off, -1)
    # Golub and Welsch: nodes are the eigenvalues of the tridiagonal matrix, weights the squared first entries of its eigenvectors.
    nodes, vectors = torch.linalg.eigh(matrix)
    return nodes, vectors[0].square()


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
