"""NadamW: Adam with Nesterov momentum and decoupled weight decay.

For a parameter p with gradient g, at step t = 1, 2, …:

    p <- (1 - lr * weight_decay) p
    m <- beta1 m + (1 - beta1) g          v <- beta2 v + (1 - beta2) g^2
    m' = beta1 m + (1 - beta1) g                                            Nesterov: one average ahead
    p <- p - lr * m' / (1 - beta1^t) / (sqrt(v / (1 - beta2^t)) + eps)

This is the variant of the AlgoPerf benchmark; `torch.optim.NAdam` differs.

References:
    Timothy Dozat: Incorporating Nesterov Momentum into Adam. ICLR workshop, 2016.
    Ilya Loshchilov, Frank Hutter: Decoupled Weight Decay Regularization. ICLR 2019, Algorithm 2.
    Dami Choi, Christopher Shallue, Zachary Nado, Jaehoon Lee, Chris Maddison, George Dahl: On Empirical Comparisons of
    Optimizers for Deep Learning. arXiv 1910.05446, 2019, table 1 (NAdam).
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.optim.optimizer import ParamsT

from agd_bench.errors import InputError
from agd_bench.optim.requirements import require_dense


class NadamW(torch.optim.Optimizer):
    """Adam with Nesterov momentum and decoupled weight decay. Parameters without gradient are skipped.

    Steps can be captured in a CUDA graph: if a group has `numbers`, 0-dim tensors on the device, they replace the values of `numbers()`.
    """

    capturable = True

    def __init__(
        self,
        params: ParamsT,
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 1e-2,
    ) -> None:
        """Create the optimizer.

        Args:
            params: tensors, (name, tensor) pairs or groups of either, of any shape.
            lr: learning rate, at least 0.
            betas: decay rates of the moving averages of the gradient and of its square, each in [0, 1).
            eps: added to the denominator, at least 0.
            weight_decay: decoupled, at least 0: each step scales weights by 1 - rate * weight_decay.

        Raises:
            InputError: a value is out of range.
        """
        for name, value, limit in (
            ("lr", lr, math.inf),
            ("betas[0]", betas[0], 1.0),
            ("betas[1]", betas[1], 1.0),
            ("eps", eps, math.inf),
            ("weight_decay", weight_decay, math.inf),
        ):
            if not 0 <= value < limit:
                raise InputError(f"{name} is {value!r}; NadamW needs it in [0, {limit:g})")
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
            # parameters of one age share bias corrections, and are updated by grouped operations
            ages: dict[int, list[Tensor]] = defaultdict(list)
            for parameter in group["params"]:
                if parameter.grad is not None:
                    ages[self._advance(parameter)].append(parameter)
            for age, parameters in ages.items():
                self._update(parameters, age, group)
        return loss

    def numbers(self, group: dict[str, Any], ahead: int = 0) -> tuple[float, float, float]:
        """Return the scalars that change with the step, for a captured step: factor of weight decay, root of the second moment's bias
        correction, and factor of the update.

        Args:
            group: with the current learning rate.
            ahead: number of steps after the next one.
        """
        # one age per group: all parameters of a captured step began together
        return self._numbers(group, 1 + ahead + max((self.state[p]["step"] for p in group["params"] if p in self.state), default=0))

    def _numbers(self, group: dict[str, Any], age: int) -> tuple[float, float, float]:
        beta1, beta2 = group["betas"]
        return 1 - group["lr"] * group["weight_decay"], math.sqrt(1 - beta2**age), -group["lr"] / (1 - beta1**age)

    def replayed(self, count: int) -> None:
        """Advance the step count by the number of replays of a captured step."""
        for state in self.state.values():
            state["step"] += count

    def _advance(self, parameter: Tensor) -> int:
        state = self.state[parameter]
        if not state:
            state["step"] = 0
            state["exp_avg"] = torch.zeros_like(parameter)
            state["exp_avg_sq"] = torch.zeros_like(parameter)
        state["step"] += 1
        return int(state["step"])

    def _update(self, parameters: list[Tensor], age: int, group: dict[str, Any]) -> None:
        beta1, beta2 = group["betas"]
        kept, correction, factor = group.get("numbers") or self._numbers(group, age)
        gradients = [parameter.grad for parameter in parameters if parameter.grad is not None]
        means = [self.state[parameter]["exp_avg"] for parameter in parameters]
        squares = [self.state[parameter]["exp_avg_sq"] for parameter in parameters]
        # before the update and outside the moments: decoupled (Loshchilov and Hutter, Algorithm 2)
        torch._foreach_mul_(parameters, kept)
        torch._foreach_lerp_(means, gradients, 1 - beta1)
        torch._foreach_mul_(squares, beta2)
        torch._foreach_addcmul_(squares, gradients, gradients, 1 - beta2)
        denominators = torch._foreach_sqrt(squares)
        # sqrt(v / c) = sqrt(v) / sqrt(c); eps comes after the correction
        torch._foreach_div_(denominators, correction)
        torch._foreach_add_(denominators, group["eps"])
        # m'; torch.optim.NAdam instead increases its momentum (Dozat's mu_t) and corrects m and g separately
        ahead = torch._foreach_lerp(means, gradients, 1 - beta1)
        # a captured step must read the rate from the device; a host number would be frozen in the graph
        if isinstance(factor, Tensor):
            torch._foreach_mul_(ahead, factor)
            torch._foreach_addcdiv_(parameters, ahead, denominators)
        else:
            torch._foreach_addcdiv_(parameters, ahead, denominators, factor)
