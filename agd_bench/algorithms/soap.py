"""SOAP: Adam in the eigenbasis of Shampoo's preconditioner, a second-order method.

The package heavyball's, at its defaults but for the basis, which is renewed every 10 steps as the paper's authors do; a warm-up over
5 % of the steps, then a cosine to 0. It runs without compilation, which would cost seconds to minutes for each architecture. The
ranges are our own, around the authors' settings (rate 3e-3, beta1 0.95, weight decay 0.01). Cross-entropy.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import heavyball
from torch import nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR

from agd_bench.optim.losses import cross_entropy
from agd_bench.optim.schedules import cosine
from agd_bench.optim.starting import as_built

RANGES: dict[str, dict[str, object]] = {
    "learning_rate": {"low": 3e-4, "high": 3e-2, "log": True},
    "one_minus_beta1": {"low": 2e-2, "high": 0.3, "log": True},
    "weight_decay": {"low": 1e-4, "high": 0.1, "log": True},
}
TIER = "externally tuned"
PACKAGES = ("heavyball",)
EXTRA = "competitors"
PAPER = "Vyas et al. 2025, arXiv 2409.11321"
SOURCE = "Nikhil Vyas et al.: SOAP: Improving and Stabilizing Shampoo using Adam. ICLR 2025; package heavyball (ranges our own)"
LICENCE = "MIT; package heavyball: BSD-2-Clause"

prepare = as_built
loss = cross_entropy

heavyball.utils.compile_mode = None


_BEGUN = "is_initialized"


class SOAP(heavyball.SOAP):  # type: ignore[misc]
    """The package's optimizer for a rate that a schedule changes, with a state that can be stored: lists for the package's sets."""

    def step(self, closure: Callable[[], float] | None = None) -> Any:
        """Update; tell the package first that the rate of today is meant, or it warns."""
        for group in self.param_groups:
            group["base_lr"] = group["lr"]
        return super().step(closure)

    def state_dict(self) -> dict[str, Any]:
        """The package's state without its pickle of how often the basis is renewed, which `build` says anyway."""
        packed: dict[str, Any] = super().state_dict()
        own = {key: {place: _begun_as(list, views) for place, views in state.items()} for key, state in packed["state"].items()}
        counts = {name: value for name, value in packed["heavyball"].items() if name != "precond_schedule"}
        return {**packed, "state": own, "heavyball": counts}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on from such a state."""
        own = {key: {place: _begun_as(set, views) for place, views in state.items()} for key, state in state_dict["state"].items()}
        super().load_state_dict({**state_dict, "state": own})


def _begun_as(kind: type[list[Any]] | type[set[Any]], views: Any) -> Any:
    """The state of a view of a parameter, with the numbers of the transformations that have begun as a list or as a set."""
    return {**views, _BEGUN: kind(sorted(views[_BEGUN]))} if isinstance(views, dict) and _BEGUN in views else views


def build(
    network: nn.Module, steps: int, *, learning_rate: float, one_minus_beta1: float, weight_decay: float
) -> tuple[Optimizer, LambdaLR]:
    """The optimizer and its schedule over `steps` training steps.

    Args:
        network: what to train.
        steps: training steps in all, at least 1.
        learning_rate: at the peak, at least 0.
        one_minus_beta1: in (0, 1]: the smaller, the longer gradients are remembered.
        weight_decay: share by which a weight shrinks per step and unit of learning rate, at least 0.

    Raises:
        InputError: fewer than one step.
    """
    optimizer: Optimizer = SOAP(
        network.parameters(),
        lr=learning_rate,
        betas=(1 - one_minus_beta1, 0.95),
        weight_decay=weight_decay,
        precondition_frequency=10,
    )
    return optimizer, cosine(optimizer, steps, warm_up=0.05)
