"""Check the requirements of our optimizers on parameters and gradients."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor
from torch.nn.parameter import UninitializedParameter

from agd_bench.errors import Refused


def require_dense(groups: Iterable[dict[str, Any]], optimizer: str) -> None:
    """Check that no gradient is sparse, as from `nn.Embedding(sparse=True)`.

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


def require_shapes(parameters: Iterable[Tensor]) -> None:
    """Check that no parameter belongs to a lazy layer, whose shapes are unknown before the first pass.

    Raises:
        Refused: a parameter has no shape.
    """
    if any(isinstance(parameter, UninitializedParameter) for parameter in parameters):
        raise Refused("a lazy layer's parameters have no shape yet; pass one batch through the network before you build the optimizer")
