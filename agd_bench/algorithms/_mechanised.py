"""Mechanic's AdamW with a serialisable state. The package keys part of its state by the parameter tensors."""

from __future__ import annotations

from typing import Any

import torch
from mechanic_pytorch import mechanize
from torch import Tensor

_KEY = "_mechanic"
_Base: Any = mechanize(torch.optim.AdamW)


class MechanisedAdamW(_Base):  # type: ignore[misc]
    """The package's optimizer. In `state_dict`, the reference points are a list in the order of the parameters."""

    def _parameters(self) -> list[Tensor]:
        return [parameter for group in self.param_groups for parameter in group["params"]]

    def factor(self) -> float | None:
        """Return the factor on the base optimizer's displacement from the start; None before the first step."""
        return float(self.state[_KEY]["s"].sum()) if _KEY in self.state else None

    def state_dict(self) -> dict[str, Any]:
        """Return the state of the base optimizer and of Mechanic."""
        packed: dict[str, Any] = super().state_dict()
        own = packed["state"].pop(_KEY, None)
        if own is not None:
            # the other keys are parameters, which mean nothing in another process
            plain = {name: value for name, value in own.items() if isinstance(name, str)}
            packed[_KEY] = {**plain, "references": [own[parameter]["ref"] for parameter in self._parameters()]}
        return packed

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restore such a state."""
        rest = {name: value for name, value in state_dict.items() if name != _KEY}
        super().load_state_dict(rest)
        own = state_dict.get(_KEY)
        if own is not None:
            references = zip(self._parameters(), own["references"], strict=True)
            tensors = {name: value.clone() if isinstance(value, Tensor) else value for name, value in own.items() if name != "references"}
            self.state[_KEY] = {**tensors, **{parameter: {"ref": reference.clone()} for parameter, reference in references}}
