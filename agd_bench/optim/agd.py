"""Automatic gradient descent: an optimizer without hyperparameters for networks of matrices and convolution kernels.

For L weight tensors p of shape (d_out, d_in) or (d_out, d_in, k_x, k_y), and their mini-batch gradients g:

    s(p) = sqrt(d_out / d_in) / sqrt(k_x k_y)                    scale; k_x = k_y = 1 for a matrix
    G    = (1/L) sum_p s(p) sum_taps ||g_tap||_F                 gradient summary; a tap is g[:, :, i, j]
    eta  = log((1 + sqrt(1 + 4 G)) / 2)                          automatic learning rate
    p   <- p - gain (eta/L) s(p) g_tap / ||g_tap||_F             for every tap

It starts from semi-orthogonal taps times s(p), keeps no state but the weights, and is derived for the square loss:

    initialise(network, generator)
    optimizer = AGD(network.parameters())

`norm="operator"` and `norm="dual"` are the same bound without its assumption on the gradients' rank (`matrix_norms` has them);
they are ours, published nowhere. The default is the paper's method.

References:
    Jeremy Bernstein, Chris Mingard, Kevin Huang, Navid Azizan, Yisong Yue: Automatic Gradient Descent: Deep Learning without
    Hyperparameters. arXiv 2304.05187, 2023. Written from its formulas; taps without gradient stay, as in its later code.
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
"""Values from which the norms of a matrix's rows are faster than its squares, which have to be kept."""
LONGEST_ROW = 8192
"""Values in the rows of matrices whose norms torch still computes exactly enough in float32."""
HISTORY = 4096
"""Steps at most over which `AGD.diagnostics` summarises; each keeps two numbers on the device until they are read."""


@dataclass(frozen=True)
class Layout:
    """How AGD sees a tensor: as blocks, each of one matrix a tap.

    Attributes:
        blocks: how many; they divide the first dimension, each (rows, columns, *kernel).
        scale: s, of each block.
        share: of a block's matrices in the bound, relative to a layer's.
        depth: what the tensor adds to L.
        flat: whether a block is a vector instead, of the tensor's elements in order.
    """

    blocks: int
    scale: float
    share: float = 1.0
    depth: float = 1.0
    flat: bool = False


@dataclass(frozen=True)
class Bucket:
    """Tensors of one shape, type, layout and gain, whose work is launched together."""

    tensors: list[Tensor]
    layout: Layout
    gain: float

    @property
    def matrices(self) -> int:
        """How many matrices the tensors are: blocks times taps."""
        taps = 1 if self.layout.flat else math.prod(self.tensors[0].shape[2:])
        return len(self.tensors) * self.layout.blocks * taps

    @property
    def separate(self) -> bool:
        """Whether a step passes over each tensor where it lies: on a CPU that saves a copy, on a GPU it would be a launch for each."""
        first = self.tensors[0]
        return self.layout.blocks == 1 and not self.layout.flat and not first.is_cuda and _is_wide(first)

    def gradients(self) -> Tensor:
        """A copy of the gradients, in float32 at least, zeros where there is none: (n blocks, rows, columns, *kernel)."""
        gradients = [_gradient(tensor) for tensor in self.tensors]
        # Joined along the first dimension, channels-last kernels stay as they lie in memory.
        joined = torch.stack(gradients) if self.layout.flat else torch.cat(gradients)
        return self._blocks(joined if _is_wide(joined) else joined.float(), len(self.tensors))

    def squares(self) -> Tensor:
        """The squared Frobenius norm of each block's taps, (n blocks, *kernel)."""
        first = self.tensors[0]
        # Sums of squares, and norms of short rows, are exact to 1e-7 in float32; torch's norms lose up to 4e-5 on large layers.
        if self.separate and first.dim() == 2 and first.numel() >= LARGE and first.shape[1] <= LONGEST_ROW:
            rows = [torch.linalg.vector_norm(_gradient(tensor), dim=1) for tensor in self.tensors]
            return torch.stack(rows).square_().sum(1)
        if len(self.tensors) == 1 and first.grad is not None and _is_wide(first):
            squares = self._blocks(first.grad, 1).square()
        else:
            squares = self.gradients().square_()
        return squares.sum((1, 2))

    def subtract(self, directions: Tensor, factors: Tensor) -> None:
        """Take `directions`, which is written to, times the factor of each block and tap from the tensors."""
        directions.mul_(factors.to(directions.dtype).view(directions.shape[0], 1, 1, *directions.shape[3:]))
        shape = self.tensors[0].shape
        updates = directions.view(-1, *shape).unbind() if self.layout.flat else torch.split(directions.flatten(0, 1), shape[0])
        torch._foreach_sub_(self.tensors, list(updates))

    def _blocks(self, joined: Tensor, count: int) -> Tensor:
        if self.layout.flat:
            return joined.reshape(count * self.layout.blocks, -1, 1)
        blocks = count * self.layout.blocks
        return joined.view(blocks, joined.shape[0] // blocks, *joined.shape[1:])


@dataclass(frozen=True)
class _Assembly:
    """All buckets, and what the step needs of them.

    Attributes:
        buckets: all tensors.
        sizes: matrices in each bucket.
        shares: what each matrix counts in the bound, s times its share over L; flat, bucket after bucket.
        moves: how far each goes for an eta of 1: the same times the bucket's gain.
    """

    buckets: list[Bucket]
    sizes: list[int]
    shares: Tensor
    moves: Tensor


class AGD(torch.optim.Optimizer):
    """Automatic gradient descent.

    L counts every tensor handed over, in all groups: one whose gradient is missing counts as one whose gradient is zero, it
    stays and adds nothing to G. So hand over only what is to be trained, all on one device. A step never waits for that
    device (but for the singular values of the other norms): the learning rate it used stays there, a 0-dim float64 tensor in
    every group's `lr`, which no scheduler can change. Weights of fewer than 32 bits are updated in float32 and rounded once.
    Kernels that lie channels-last in memory, as the harness keeps them, are stepped up to four times as fast on a CPU.
    """

    def __init__(self, params: ParamsT, gain: float = 1.0, norm: str = "frobenius") -> None:
        """Take charge of `params`.

        Args:
            params: tensors, (name, tensor) pairs or groups of either; each (d_out, d_in) or (d_out, d_in, k_x, k_y).
            gain: factor on the update, above 0; 1 in every published result, while 10 can kill a small network for good.
            norm: "frobenius", the paper's; "operator" or "dual", its bound without the assumption of rank 1.

        Raises:
            Refused: a parameter that AGD is not defined for, a gain out of range, or an unknown norm.
        """
        self._forget()
        self._seen: list[Any] = []
        super().__init__(params, {"gain": gain, "norm": norm, "lr": torch.zeros((), dtype=torch.float64)})

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Go on from a copy or a checkpoint; those from before there were norms are of the paper's."""
        super().__setstate__(state)
        self._forget()
        self._seen = []
        for group in self.param_groups:
            group.setdefault("norm", "frobenius")

    @property
    def capturable(self) -> bool:
        """Whether a step can be captured in a CUDA graph; singular values are computed with a wait for the device."""
        return bool(self.param_groups[0]["norm"] == "frobenius")

    def _forget(self) -> None:
        self._history: deque[tuple[Tensor, Tensor]] = deque(maxlen=HISTORY)
        self._moved: tuple[_Assembly, Tensor] | None = None

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """Take charge of one more group, with the same refusals; a refused group is left out."""
        super().add_param_group(param_group)
        try:
            self._check_all()
        except Refused:
            self.param_groups.pop()
            raise

    def _check_all(self) -> None:
        """Refuse tensors and settings that AGD is not defined for, whoever put them into the groups."""
        first = 0
        for group in self.param_groups:
            self._check(group, first)
            first += len(group["params"])
            if not 0 < group["gain"] < math.inf:
                raise Refused(f"gain is {group['gain']!r}; AGD needs a finite gain above 0; leave it out for the published 1.0")
            if group["norm"] not in NORMS or group["norm"] != self.param_groups[0]["norm"]:
                allowed = ", ".join(map(repr, NORMS))
                raise Refused(f"norm is {group['norm']!r}; AGD takes one of {allowed}, the same in all groups; the first is the paper's")
        devices = {str(tensor.device) for group in self.param_groups for tensor in group["params"]}
        if len(devices) > 1:
            raise Refused(f"parameters are on {', '.join(sorted(devices))}; AGD needs all of them on one device")

    def _check(self, group: dict[str, Any], first: int) -> None:
        """Refuse what AGD is not defined for; `first` is the number of the group's first parameter."""
        _check(group["params"], group.get("param_names"), first)

    def _layout(self, group: dict[str, Any], shape: torch.Size) -> Layout:
        """How a tensor of that shape in that group is seen."""
        return Layout(1, scale(shape))

    def _assembled(self) -> _Assembly:
        """The tensors by shape, assembled anew when a group's tensors, their shapes, types or devices, or its settings have changed."""
        # Compared by content: users replace entries of the lists, and `network.to` changes tensors where they are.
        seen = [
            [(id(p), p.shape, p.dtype, p.device) for p in g["params"]] + [(g["gain"], g["norm"], g.get("kind"), g.get("blocks"))]
            for g in self.param_groups
        ]
        if seen != self._seen:
            self._check_all()
            self._seen, self._assembly = seen, _assemble(self._buckets())
        return self._assembly

    def _buckets(self) -> list[Bucket]:
        """The tensors together that are alike, so that a step launches work per shape rather than per tensor or tap."""
        buckets: list[Bucket] = []
        for group in self.param_groups:
            alike: dict[tuple[torch.Size, torch.dtype], list[Tensor]] = defaultdict(list)
            for tensor in group["params"]:
                alike[tensor.shape, tensor.dtype].append(tensor)
            buckets += [Bucket(tensors, self._layout(group, shape), float(group["gain"])) for (shape, _), tensors in alike.items()]
        return buckets

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:  # type: ignore[override]
        """Update every parameter once; returns what `closure`, which evaluates the loss again, returns."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        require_dense(self.param_groups, type(self).__name__)
        together = self._assembled()
        squares = [bucket.squares() for bucket in together.buckets]
        measured = NORMS[self.param_groups[0]["norm"]](squares, [bucket.gradients for bucket in together.buckets])
        summary = (measured.duals * together.shares).sum(dtype=torch.float64)
        eta = automatic_learning_rate(summary)
        # A tap without gradient gets the factor 0, while NaN stays and shows in the weights, where a harness finds it.
        factors = torch.nan_to_num(measured.divisors.reciprocal(), nan=math.nan, posinf=0.0).mul_(eta).mul_(together.moves)
        split = torch.split(factors, together.sizes)
        if measured.directions is None:
            _subtract_gradients(together.buckets, split, [square.shape for square in squares])
        else:
            for bucket, direction, factor in zip(together.buckets, measured.directions, split, strict=True):
                bucket.subtract(direction, factor)
        for group in self.param_groups:
            group["lr"] = eta
        self._history.append((eta, summary))
        self._moved = together, factors * measured.lengths
        return loss

    @torch.no_grad()
    def diagnostics(self) -> dict[str, Tensor]:
        """What happened since this was last asked, as 0-dim tensors on the weights' device; asking begins anew.

        Returns:
            `eta/…` and `gradient_summary/…` with `last`, `mean`, `min` and `max` over the steps since (the last 4096 at most);
            and `relative_update/NAME` for each parameter, by its number where it has no name: ||update||_F of the last step
            over ||p||_F of the weights now, 0 where those are 0. Empty before the first step.
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
                continue  # it joined after the last step
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
    """The factor s = sqrt(d_out / d_in) / sqrt(k_x k_y) of a weight of shape (d_out, d_in) or (d_out, d_in, k_x, k_y)."""
    return math.sqrt(shape[0] / math.prod(shape[1:]))


def automatic_learning_rate(summary: Tensor) -> Tensor:
    """The eta = log((1 + sqrt(1 + 4 G)) / 2) of gradient summaries G >= 0 of any shape: it solves (e^eta - 1) e^eta = G."""
    # (sqrt(1 + 4 G) - 1) / 2 without its cancellation, so that every digit of a small G counts: eta is G, to first order.
    return torch.log1p(summary / (0.5 + torch.sqrt(0.25 + summary)))


@torch.no_grad()
def initialise(weights: nn.Module | Iterable[Tensor], generator: torch.Generator, device: torch.device | None = None) -> None:
    """Draw the weights that AGD starts from, in place: all non-zero singular values of each tap become `scale(shape)`.

    Args:
        weights: a network, or its weights: each (d_out, d_in) or (d_out, d_in, k_x, k_y).
        generator: the source of randomness; if it is on the CPU, one seed gives the same weights on every device, to rounding.
        device: where to compute them; default: where the first of the weights is.

    Raises:
        Refused: a parameter that AGD is not defined for; then nothing was changed.
    """
    if isinstance(weights, nn.Module):
        require_shapes(weights.parameters())
        _check_layers(weights)
    named = dict(weights.named_parameters()) if isinstance(weights, nn.Module) else None
    tensors: list[Tensor] = list(weights if named is None else named.values())  # type: ignore[arg-type]
    _check(tensors, list(named) if named else None)
    if not tensors:
        return
    dtype = functools.reduce(torch.promote_types, {tensor.dtype for tensor in tensors}, torch.float32)
    shapes = [(math.prod(tensor.shape[2:]), tensor.shape[0], tensor.shape[1]) for tensor in tensors]
    drawn = semi_orthogonal(shapes, generator, dtype, tensors[0].device if device is None else device)
    for tensor, taps in zip(tensors, drawn, strict=True):
        tensor.copy_(taps.mul_(scale(tensor.shape)).permute(1, 2, 0).view(tensor.shape))


def _check_layers(network: nn.Module) -> None:
    """Refuse what has the shape of a matrix and is none: a table's rows and a transposed kernel lie the other way around."""
    for part in parts(network):
        if part.tensor.dim() in (2, 4) and part.kind not in ("dense", "grouped", "stacked"):
            raise Refused(
                f"parameter {part.name} of {type(part.owner).__name__} has the shape {tuple(part.tensor.shape)} of a matrix or kernel, but "
                "is none that maps inputs to outputs; AGD is defined for linear layers and convolutions alone"
            )


def _check(tensors: Sequence[Tensor], names: list[str] | None, first: int = 0) -> None:
    require_shapes(tensors)
    for index, tensor in enumerate(tensors):
        if tensor.dim() in (2, 4) and tensor.numel() > 0 and tensor.is_floating_point():
            continue
        name = f" ({names[index]})" if names else ""
        raise Refused(
            f"parameter {first + index}{name} has shape {tuple(tensor.shape)} and type {tensor.dtype}; AGD is defined for non-empty real "
            "matrices (out, in) and kernels (out, in, k, k) alone; the matrix-only profile removes biases and learned scales"
        )


def _assemble(buckets: list[Bucket]) -> _Assembly:
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
    """Take each gradient times the factors of its taps from its weights."""
    updates: list[tuple[Tensor, Tensor, Tensor]] = []
    for bucket, flat, shape in zip(buckets, factors, shapes, strict=True):
        if not bucket.separate:
            bucket.subtract(bucket.gradients(), flat)
            continue
        rows = flat.to(bucket.tensors[0].dtype).view(shape).unbind()
        updates += [(p, p.grad, factor) for p, factor in zip(bucket.tensors, rows, strict=True) if p.grad is not None]
    if updates:
        weights, gradients, scales = map(list, zip(*updates, strict=True))
        torch._foreach_addcmul_(weights, gradients, scales, value=-1)


def _gradient(tensor: Tensor) -> Tensor:
    """The tensor's gradient; zeros where there is none."""
    return torch.zeros_like(tensor) if tensor.grad is None else tensor.grad


def _is_wide(tensor: Tensor) -> bool:
    """Whether the tensor's own type is precise enough to compute in."""
    return tensor.dtype in (torch.float32, torch.float64)
