"""LAMB: Adam with the update of each tensor scaled to the norm of its weights.

For a parameter p with gradient g, at step t = 1, 2, …:

    m <- beta1 m + (1 - beta1) g          v <- beta2 v + (1 - beta2) g^2
    r = m / (1 - beta1^t) / (sqrt(v / (1 - beta2^t)) + eps) + weight_decay p
    p <- p - lr (||p|| / ||r||) r                                               the ratio is 1 if a norm is 0

References:
    Yang You, Jing Li, Sashank Reddi, Jonathan Hseu, Sanjiv Kumar, Srinadh Bhojanapalli, Xiaodan Song, James Demmel, Kurt Keutzer,
    Cho-Jui Hsieh: Large Batch Optimization for Deep Learning: Training BERT in 76 minutes. ICLR 2020, arXiv 1904.00962, Algorithm 2
    (with the identity as the scaling function).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.optim.optimizer import ParamsT

from agd_bench.errors import InputError
from agd_bench.optim.requirements import require_dense


class LAMB(torch.optim.Optimizer):
    """Adam scaled per tensor to the norm of the weights. Parameters without gradient are skipped.

    Steps can be captured in a CUDA graph: if a group has `numbers`, 0-dim tensors on the device, they replace the values of `numbers()`.
    """

    capturable = True

    def __init__(
        self,
        params: ParamsT,
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-6,
        weight_decay: float = 0.01,
    ) -> None:
        """Create the optimizer.

        Args:
            params: tensors, (name, tensor) pairs or groups of either, of any shape.
            lr: learning rate, at least 0; the norm of an update relative to that of the weights.
            betas: decay rates of the moving averages of the gradient and of its square, each in [0, 1).
            eps: added to the denominator, at least 0.
            weight_decay: coefficient of the weights in the update, at least 0.

        Raises:
            InputError: a value is out of range.
        """
        limits = {"lr": (lr, math.inf), "betas[0]": (betas[0], 1.0), "betas[1]": (betas[1], 1.0)}
        limits |= {"eps": (eps, math.inf), "weight_decay": (weight_decay, math.inf)}
        for name, (value, limit) in limits.items():
            if not 0 <= value < limit:
                raise InputError(f"{name} is {value!r}; LAMB needs it in [0, {limit:g})")
        super().__init__(params, {"lr": lr, "betas": betas, "eps": eps, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:  # type: ignore[override]
        """Update every parameter that has a gradient, and return the result of `closure`, which evaluates the loss again."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        require_dense(self.param_groups, type(self).__name__)
        for group in self.param_groups:
            moved = [parameter for parameter in group["params"] if parameter.grad is not None]
            if moved:
                self._update(moved, group)
        return loss

    def numbers(self, group: dict[str, Any], ahead: int = 0) -> tuple[float, float, float]:
        """Return the scalars that change with the step, for a captured step: root of the second moment's bias correction, bias correction
        of the first moment, and factor of the update.

        Args:
            group: with the current learning rate.
            ahead: number of steps after the next one.
        """
        # one age per group: all parameters of a captured step began together
        age = 1 + ahead + max((self.state[p]["step"] for p in group["params"] if p in self.state), default=0)
        beta1, beta2 = group["betas"]
        return math.sqrt(1 - beta2**age), 1 - beta1**age, -group["lr"]

    def replayed(self, count: int) -> None:
        """Advance the step count by the number of replays of a captured step."""
        for state in self.state.values():
            state["step"] += count

    def _update(self, parameters: list[Tensor], group: dict[str, Any]) -> None:
        states = [self._state(parameter) for parameter in parameters]
        gradients = [parameter.grad for parameter in parameters if parameter.grad is not None]
        means, squares = [state["exp_avg"] for state in states], [state["exp_avg_sq"] for state in states]
        beta1, beta2 = group["betas"]
        torch._foreach_lerp_(means, gradients, 1 - beta1)
        torch._foreach_mul_(squares, beta2)
        torch._foreach_addcmul_(squares, gradients, gradients, 1 - beta2)
        denominators = torch._foreach_sqrt(squares)
        if "numbers" in group:
            correction, shrinkage, factor = group["numbers"]
        else:
            correction = [math.sqrt(1 - beta2 ** state["step"]) for state in states]
            shrinkage, factor = [1 - beta1 ** state["step"] for state in states], None
        # sqrt(v / c) = sqrt(v) / sqrt(c); eps comes after the correction
        torch._foreach_div_(denominators, correction)
        torch._foreach_add_(denominators, group["eps"])
        directions = torch._foreach_div(means, denominators)
        torch._foreach_div_(directions, shrinkage)
        # before the ratio, which is of the whole update including weight decay (Algorithm 2)
        torch._foreach_add_(directions, parameters, alpha=group["weight_decay"])
        # _foreach_norm of torch 2.15 copies offsets from the host, which a captured step must not
        sizes = (
            (torch.linalg.vector_norm(weight), torch.linalg.vector_norm(direction))
            for weight, direction in zip(parameters, directions, strict=True)
        )
        # ratio 1 for weights of 0, such as biases at the start, which could never move otherwise
        ratios = [torch.where((weight > 0) & (length > 0), weight / length, 1.0) for weight, length in sizes]
        torch._foreach_mul_(directions, ratios)
        if factor is None:
            torch._foreach_add_(parameters, directions, alpha=-group["lr"])
        else:
            # a captured step must read the rate from the device; a host number would be frozen in the graph
            torch._foreach_mul_(directions, factor)
            torch._foreach_add_(parameters, directions)

    def _state(self, parameter: Tensor) -> dict[str, Any]:
        state: dict[str, Any] = self.state[parameter]
        if not state:
            state |= {"step": 0, "exp_avg": torch.zeros_like(parameter), "exp_avg_sq": torch.zeros_like(parameter)}
        state["step"] += 1
        return state
