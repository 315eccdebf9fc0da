"""Mechanic's AdamW with a state that can be stored: the package keys a part of it by the parameters themselves."""

from __future__ import annotations

from typing import Any

import torch
from mechanic_pytorch import mechanize
from torch import Tensor

_KEY = "_mechanic"
_Base: Any = mechanize(torch.optim.AdamW)


class MechanisedAdamW(_Base):  # type: ignore[misc]
    """The package's optimizer; in `state_dict` its points of reference are a list, in the order of the parameters."""

    def _parameters(self) -> list[Tensor]:
        return [parameter for group in self.param_groups for parameter in group["params"]]

    def factor(self) -> float | None:
        """By what the base's movement from the start is scaled; null before the first step."""
        return float(self.state[_KEY]["s"].sum()) if _KEY in self.state else None

    def state_dict(self) -> dict[str, Any]:
        """The base's state and Mechanic's."""
        packed: dict[str, Any] = super().state_dict()
        own = packed["state"].pop(_KEY, None)
        if own is not None:
            plain = {name: value for name, value in own.items() if isinstance(name, str)}
            packed[_KEY] = {**plain, "references": [own[parameter]["ref"] for parameter in self._parameters()]}
        return packed

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on from such a state."""
        rest = {name: value for name, value in state_dict.items() if name != _KEY}
        super().load_state_dict(rest)
        own = state_dict.get(_KEY)
        if own is not None:
            references = zip(self._parameters(), own["references"], strict=True)
            tensors = {name: value.clone() if isinstance(value, Tensor) else value for name, value in own.items() if name != "references"}
            self.state[_KEY] = {**tensors, **{parameter: {"ref": reference.clone()} for parameter, reference in references}}
