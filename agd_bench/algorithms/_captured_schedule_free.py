"""Schedule-free optimizers whose steps can be captured in a CUDA graph.

Without `numbers` in its groups, a step is the package's own. With them, the same operations read what changes from step to step from the
device: the package computes it on the host, where a graph would freeze it. The package's settings `r = 0` and `weight_lr_power = 2` are
assumed.

References:
    Defazio, Yang, Khaled, Mishchenko, Mehta, Cutkosky: The Road Less Scheduled. NeurIPS 2024, arXiv 2405.15682 (Algorithm 1); package
    schedulefree.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from schedulefree import AdamWScheduleFree, SGDScheduleFree
from torch import Tensor


def _course(group: dict[str, Any], steps: int) -> tuple[float, float]:
    """Return the learning rate of a step, and the sum of the weights of the average up to it.

    Args:
        group: with `lr`, constant, and `warmup_steps`.
        steps: number of the step, from 1.
    """
    warm_up, rate = group["warmup_steps"], group["lr"]
    ramp = min(steps, warm_up)
    # weights are squared rates, and the rates of the warm-up are multiples of lr / warm_up: 1 + 4 + … + n² = n (n + 1) (2n + 1) / 6
    total = ramp * (ramp + 1) * (2 * ramp + 1) / (6 * max(1, warm_up) ** 2) + steps - ramp
    return rate * min(1.0, steps / max(1, warm_up)), rate**2 * total


class _Captured:
    """Steps that read `numbers` on the device, for an optimizer of the package."""

    capturable = True
    param_groups: list[dict[str, Any]]
    state: dict[Tensor, dict[str, Any]]

    def momentum_of(self, group: dict[str, Any]) -> float:
        """Return the weight of the average in the point at which gradients are computed."""
        return float(group["momentum"])

    def normalise(self, group: dict[str, Any], parameters: list[Tensor], gradients: list[Tensor]) -> None:
        """Divide the gradients in place by their sizes, if the optimizer does so."""

    def numbers(self, group: dict[str, Any], ahead: int = 0) -> tuple[float, ...]:
        """Return the scalars that change with the step: the rate, the share of `z` in the average, and the factor of the gradient.

        Args:
            group: one of its groups.
            ahead: number of steps after the next one.
        """
        rate, total = _course(group, group["k"] + ahead + 1)
        share = rate**2 / total if total else 0.0
        return rate, share, rate * (self.momentum_of(group) * (1 - share) - 1)

    def replayed(self, count: int) -> None:
        """Advance the step count by the number of replays of a captured step."""
        for group in self.param_groups:
            group["k"] += count
            rate, total = _course(group, group["k"])
            group |= {"scheduled_lr": rate, "lr_max": rate, "weight_sum": total}

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> Any:
        """Take a step, and return the result of `closure`, which evaluates the loss again."""
        if "numbers" not in self.param_groups[0]:
            return super().step(closure)  # type: ignore[misc]
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            self._update(group)
        self.replayed(1)
        return loss

    def _update(self, group: dict[str, Any]) -> None:
        parameters = [parameter for parameter in group["params"] if parameter.grad is not None]
        gradients = [parameter.grad for parameter in parameters]
        for parameter in parameters:
            if "z" not in self.state[parameter]:
                self.state[parameter]["z"] = torch.clone(parameter, memory_format=torch.preserve_format)
        points = [self.state[parameter]["z"] for parameter in parameters]
        rate, share, factor = group["numbers"][:3]
        self.normalise(group, parameters, gradients)
        if group["weight_decay"]:
            torch._foreach_add_(gradients, parameters, alpha=group["weight_decay"])
        # y + share (z - y), as torch's lerp, which takes no share on the device
        gaps = torch._foreach_sub(points, parameters)
        torch._foreach_mul_(gaps, share)
        torch._foreach_add_(parameters, gaps)
        torch._foreach_add_(parameters, torch._foreach_mul(gradients, factor))
        torch._foreach_sub_(points, torch._foreach_mul(gradients, rate))


class ScheduleFreeSGD(_Captured, SGDScheduleFree):  # type: ignore[misc]
    """Schedule-free SGD."""


class ScheduleFreeAdamW(_Captured, AdamWScheduleFree):  # type: ignore[misc]
    """Schedule-free AdamW; its last number is the bias correction of the second moment."""

    def momentum_of(self, group: dict[str, Any]) -> float:
        """Return beta1."""
        return float(group["betas"][0])

    def numbers(self, group: dict[str, Any], ahead: int = 0) -> tuple[float, ...]:
        """Return the scalars that change with the step."""
        return *super().numbers(group, ahead), 1 - group["betas"][1] ** (group["k"] + ahead + 1)

    def normalise(self, group: dict[str, Any], parameters: list[Tensor], gradients: list[Tensor]) -> None:
        """Divide the gradients in place by the root of their corrected second moment."""
        beta2, correction = group["betas"][1], group["numbers"][3]
        for parameter in parameters:
            if "exp_avg_sq" not in self.state[parameter]:
                self.state[parameter]["exp_avg_sq"] = torch.zeros_like(parameter, memory_format=torch.preserve_format)
        squares = [self.state[parameter]["exp_avg_sq"] for parameter in parameters]
        torch._foreach_mul_(squares, beta2)
        torch._foreach_addcmul_(squares, gradients, gradients, value=1 - beta2)
        sizes = torch._foreach_div(squares, correction)
        torch._foreach_sqrt_(sizes)
        torch._foreach_add_(sizes, group["eps"])
        torch._foreach_div_(gradients, sizes)
