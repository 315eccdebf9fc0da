"""SOAP: Adam in the eigenbasis of Shampoo's preconditioner, a second-order method.

The implementation of the package heavyball at its defaults, except that the basis is recomputed every 10 steps as in the paper; warm-up
over 5 % of the steps, cosine decay to 0. The ranges are ours, around the authors' settings (learning rate 3e-3, beta1 0.95, weight decay
0.01). Cross-entropy loss.
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

# around the authors' settings: 3e-3, beta1 0.95 and 0.01
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

heavyball.utils.compile_mode = None  # compiling takes seconds to minutes per architecture


_BEGUN = "is_initialized"


class SOAP(heavyball.SOAP):  # type: ignore[misc]
    """The package's optimizer with support for schedules and a serialisable state: lists replace the package's sets."""

    def step(self, closure: Callable[[], float] | None = None) -> Any:
        """Update all parameters."""
        # the package warns if `lr` differs from `base_lr`
        for group in self.param_groups:
            group["base_lr"] = group["lr"]
        return super().step(closure)

    def state_dict(self) -> dict[str, Any]:
        """Return the state without pickled objects."""
        # `precond_schedule` is a pickled function, which `build` determines anyway
        packed: dict[str, Any] = super().state_dict()
        own = {key: {place: _begun_as(list, views) for place, views in state.items()} for key, state in packed["state"].items()}
        counts = {name: value for name, value in packed["heavyball"].items() if name != "precond_schedule"}
        return {**packed, "state": own, "heavyball": counts}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restore such a state."""
        own = {key: {place: _begun_as(set, views) for place, views in state.items()} for key, state in state_dict["state"].items()}
        super().load_state_dict({**state_dict, "state": own})


def _begun_as(kind: type[list[Any]] | type[set[Any]], views: Any) -> Any:
    """Convert the initialised transformations in the state of a parameter's view to a list or to a set."""
    return {**views, _BEGUN: kind(sorted(views[_BEGUN]))} if isinstance(views, dict) and _BEGUN in views else views


def build(
    network: nn.Module, steps: int, *, learning_rate: float, one_minus_beta1: float, weight_decay: float
) -> tuple[Optimizer, LambdaLR]:
    """Return the optimizer and its learning-rate schedule.

    Args:
        network: to train.
        steps: total number of training steps, at least 1.
        learning_rate: peak value, at least 0.
        one_minus_beta1: 1 - beta1 of the first moment, in (0, 1].
        weight_decay: decoupled, at least 0: each step scales weights by 1 - rate * weight_decay.

    Raises:
        InputError: steps is below 1.
    """
    optimizer: Optimizer = SOAP(
        network.parameters(),
        lr=learning_rate,
        betas=(1 - one_minus_beta1, 0.95),
        weight_decay=weight_decay,
        precondition_frequency=10,  # as in the paper
    )
    return optimizer, cosine(optimizer, steps, warm_up=0.05)
