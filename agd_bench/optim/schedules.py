"""Schedules of the learning rate over a known number of training steps.

Each returns a `LambdaLR` that is to be stepped once after every training step; step k, from 0, then trains at the peak rate
times the factor for k. A warm-up of share w takes W = floor(w * steps) steps, with factor k / W: its first step has rate 0,
as in the sources of our recipes, and there is none while w * steps < 1. After the last step the factor stays.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR

from agd_bench.errors import InputError


def cosine(optimizer: Optimizer, steps: int, warm_up: float = 0.0) -> LambdaLR:
    """Warm up, then half a period of a cosine from the peak to 0, which is reached after the last step.

    Args:
        optimizer: whose rates are taken as the peak.
        steps: total number of training steps, at least 1.
        warm_up: fraction of the steps, in [0, 1).

    Raises:
        InputError: steps or a share out of range.

    References:
        Ilya Loshchilov, Frank Hutter: SGDR: Stochastic Gradient Descent with Warm Restarts. ICLR 2017, equation 5.
    """
    start = _warm_up_steps(steps, warm_up)

    def factor(k: int) -> float:
        return k / start if k < start else (1 + math.cos(math.pi * min(1, (k - start) / (steps - start)))) / 2

    return LambdaLR(optimizer, factor)


def linear(optimizer: Optimizer, steps: int, warm_up: float = 0.0, decay: float = 1.0, end_factor: float = 0.0) -> LambdaLR:
    """Warm up, then fall linearly from the peak to `end_factor` times the peak, and stay there.

    Args:
        optimizer: whose rates are taken as the peak.
        steps: total number of training steps, at least 1.
        warm_up: fraction of the steps, in [0, 1).
        decay: share of the steps after the warm-up that the fall takes, in (0, 1].
        end_factor: in [0, 1].

    Raises:
        InputError: steps, a share or the factor out of range.
    """
    start = _warm_up_steps(steps, warm_up)
    if not (0 < decay <= 1 and 0 <= end_factor <= 1):
        raise InputError(f"decay is {decay!r} and end_factor {end_factor!r}; give a decay in (0, 1] and an end_factor in [0, 1]")
    # A fall of less than a step would divide by 0: it takes one at least.
    length = max(1, math.floor(decay * (steps - start)))

    def factor(k: int) -> float:
        return k / start if k < start else 1 - (1 - end_factor) * min(1, (k - start) / length)

    return LambdaLR(optimizer, factor)


def staircase(optimizer: Optimizer, steps: int, drops: Sequence[float], drop_factor: float) -> LambdaLR:
    """Stay at the peak, and multiply the rate by `drop_factor` at certain moments.

    Args:
        optimizer: whose rates are taken as the peak.
        steps: total number of training steps, at least 1.
        drops: when, as shares of the steps, each in (0, 1].
        drop_factor: in (0, 1].

    Raises:
        InputError: steps, a share or the factor out of range.
    """
    _warm_up_steps(steps, 0.0)
    if not (all(0 < drop <= 1 for drop in drops) and 0 < drop_factor <= 1):
        raise InputError(f"drops are {list(drops)!r} and drop_factor {drop_factor!r}; give shares and a factor in (0, 1]")

    def factor(k: int) -> float:
        return drop_factor ** sum(k >= drop * steps for drop in drops)

    return LambdaLR(optimizer, factor)


def _warm_up_steps(steps: int, warm_up: float) -> int:
    if steps < 1:
        raise InputError(f"steps is {steps!r}; a schedule needs at least 1 training step")
    if not 0 <= warm_up < 1:
        raise InputError(f"warm_up is {warm_up!r}; give a share of the steps in [0, 1)")
    return math.floor(warm_up * steps)
