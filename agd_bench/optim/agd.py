"""Automatic gradient descent: an optimizer without hyperparameters for networks of matrices and convolution kernels.

For L weight tensors p of shape (d_out, d_in) or (d_out, d_in, k_x, k_y), and their mini-batch gradients g:

    s(p) = sqrt(d_out / d_in) / sqrt(k_x k_y)                    scale; k_x = k_y = 1 for a matrix
    G    = (1/L) sum_p s(p) sum_taps ||g_tap||_F                 gradient summary; a tap is g[:, :, i, j]
    eta  = log((1 + sqrt(1 + 4 G)) / 2)                          automatic learning rate
    p   <- p - gain (eta/L) s(p) g_tap / ||g_tap||_F             for every tap

Weights start as semi-orthogonal taps times s(p). The optimizer has no state. It is derived for the square loss:

    initialise(network, generator)
    optimizer = AGD(network.parameters())

The default is the paper's method. `norm="operator"` and `norm="dual"` are unpublished variants of ours, without the assumption on the rank
of gradients (`matrix_norms`).

References:
    Jeremy Bernstein, Chris Mingard, Kevin Huang, Navid Azizan, Yisong Yue: Automatic Gradient Descent: Deep Learning without
    Hyperparameters. arXiv 2304.05187, 2023. Implemented from its formulas; taps without gradient stay unchanged, as in its later code.
"""

from __future__ import annotations

import functools
import math
from collections import defaultdict, deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim.optimizer import ParamsT

from agd_bench.errors import Refused
from agd_bench.optim.layers import parts
from agd_bench.optim.matrix_norms import NORMS
from agd_bench.optim.orthogonal import semi_orthogonal
from agd_bench.optim.requirements import require_dense, require_shapes

LARGE = 32_768
"""Elements from which row norms are faster than squares of a matrix, which need a buffer."""
LONGEST_ROW = 8192
"""Longest row whose norm torch computes accurately enough in float32."""
HISTORY = 4096
"""Maximum number of steps that `AGD.diagnostics` summarises; each keeps two numbers on the device until they are read."""


@dataclass(frozen=True)
class Layout:
    """How AGD treats a tensor: as blocks, each with one matrix per tap.

    Attributes:
        blocks: number of blocks, which divide the first dimension; each is (rows, columns, *kernel).
        scale: s of each block.
        share: weight of a block's matrices in the bound, relative to a layer's.
        depth: contribution of the tensor to L.
        flat: whether a block is a vector of the tensor's elements in order instead.
    """

    blocks: int
    scale: float
    share: float = 1.0
    depth: float = 1.0
    flat: bool = False


@dataclass(frozen=True)
class Bucket:
    """Tensors of one shape, dtype, layout and gain, which are processed together."""

    tensors: list[Tensor]
    layout: Layout
    gain: float

    @property
    def matrices(self) -> int:
        """Number of matrices in all tensors: blocks times taps."""
        taps = 1 if self.layout.flat else math.prod(self.tensors[0].shape[2:])
        return len(self.tensors) * self.layout.blocks * taps

    @property
    def separate(self) -> bool:
        """Whether a step processes each tensor in place instead of a copy of all."""
        # saves the copy on a CPU; on a GPU it would take one kernel launch per tensor
        first = self.tensors[0]
        return self.layout.blocks == 1 and not self.layout.flat and not first.is_cuda and _is_wide(first)

    def gradients(self) -> Tensor:
        """Return a copy of the gradients, at least float32, zeros if missing: (n blocks, rows, columns, *kernel)."""
        gradients = [_gradient(tensor) for tensor in self.tensors]
        # concatenating along the first dimension keeps the channels-last memory format, up to 4 times as fast on a CPU
        joined = torch.stack(gradients) if self.layout.flat else torch.cat(gradients)
        return self._blocks(joined if _is_wide(joined) else joined.float(), len(self.tensors))

    def squares(self) -> Tensor:
        """Return the squared Frobenius norm of each block's taps, (n blocks, *kernel)."""
        first = self.tensors[0]
        # relative error in float32: 1e-7 for sums of squares and norms of short rows, up to 4e-5 for torch's norms of large layers
        if self.separate and first.dim() == 2 and first.numel() >= LARGE and first.shape[1] <= LONGEST_ROW:
            rows = [torch.linalg.vector_norm(_gradient(tensor), dim=1) for tensor in self.tensors]
            return torch.stack(rows).square_().sum(1)
        if len(self.tensors) == 1 and first.grad is not None and _is_wide(first):
            squares = self._blocks(first.grad, 1).square()  # one gradient needs no copy, but must not be squared in place
        else:
            squares = self.gradients().square_()
        return squares.sum((1, 2))

    def subtract(self, directions: Tensor, factors: Tensor) -> None:
        """Subtract `directions`, times the factor of each block and tap, from the tensors. Overwrites `directions`."""
        directions.mul_(factors.to(directions.dtype).view(directions.shape[0], 1, 1, *directions.shape[3:]))
        shape = self.tensors[0].shape
        updates = directions.view(-1, *shape).unbind() if self.layout.flat else torch.split(directions.flatten(0, 1), shape[0])
        # for weights of fewer than 32 bits, torch subtracts in float32 and rounds once
        torch._foreach_sub_(self.tensors, list(updates))

    def _blocks(self, joined: Tensor, count: int) -> Tensor:
        if self.layout.flat:
            return joined.reshape(count * self.layout.blocks, -1, 1)  # a flat block is a matrix (d, 1)
        blocks = count * self.layout.blocks
        return joined.view(blocks, joined.shape[0] // blocks, *joined.shape[1:])


@dataclass(frozen=True)
class _Assembly:
    """All buckets, with precomputed factors for a step.

    Attributes:
        buckets: of all tensors.
        sizes: number of matrices in each bucket.
        shares: factor of each matrix in the bound, s * share / L; flat, in the order of the buckets.
        moves: length of each matrix's update for eta = 1: `shares` times the bucket's gain.
    """

    buckets: list[Bucket]
    sizes: list[int]
    shares: Tensor
    moves: Tensor


class AGD(torch.optim.Optimizer):
    """Automatic gradient descent.

    L counts all tensors in all groups, also those without a gradient, which is taken as zero; so pass only trainable tensors, all on one
    device. A step does not synchronise with the device, except to compute singular values for the other norms. The learning rate of the
    last step is a 0-dim float64 tensor on the device, in every group's `lr`; schedulers cannot change it.
    """

    def __init__(self, params: ParamsT, gain: float = 1.0, norm: str = "frobenius") -> None:
        """Create the optimizer.

        Args:
            params: tensors, (name, tensor) pairs or groups of either; each (d_out, d_in) or (d_out, d_in, k_x, k_y).
            gain: factor on the update, above 0; 1 in all published results. With 10, small networks can stop learning.
            norm: "frobenius" (the paper's), "operator" or "dual" (without the assumption of rank 1).

        Raises:
            Refused: AGD is not defined for a parameter, the gain is out of range, or the norm is unknown.
        """
        self._forget()
        self._seen: list[Any] = []
        super().__init__(params, {"gain": gain, "norm": norm, "lr": torch.zeros((), dtype=torch.float64)})

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Restore a copy or a checkpoint."""
        super().__setstate__(state)
        # history and buckets refer to tensors of the original; an empty `_seen` rebuilds the buckets
        self._forget()
        self._seen = []
        for group in self.param_groups:
            group.setdefault("norm", "frobenius")  # checkpoints older than the option

    @property
    def capturable(self) -> bool:
        """Whether a step can be captured in a CUDA graph. Computing singular values synchronises with the device."""
        return bool(self.param_groups[0]["norm"] == "frobenius")

    def _forget(self) -> None:
        self._history: deque[tuple[Tensor, Tensor]] = deque(maxlen=HISTORY)
        self._moved: tuple[_Assembly, Tensor] | None = None

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """Add a group, with the same checks. A refused group is not added."""
        # add first: the checks read the settings that torch fills in from the defaults
        super().add_param_group(param_group)
        try:
            self._check_all()
        except Refused:
            self.param_groups.pop()
            raise

    def _check_all(self) -> None:
        """Raise Refused for tensors and settings that AGD is not defined for."""
        first = 0
        for group in self.param_groups:
            self._check(group, first)
            first += len(group["params"])
            if not 0 < group["gain"] < math.inf:
                raise Refused(f"gain is {group['gain']!r}; AGD needs a finite gain above 0; leave it out for the published 1.0")
            # one norm for all groups, since the summary adds terms of a single bound
            if group["norm"] not in NORMS or group["norm"] != self.param_groups[0]["norm"]:
                allowed = ", ".join(map(repr, NORMS))
                raise Refused(f"norm is {group['norm']!r}; AGD takes one of {allowed}, the same in all groups; the first is the paper's")
        devices = {str(tensor.device) for group in self.param_groups for tensor in group["params"]}
        if len(devices) > 1:
            raise Refused(f"parameters are on {', '.join(sorted(devices))}; AGD needs all of them on one device")

    def _check(self, group: dict[str, Any], first: int) -> None:
        """Raise Refused for tensors that AGD is not defined for; `first` is the index of the group's first parameter."""
        _check(group["params"], group.get("param_names"), first)

    def _layout(self, group: dict[str, Any], shape: torch.Size) -> Layout:
        """Return the layout of a tensor of a given shape in a group."""
        return Layout(1, scale(shape))

    def _assembled(self) -> _Assembly:
        """Return the buckets, rebuilt if tensors, their shapes, dtypes or devices, or settings have changed."""
        # compare contents: users replace entries of the lists, and `network.to` changes tensors in place
        seen = [
            [(id(p), p.shape, p.dtype, p.device) for p in g["params"]] + [(g["gain"], g["norm"], g.get("kind"), g.get("blocks"))]
            for g in self.param_groups
        ]
        if seen != self._seen:
            self._check_all()
            self._seen, self._assembly = seen, _assemble(self._buckets())
        return self._assembly

    def _buckets(self) -> list[Bucket]:
        """Group tensors of one shape and dtype, so that a step launches kernels per shape rather than per tensor or tap."""
        buckets: list[Bucket] = []
        for group in self.param_groups:
            alike: dict[tuple[torch.Size, torch.dtype], list[Tensor]] = defaultdict(list)
            for tensor in group["params"]:
                alike[tensor.shape, tensor.dtype].append(tensor)
            buckets += [Bucket(tensors, self._layout(group, shape), float(group["gain"])) for (shape, _), tensors in alike.items()]
        return buckets

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:  # type: ignore[override]
        """Update every parameter, and return the result of `closure`, which evaluates the loss again."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        require_dense(self.param_groups, type(self).__name__)
        together = self._assembled()
        squares = [bucket.squares() for bucket in together.buckets]
        measured = NORMS[self.param_groups[0]["norm"]](squares, [bucket.gradients for bucket in together.buckets])
        # G; a float32 sum over thousands of taps would lose digits of eta
        summary = (measured.duals * together.shares).sum(dtype=torch.float64)
        eta = automatic_learning_rate(summary)
        # 1 / 0 becomes 0 for taps without gradient; NaN stays and reaches the weights, where the harness detects it
        factors = torch.nan_to_num(measured.divisors.reciprocal(), nan=math.nan, posinf=0.0).mul_(eta).mul_(together.moves)
        split = torch.split(factors, together.sizes)
        if measured.directions is None:
            _subtract_gradients(together.buckets, split, [square.shape for square in squares])
        else:
            for bucket, direction, factor in zip(together.buckets, measured.directions, split, strict=True):
                bucket.subtract(direction, factor)
        for group in self.param_groups:
            group["lr"] = eta  # an output, where loggers look for the rate; the next step does not read it
        # still on the device: reading the values here would make the host wait for the step
        self._history.append((eta, summary))
        # ||update||_F of each matrix is its factor times ||X||_F
        self._moved = together, factors * measured.lengths
        return loss

    @torch.no_grad()
    def diagnostics(self) -> dict[str, Tensor]:
        """Return statistics of the steps since the last call, as 0-dim tensors on the weights' device.

        Returns:
            `eta/…` and `gradient_summary/…` with `last`, `mean`, `min` and `max` over at most the last 4096 steps; and
            `relative_update/NAME` for each parameter (its index if it has no name): ||update||_F of the last step over ||p||_F of the
            current weights, 0 if those are 0. Empty before the first step.
        """
        if self._moved is None:
            return {}
        read: dict[str, Tensor] = {}
        for name, values in zip(("eta", "gradient_summary"), map(torch.stack, zip(*self._history, strict=True)), strict=True):
            read |= {f"{name}/last": values[-1], f"{name}/mean": values.mean(), f"{name}/min": values.min(), f"{name}/max": values.max()}
        distances: dict[Tensor, Tensor] = {}
        together, lengths_of_all = self._moved
        for bucket, lengths in zip(together.buckets, torch.split(lengths_of_all, together.sizes), strict=True):
            moved = lengths.view(len(bucket.tensors), -1).square().sum(1).sqrt()
            distances |= zip(bucket.tensors, moved.unbind(), strict=True)
        for tensor, name in self._names().items():
            if tensor not in distances:
                continue  # added after the last step
            # float64, since float32 norms of large layers are off by up to 4e-5
            size = torch.linalg.vector_norm(tensor, dtype=torch.float64)
            read[f"relative_update/{name}"] = torch.where(size > 0, distances[tensor] / size, 0)
        self._forget()
        return read

    def _names(self) -> dict[Tensor, str]:
        names: dict[Tensor, str] = {}
        for group in self.param_groups:
            given = group.get("param_names") or range(len(names), len(names) + len(group["params"]))
            names |= {tensor: str(name) for tensor, name in zip(group["params"], given, strict=True)}
        return names


def scale(shape: tuple[int, ...]) -> float:
    """Return s = sqrt(d_out / d_in) / sqrt(k_x k_y) for a weight of shape (d_out, d_in) or (d_out, d_in, k_x, k_y)."""
    # a matrix of spectral norm s maps inputs of root mean square 1 to outputs of at most 1
    return math.sqrt(shape[0] / math.prod(shape[1:]))


def automatic_learning_rate(summary: Tensor) -> Tensor:
    """Return eta = log((1 + sqrt(1 + 4 G)) / 2), the solution of (e^eta - 1) e^eta = G, for gradient summaries G >= 0 of any shape."""
    # paper, Algorithm 1, with (sqrt(1 + 4 G) - 1) / 2 without cancellation: for small G, eta is G to first order
    return torch.log1p(summary / (0.5 + torch.sqrt(0.25 + summary)))


@torch.no_grad()
def initialise(weights: nn.Module | Iterable[Tensor], generator: torch.Generator, device: torch.device | None = None) -> None:
    """Initialise weights in place such that all non-zero singular values of each tap are `scale(shape)`.

    Args:
        weights: a network or its weights, each (d_out, d_in) or (d_out, d_in, k_x, k_y).
        generator: of random numbers. If it is on the CPU, a seed gives the same weights on every device, up to rounding.
        device: on which to compute the weights. Default: that of the first weight.

    Raises:
        Refused: AGD is not defined for a parameter. No weight was changed.
    """
    if isinstance(weights, nn.Module):
        require_shapes(weights.parameters())
        _check_layers(weights)
    named = dict(weights.named_parameters()) if isinstance(weights, nn.Module) else None
    tensors: list[Tensor] = list(weights if named is None else named.values())  # type: ignore[arg-type]
    _check(tensors, list(named) if named else None)
    if not tensors:
        return
    # at least float32: torch has no QR in half precision
    dtype = functools.reduce(torch.promote_types, {tensor.dtype for tensor in tensors}, torch.float32)
    shapes = [(math.prod(tensor.shape[2:]), tensor.shape[0], tensor.shape[1]) for tensor in tensors]
    drawn = semi_orthogonal(shapes, generator, dtype, tensors[0].device if device is None else device)
    for tensor, taps in zip(tensors, drawn, strict=True):
        # (k_x k_y, d_out, d_in) to (d_out, d_in, k_x, k_y)
        tensor.copy_(taps.mul_(scale(tensor.shape)).permute(1, 2, 0).view(tensor.shape))


def _check_layers(network: nn.Module) -> None:
    """Raise Refused for embeddings and transposed convolutions, whose first dimension is the input."""
    for part in parts(network):
        if part.tensor.dim() in (2, 4) and part.kind not in ("dense", "grouped", "stacked"):
            raise Refused(
                f"parameter {part.name} of {type(part.owner).__name__} has the shape {tuple(part.tensor.shape)} of a matrix or kernel, but "
                "is none that maps inputs to outputs; AGD is defined for linear layers and convolutions alone"
            )


def _check(tensors: Sequence[Tensor], names: list[str] | None, first: int = 0) -> None:
    require_shapes(tensors)
    for index, tensor in enumerate(tensors):
        # the paper has no rule for vectors, nor for kernels of other dimensions
        if tensor.dim() in (2, 4) and tensor.numel() > 0 and tensor.is_floating_point():
            continue
        name = f" ({names[index]})" if names else ""
        raise Refused(
            f"parameter {first + index}{name} has shape {tuple(tensor.shape)} and type {tensor.dtype}; AGD is defined for non-empty real "
            "matrices (out, in) and kernels (out, in, k, k) alone; the matrix-only profile removes biases and learned scales"
        )


def _assemble(buckets: list[Bucket]) -> _Assembly:
    # L, also of tensors without gradient: the bound counts every layer
    depth = sum(len(bucket.tensors) * bucket.layout.depth for bucket in buckets)
    shares = [bucket.layout.scale * bucket.layout.share / depth for bucket in buckets]
    tensors = [bucket.tensors[0] for bucket in buckets]
    dtype = torch.float64 if any(tensor.dtype == torch.float64 for tensor in tensors) else torch.float32

    def spread(values: list[float]) -> Tensor:
        # filled on the device: a copy from the host would make the host wait
        device = tensors[0].device
        return torch.cat([torch.full((size,), value, dtype=dtype, device=device) for value, size in zip(values, sizes, strict=True)])

    sizes = [bucket.matrices for bucket in buckets]
    return _Assembly(buckets, sizes, spread(shares), spread([b.gain * share for b, share in zip(buckets, shares, strict=True)]))


def _subtract_gradients(buckets: list[Bucket], factors: Sequence[Tensor], shapes: list[torch.Size]) -> None:
    """Subtract each gradient, times the factors of its taps, from its weight."""
    updates: list[tuple[Tensor, Tensor, Tensor]] = []
    for bucket, flat, shape in zip(buckets, factors, shapes, strict=True):
        if not bucket.separate:
            bucket.subtract(bucket.gradients(), flat)
            continue
        rows = flat.to(bucket.tensors[0].dtype).view(shape).unbind()
        updates += [(p, p.grad, factor) for p, factor in zip(bucket.tensors, rows, strict=True) if p.grad is not None]
    if updates:
        weights, gradients, scales = map(list, zip(*updates, strict=True))
        # one pass over memory, without a scaled copy of the gradients
        torch._foreach_addcmul_(weights, gradients, scales, value=-1)


def _gradient(tensor: Tensor) -> Tensor:
    """Return the gradient of a tensor, zeros if it has none."""
    return torch.zeros_like(tensor) if tensor.grad is None else tensor.grad


def _is_wide(tensor: Tensor) -> bool:
    """Return whether the dtype is precise enough to compute in."""
    return tensor.dtype in (torch.float32, torch.float64)
