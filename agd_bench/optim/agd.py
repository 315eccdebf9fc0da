"""Automatic gradient descent: an optimizer without hyperparameters for networks of matrices and convolution kernels.

For L weight tensors p of shape (d_out, d_in) or (d_out, d_in, k_x, k_y), and their mini-batch gradients g:

    s(p) = sqrt(d_out / d_in) / sqrt(k_x k_y)                    scale; k_x = k_y = 1 for a matrix
    G    = (1/L) sum_p s(p) sum_taps ||g_tap||_F                 gradient summary; a tap is g[:, :, i, j]
    eta  = log((1 + sqrt(1 + 4 G)) / 2)                          automatic learning rate
    p   <- p - gain (eta/L) s(p) g_tap / ||g_tap||_F             for every tap

It starts from semi-orthogonal taps times s(p), keeps no state but the weights, and is derived for the square loss:

    initialise(network, generator)
    optimizer = AGD(network.parameters())

References:
    Jeremy Bernstein, Chris Mingard, Kevin Huang, Navid Azizan, Yisong Yue: Automatic Gradient Descent: Deep Learning without
    Hyperparameters. arXiv 2304.05187, 2023. Written from its formulas; taps without gradient stay, as in its later code.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim.optimizer import ParamsT

from agd_bench.errors import Refused
from agd_bench.optim.orthogonal import semi_orthogonal


class AGD(torch.optim.Optimizer):
    """Automatic gradient descent.

    L counts every tensor handed over, in all groups: one whose gradient is missing counts as one whose gradient is zero, it
    stays and adds nothing to G. So hand over only what is to be trained, all on one device. A step never waits for that
    device: the learning rate it used stays there, a 0-dim float64 tensor in every group's `lr`, which no scheduler can change.
    Weights of fewer than 32 bits are updated in float32 and rounded once.
    """

    def __init__(self, params: ParamsT, gain: float = 1.0) -> None:
        """Take charge of `params`.

        Args:
            params: tensors, (name, tensor) pairs or groups of either; each (d_out, d_in) or (d_out, d_in, k_x, k_y).
            gain: factor on the update, above 0; 1 in every published result, while 10 can kill a small network for good.

        Raises:
            Refused: a parameter that AGD is not defined for, or a gain out of range.
        """
        super().__init__(params, {"gain": gain, "lr": torch.zeros((), dtype=torch.float64)})

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """Take charge of one more group, with the same refusals; a refused group is left out."""
        first = sum(len(group["params"]) for group in self.param_groups)
        super().add_param_group(param_group)
        group = self.param_groups[-1]
        try:
            _check(group["params"], group.get("param_names"), first)
            if not 0 < group["gain"] < math.inf:
                raise Refused(f"gain is {group['gain']!r}; AGD needs a finite gain above 0; leave it out for the published 1.0")
        except Refused:
            self.param_groups.pop()
            raise

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:  # type: ignore[override]
        """Update every parameter once; returns what `closure`, which evaluates the loss again, returns."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        depth = sum(len(group["params"]) for group in self.param_groups)
        buckets = [(bucket, float(group["gain"])) for group in self.param_groups for bucket in _by_shape(group["params"])]
        scales = [scale(bucket[0].shape) for bucket, _ in buckets]
        updates = [_gradients(bucket) for bucket, _ in buckets]
        # Summing squares is exact to 1e-7 in float32; torch's norms lose up to 4e-5 on large layers.
        squares = [update.square().flatten(1, 2).sum(1).flatten() for update in updates]
        sizes = [len(square) for square in squares]
        norms = torch.cat(squares).double().sqrt()
        summary = torch.cat(torch._foreach_mul(torch.split(norms, sizes), scales)).sum() / depth
        eta = automatic_learning_rate(summary)
        factors = torch.split(torch.where(norms > 0, eta / depth / norms, 0), sizes)
        factors = torch._foreach_mul(factors, [gain * s for (_, gain), s in zip(buckets, scales, strict=True)])
        for update, factor in zip(updates, factors, strict=True):
            # Repeated along d_in, a factor meets its tap in long contiguous rows, four times as fast as in rows of k_x k_y.
            rows = factor.to(update.dtype).view(len(update), 1, -1).repeat(1, 1, update.shape[2])
            update.flatten(2).mul_(rows)
        torch._foreach_sub_([p for bucket, _ in buckets for p in bucket], [u for update in updates for u in update.unbind()])
        for group in self.param_groups:
            group["lr"] = eta
        return loss


def scale(shape: tuple[int, ...]) -> float:
    """The factor s = sqrt(d_out / d_in) / sqrt(k_x k_y) of a weight of shape (d_out, d_in) or (d_out, d_in, k_x, k_y)."""
    return math.sqrt(shape[0] / math.prod(shape[1:]))


def automatic_learning_rate(summary: Tensor) -> Tensor:
    """The eta = log((1 + sqrt(1 + 4 G)) / 2) of gradient summaries G >= 0 of any shape: it solves (e^eta - 1) e^eta = G."""
    # (sqrt(1 + 4 G) - 1) / 2 without its cancellation, so that every digit of a small G counts: eta is G, to first order.
    return torch.log1p(2 * summary / (1 + torch.sqrt(1 + 4 * summary)))


@torch.no_grad()
def initialise(weights: nn.Module | Iterable[Tensor], generator: torch.Generator) -> None:
    """Draw the weights that AGD starts from, in place: all non-zero singular values of each tap become `scale(shape)`.

    Args:
        weights: a network, or its weights: each (d_out, d_in) or (d_out, d_in, k_x, k_y).
        generator: the source of randomness; if it is on the CPU, one seed gives the same weights on every device.

    Raises:
        Refused: a parameter that AGD is not defined for; then nothing was changed.
    """
    named = dict(weights.named_parameters()) if isinstance(weights, nn.Module) else None
    tensors: list[Tensor] = list(weights if named is None else named.values())  # type: ignore[arg-type]
    _check(tensors, list(named) if named else None)
    for tensor in tensors:
        dtype = torch.promote_types(tensor.dtype, torch.float32)
        taps = semi_orthogonal(math.prod(tensor.shape[2:]), tensor.shape[0], tensor.shape[1], generator, dtype)
        tensor.copy_(taps.permute(1, 2, 0).reshape(tensor.shape) * scale(tensor.shape))


def _check(tensors: Sequence[Tensor], names: list[str] | None, first: int = 0) -> None:
    for index, tensor in enumerate(tensors):
        if tensor.dim() in (2, 4) and tensor.numel() > 0 and tensor.is_floating_point():
            continue
        name = f" ({names[index]})" if names else ""
        raise Refused(
            f"parameter {first + index}{name} has shape {tuple(tensor.shape)} and type {tensor.dtype}; AGD is defined for non-empty real "
            "matrices (out, in) and kernels (out, in, k, k) alone; the matrix-only profile removes biases and learned scales"
        )


def _by_shape(tensors: list[Tensor]) -> list[list[Tensor]]:
    """Tensors of one shape and type go together, so that a step launches work per shape rather than per tensor or tap."""
    buckets: dict[tuple[torch.Size, torch.dtype], list[Tensor]] = defaultdict(list)
    for tensor in tensors:
        buckets[tensor.shape, tensor.dtype].append(tensor)
    return list(buckets.values())


def _gradients(bucket: list[Tensor]) -> Tensor:
    """A copy of the gradients of n tensors of one shape, (n, *shape), in float32 at least; zeros where there is none."""
    gradients = torch.stack([torch.zeros_like(tensor) if tensor.grad is None else tensor.grad for tensor in bucket])
    return gradients.to(torch.promote_types(gradients.dtype, torch.float32)).contiguous()
