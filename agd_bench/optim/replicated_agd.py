"""Automatic gradient descent for K networks of one architecture at once: one set of launches, K learning rates.

Every parameter holds the K networks' weights behind one another, (K, d_out, d_in) or (K, d_out, d_in, k_x, k_y), and each network is
stepped exactly as `agd_bench.optim.agd.AGD` steps it alone, whatever becomes of the others.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence

import torch
from torch import Tensor

from agd_bench.errors import Refused
from agd_bench.optim.agd import automatic_learning_rate, scale


class ReplicatedAGD(torch.optim.Optimizer):
    """AGD for K networks at once, for the paper's norm.

    A step never waits for the device: the K learning rates that it used stay there, a float64 tensor (K,) in the group's `lr`.
    """

    def __init__(self, params: Iterable[Tensor], gain: float | Sequence[float] = 1.0) -> None:
        """Take charge of `params`.

        Args:
            params: stacked weights, all of the same K, float32 or float64, on one device; L counts all of them.
            gain: factor on the update, above 0; one for all networks, or K.

        Raises:
            Refused: a parameter that is no stack of matrices or kernels, stacks of different K, or a gain out of range.
        """
        tensors = list(params)
        counts = {tensor.shape[0] for tensor in tensors if tensor.dim() in (3, 5) and tensor.numel() > 0}
        wrong = next((t for t in tensors if t.dim() not in (3, 5) or not t.numel() or t.dtype not in (torch.float32, torch.float64)), None)
        if wrong is not None or len(counts) != 1:
            raise Refused(
                f"stacked weights have shapes {[tuple(tensor.shape) for tensor in tensors][:5]}; AGD for K networks takes (K, out, in) and "
                "(K, out, in, k, k) of one K, float32 or float64"
            )
        (self._count,) = counts
        gains = [float(gain)] * self._count if isinstance(gain, int | float) else [float(value) for value in gain]
        if len(gains) != self._count or not all(0 < value < math.inf for value in gains):
            raise Refused(f"gain is {gain!r}; give a finite number above 0, or {self._count} of them")
        device = tensors[0].device
        self._gains = torch.tensor(gains, dtype=torch.float64, device=device)
        super().__init__(tensors, {"lr": torch.zeros(self._count, dtype=torch.float64, device=device)})

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:  # type: ignore[override]
        """Update every parameter once; returns what `closure`, which evaluates the K losses again, returns."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        (group,) = self.param_groups
        alike: dict[tuple[torch.Size, torch.dtype], list[Tensor]] = defaultdict(list)
        for tensor in group["params"]:
            alike[tensor.shape, tensor.dtype].append(tensor)
        stacks = [torch.stack([torch.zeros_like(t) if t.grad is None else t.grad for t in tensors]) for tensors in alike.values()]
        # Sums of squares over the matrices, (tensors, K, *kernel): exact to 1e-7 in float32, where torch's norms lose up to 4e-5.
        lengths = [stack.square().sum((2, 3)).sqrt_() for stack in stacks]
        shares = [scale(shape[1:]) / len(group["params"]) for shape, _ in alike]
        summary = torch.stack(
            [share * length.movedim(1, 0).flatten(1).sum(1, dtype=torch.float64) for share, length in zip(shares, lengths, strict=True)]
        ).sum(0)
        eta = automatic_learning_rate(summary)
        for tensors, stack, length, share in zip(alike.values(), stacks, lengths, shares, strict=True):
            rates = (share * self._gains * eta).to(length.dtype).view(1, self._count, *[1] * (length.dim() - 2))
            # A tap without gradient gets the factor 0, while NaN stays and shows in the weights of its own network.
            factors = torch.nan_to_num(length.reciprocal(), nan=math.nan, posinf=0.0) * rates
            updates = stack.mul_(factors.view(*factors.shape[:2], 1, 1, *factors.shape[2:]))
            torch._foreach_sub_(tensors, list(updates.unbind()))
        group["lr"] = eta
        return loss
