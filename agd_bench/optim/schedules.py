"""Learning-rate schedules over a fixed number of training steps.

Each function returns a `LambdaLR`, to be stepped after every training step. Step k, from 0, then uses the peak rate times a factor. A
warm-up over the fraction w takes W = floor(w * steps) steps with factor k / W, so its first step has rate 0, as in the sources of our
recipes. After the last step, the factor is constant.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR

from agd_bench.errors import InputError


def cosine(optimizer: Optimizer, steps: int, warm_up: float = 0.0) -> LambdaLR:
    """Return a schedule with linear warm-up and cosine decay to 0, which is reached after the last step.

    Args:
        optimizer: its current rates are the peak.
        steps: total number of training steps, at least 1.
        warm_up: fraction of the steps, in [0, 1).

    Raises:
        InputError: an argument is out of range.

    References:
        Ilya Loshchilov, Frank Hutter: SGDR: Stochastic Gradient Descent with Warm Restarts. ICLR 2017, equation 5.
    """
    start = _warm_up_steps(steps, warm_up)

    def factor(k: int) -> float:
        # start < steps because warm_up < 1, so nothing is divided by 0
        return k / start if k < start else (1 + math.cos(math.pi * min(1, (k - start) / (steps - start)))) / 2

    return LambdaLR(optimizer, factor)


def linear(optimizer: Optimizer, steps: int, warm_up: float = 0.0, decay: float = 1.0, end_factor: float = 0.0) -> LambdaLR:
    """Return a schedule with linear warm-up and linear decay to `end_factor` times the peak, then constant.

    Args:
        optimizer: its current rates are the peak.
        steps: total number of training steps, at least 1.
        warm_up: fraction of the steps, in [0, 1).
        decay: fraction of the steps after the warm-up, in (0, 1].
        end_factor: in [0, 1].

    Raises:
        InputError: an argument is out of range.
    """
    start = _warm_up_steps(steps, warm_up)
    if not (0 < decay <= 1 and 0 <= end_factor <= 1):
        raise InputError(f"decay is {decay!r} and end_factor {end_factor!r}; give a decay in (0, 1] and an end_factor in [0, 1]")
    # at least one step, to avoid division by 0
    length = max(1, math.floor(decay * (steps - start)))

    def factor(k: int) -> float:
        return k / start if k < start else 1 - (1 - end_factor) * min(1, (k - start) / length)

    return LambdaLR(optimizer, factor)


def staircase(optimizer: Optimizer, steps: int, drops: Sequence[float], drop_factor: float) -> LambdaLR:
    """Return a step schedule, which multiplies the rate by `drop_factor` at given steps.

    Args:
        optimizer: its current rates are the peak.
        steps: total number of training steps, at least 1.
        drops: when to drop, as fractions of the steps, each in (0, 1].
        drop_factor: in (0, 1].

    Raises:
        InputError: an argument is out of range.
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
    return math.floor(warm_up * steps)  # a warm-up of less than one step is none
