"""The settings that the built-in sweep `calibration` chose: one for all workloads, by mean validation accuracy.

Published in leaderboards/calibration; a test holds them against its rows. They are frozen: a new calibration is a change of the algorithms.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from torch import nn

Built = TypeVar("Built")

SETTINGS: dict[str, dict[str, float]] = {
    "nadamw": {"learning_rate": 0.006205214139412001, "one_minus_beta1": 0.4220810949822563, "weight_decay": 0.05538028054577939},
    "adamw": {"learning_rate": 0.002851693436455493, "one_minus_beta1": 0.03263550847102874, "weight_decay": 0.25182911414122366},
    "sgd": {
        "end_factor": 0.01,
        "learning_rate": 0.05060561477622833,
        "one_minus_momentum": 0.023103424861978136,
        "weight_decay": 5.309404392847416e-07,
    },
    "prodigy": {"one_minus_beta1": 0.16544446340691676, "warm_up": 0.05, "weight_decay": 0.004431769615240988},
    "dadapt_adam": {"one_minus_beta1": 0.1158841872954904, "warm_up": 0.05, "weight_decay": 0.00012973333923706597},
    "dadapt_sgd": {"one_minus_momentum": 0.2671763778956653, "weight_decay": 0.0003333899183952247},
    "schedule_free_adamw": {
        "learning_rate": 0.017872156211641493,
        "one_minus_beta1": 0.06304708476447536,
        "weight_decay": 0.0016326345836433973,
    },
    "schedule_free_sgd": {
        "learning_rate": 0.732832186772426,
        "one_minus_momentum": 0.1193529840772396,
        "weight_decay": 3.9027108019688684e-05,
    },
    "dog": {"gamma": 4.082948191496144, "weight_decay": 0.00013883679545831964},
    "ldog": {"gamma": 11.092737852925259, "weight_decay": 0.0006431030232740986},
    "mechanic": {"one_minus_beta1": 0.22064522228528458, "weight_decay": 0.38602830618857564},
}


def at_setting(build: Callable[..., Built], name: str) -> Callable[[nn.Module, int], Built]:
    """The `build` of an algorithm at its calibrated setting, which leaves no hyperparameter.

    Args:
        build: of the algorithm that was searched.
        name: of its setting.
    """

    def build_at_setting(network: nn.Module, steps: int) -> Built:
        """What the algorithm trains with over `steps` training steps, at the calibrated setting."""
        return build(network, steps, **SETTINGS[name])

    return build_at_setting
