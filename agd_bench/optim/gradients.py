"""Which gradients our optimizers can read."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch

from agd_bench.errors import Refused


def require_dense(groups: Iterable[dict[str, Any]], optimizer: str) -> None:
    """Refuse sparse gradients, as `nn.Embedding(sparse=True)` has them.

    Args:
        groups: of an optimizer.
        optimizer: its name, for the message.

    Raises:
        Refused: a parameter has a sparse gradient.
    """
    first = 0
    for group in groups:
        for index, parameter in enumerate(group["params"]):
            gradient = parameter.grad
            if gradient is not None and gradient.layout is not torch.strided:
                names = group.get("param_names")
                name = names[index] if names else first + index
                raise Refused(
                    f"parameter {name} of shape {tuple(parameter.shape)} has a sparse gradient, and {optimizer} needs dense ones; "
                    "build embeddings with sparse=False"
                )
        first += len(group["params"])
