"""NadamW: Adam with Nesterov's momentum and decoupled weight decay.

For a parameter p with gradient g, at its step t = 1, 2, …:

    p <- (1 - lr * weight_decay) p
    m <- beta1 m + (1 - beta1) g          v <- beta2 v + (1 - beta2) g^2
    m' = beta1 m + (1 - beta1) g                                            Nesterov: look one average ahead
    p <- p - lr * m' / (1 - beta1^t) / (sqrt(v / (1 - beta2^t)) + eps)

`torch.optim.NAdam` differs: it lets the momentum grow over the steps (Dozat's mu_t) and corrects m and g apart. This is the
variant whose settings the AlgoPerf benchmark publishes.

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
    """Adam with Nesterov's momentum and decoupled weight decay; a parameter without gradient is skipped.

    Its steps can be captured: where a group has `numbers`, 0-dim tensors on the device, these stand for those of `numbers`.
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
        """Take charge of `params`.

        Args:
            params: tensors, (name, tensor) pairs or groups of either, of any shape.
            lr: learning rate, at least 0.
            betas: decay per step of the averages of the gradient and of its square, each in [0, 1).
            eps: added to the root mean square of the gradient, at least 0.
            weight_decay: decoupled, at least 0: each step scales weights by 1 - rate * weight_decay.

        Raises:
            InputError: a value out of range.
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
        """Update every parameter that has a gradient; returns what `closure`, which evaluates the loss again, returns."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        require_dense(self.param_groups, type(self).__name__)
        for group in self.param_groups:
            # Parameters of one age share their bias corrections, so that each age is updated by a few grouped operations.
            ages: dict[int, list[Tensor]] = defaultdict(list)
            for parameter in group["params"]:
                if parameter.grad is not None:
                    ages[self._advance(parameter)].append(parameter)
            for age, parameters in ages.items():
                self._update(parameters, age, group)
        return loss

    def numbers(self, group: dict[str, Any], ahead: int = 0) -> tuple[float, float, float]:
        """What changes from step to step whatever the gradients are: the share of the weights that stays, the root of the second moment's
        correction, and the factor of the direction; of the step so many after the next one, at the group's rate as it is.
        """
        return self._numbers(group, 1 + ahead + max((self.state[p]["step"] for p in group["params"] if p in self.state), default=0))

    def _numbers(self, group: dict[str, Any], age: int) -> tuple[float, float, float]:
        beta1, beta2 = group["betas"]
        return 1 - group["lr"] * group["weight_decay"], math.sqrt(1 - beta2**age), -group["lr"] / (1 - beta1**age)

    def replayed(self, count: int) -> None:
        """Count so many steps that were done without `step`, by replays of a captured one."""
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
        torch._foreach_mul_(parameters, kept)
        torch._foreach_lerp_(means, gradients, 1 - beta1)
        torch._foreach_mul_(squares, beta2)
        torch._foreach_addcmul_(squares, gradients, gradients, 1 - beta2)
        denominators = torch._foreach_sqrt(squares)
        torch._foreach_div_(denominators, correction)
        torch._foreach_add_(denominators, group["eps"])
        ahead = torch._foreach_lerp(means, gradients, 1 - beta1)
        if isinstance(factor, Tensor):
            torch._foreach_mul_(ahead, factor)
            torch._foreach_addcdiv_(parameters, ahead, denominators)
        else:
            torch._foreach_addcdiv_(parameters, ahead, denominators, factor)
