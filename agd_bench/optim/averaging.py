"""Iterate averaging as an optimizer: `eval()` puts the average into the network, `train()` puts the iterate back.

The pair of methods is that of schedule-free optimizers, so that whatever evaluates a network treats both alike. Training goes on
from the iterate, bit for bit.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

import torch
from torch import Tensor, nn
from torch.optim import Optimizer


class Averager(Protocol):
    """What averages: after each step of the optimizer it takes the network in."""

    @property
    def averaged_model(self) -> nn.Module:
        """The average so far, a network of its own."""

    def step(self) -> None:
        """Take the network's weights in."""

    def state_dict(self) -> dict[str, Any]:
        """All that the average depends on."""

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restore such a state."""


class Averaged(Optimizer):
    """An optimizer whose iterates are averaged. A parameter without a gradient counts as one whose gradient is 0.

    Args:
        base: updates the weights.
        network: whose parameters are all in `base`.
        averager: of that network.
    """

    def __init__(self, base: Optimizer, network: nn.Module, averager: Averager) -> None:
        super().__init__(base.param_groups, base.defaults)
        self._base, self._network, self._averager = base, network, averager
        self._iterate: list[Tensor] | None = None
        self._share()

    def __getstate__(self) -> dict[str, Any]:
        """Everything, for copies: the average and the network with it."""
        return dict(self.__dict__)

    def _share(self) -> None:
        self.param_groups, self.state = self._base.param_groups, self._base.state

    def step(self, closure: Callable[[], float] | None = None) -> float | None:  # type: ignore[override]
        """Step, and take the new weights into the average; returns what `closure`, which evaluates the loss again, returns."""
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
        """Put the average into the network; it may be called twice."""
        if self._iterate is None:
            parameters: list[Tensor] = list(self._network.parameters())
            self._iterate = [parameter.detach().clone() for parameter in parameters]
            torch._foreach_copy_(parameters, list(self._averager.averaged_model.parameters()))

    @torch.no_grad()
    def train(self) -> None:
        """Put the iterate back into the network; it may be called twice."""
        if self._iterate is not None:
            torch._foreach_copy_([*self._network.parameters()], self._iterate)
            self._iterate = None

    def state_dict(self) -> dict[str, Any]:
        """The optimizer's state and the average's; the iterate is the network's."""
        return {"base": self._base.state_dict(), "average": self._averager.state_dict()}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on from such a state, with the iterate in the network."""
        self._base.load_state_dict(state_dict["base"])
        self._averager.load_state_dict(state_dict["average"])
        self._share()
