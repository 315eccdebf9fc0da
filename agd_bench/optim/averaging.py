"""Iterate averaging as an optimizer: `eval()` loads the average into the network, `train()` restores the iterate.

Schedule-free optimizers have the same methods, so evaluation treats both alike.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

import torch
from torch import Tensor, nn
from torch.optim import Optimizer


class Averager(Protocol):
    """Averages the weights of a network, once per step of its optimizer."""

    @property
    def averaged_model(self) -> nn.Module:
        """Average so far, as a separate network."""

    def step(self) -> None:
        """Add the network's current weights to the average."""

    def state_dict(self) -> dict[str, Any]:
        """Return the state of the average."""

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restore a state of the average."""


class Averaged(Optimizer):
    """Optimizer with averaged iterates. A missing gradient counts as 0.

    Args:
        base: optimizer of all parameters of the network.
        network: to train.
        averager: of the network.
    """

    def __init__(self, base: Optimizer, network: nn.Module, averager: Averager) -> None:
        super().__init__(base.param_groups, base.defaults)
        self._base, self._network, self._averager = base, network, averager
        self._iterate: list[Tensor] | None = None
        self._share()

    def __getstate__(self) -> dict[str, Any]:
        """Return all attributes, so that copies include the average and the network."""
        return dict(self.__dict__)

    def _share(self) -> None:
        # the same objects, so that a schedule which sets rates here sets those of the base
        self.param_groups, self.state = self._base.param_groups, self._base.state

    def step(self, closure: Callable[[], float] | None = None) -> float | None:  # type: ignore[override]
        """Take a step, add the new weights to the average, and return the result of `closure`, which evaluates the loss again."""
        if self._iterate is not None:
            raise RuntimeError("the average is in the network; call train() before the next step")
        loss = None if closure is None else closure()
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is None:
                    parameter.grad = torch.zeros_like(parameter)
        self._base.step()
        self._averager.step()
        return loss

    @torch.no_grad()
    def eval(self) -> None:
        """Load the average into the network. Repeated calls have no effect."""
        # a second call would save the average as the iterate
        if self._iterate is None:
            parameters: list[Tensor] = list(self._network.parameters())
            self._iterate = [parameter.detach().clone() for parameter in parameters]  # a copy, to continue bit for bit
            torch._foreach_copy_(parameters, list(self._averager.averaged_model.parameters()))

    @torch.no_grad()
    def train(self) -> None:
        """Restore the iterate. Repeated calls have no effect."""
        if self._iterate is not None:
            torch._foreach_copy_([*self._network.parameters()], self._iterate)
            self._iterate = None

    def state_dict(self) -> dict[str, Any]:
        """Return the state of the optimizer and of the average. The iterate is in the network's state."""
        return {"base": self._base.state_dict(), "average": self._averager.state_dict()}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restore a state, with the iterate in the network."""
        self._base.load_state_dict(state_dict["base"])
        self._averager.load_state_dict(state_dict["average"])
        self._share()  # loading gave the base new groups and a new state
