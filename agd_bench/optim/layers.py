"""Determine the kind of each parameter of a network: matrix, grouped kernel, stacked matrices, embedding or vector.

Optimizers that treat kinds differently use this instead of guessing from shapes. A custom module that stacks several matrices along the
first dimension of its `weight`, such as a fused query, key and value, declares it with an attribute `stacked`:

    class QueriesKeysValues(nn.Linear):
        stacked = 3
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from torch import Tensor, nn
from torch.nn.modules.batchnorm import _NormBase  # base of batch and instance normalisation
from torch.nn.modules.conv import _ConvNd, _ConvTransposeNd

KINDS = ("dense", "grouped", "stacked", "embedding", "vector")
"""Kinds of parameters that `AGDAllLayers` has a rule for. `parts` also returns "transposed" and "unknown"."""

_NORMALISATIONS = (_NormBase, nn.GroupNorm, nn.LayerNorm, nn.RMSNorm)
_TABLES = (nn.Embedding, nn.EmbeddingBag)
_RECURRENT = (nn.RNNBase, nn.RNNCellBase)
_BIASES = ("bias", "in_proj_bias")


@dataclass(frozen=True)
class Part:
    """A parameter of a network.

    Attributes:
        name: dotted, as in `named_parameters`.
        tensor: the parameter.
        owner: its module.
        kind: one of `KINDS`, or "transposed" or "unknown".
        blocks: number of matrices, groups or vectors along the first dimension.
        start: initial value of a vector; None if the module's own value stays, and for other kinds.
        padding: row of an embedding that stays 0, or None.
    """

    name: str
    tensor: Tensor
    owner: nn.Module
    kind: str
    blocks: int = 1
    start: float | None = None
    padding: int | None = None


def parts(network: nn.Module) -> Iterator[Part]:
    """Yield the parameters of a network in order, each once. A shared parameter belongs to its first owner."""
    seen: set[Tensor] = set()
    for prefix, module in network.named_modules():
        for local, tensor in module.named_parameters(recurse=False):
            if tensor not in seen:
                seen.add(tensor)  # tensors hash by identity: a tied weight is one
                yield _part(f"{prefix}.{local}" if prefix else local, local, tensor, module)


def _part(name: str, local: str, tensor: Tensor, module: nn.Module) -> Part:
    if isinstance(module, nn.LayerNorm | nn.RMSNorm) or tensor.dim() <= 1:  # a LayerNorm's shape may have several dimensions
        return Part(name, tensor, module, "vector", blocks_of(module, local), start=_start(module, local))
    if isinstance(module, _TABLES):
        return Part(name, tensor, module, "embedding", padding=module.padding_idx)
    if isinstance(module, _ConvTransposeNd):
        return Part(name, tensor, module, "transposed")
    if isinstance(module, _ConvNd) and module.groups > 1:
        return Part(name, tensor, module, "grouped", module.groups)
    if (blocks := blocks_of(module, local)) > 1:
        return Part(name, tensor, module, "stacked", blocks)
    if tensor.dim() == 3 and len(tensor) == 1 and not isinstance(module, _ConvNd):
        return Part(name, tensor, module, "embedding")  # learned positions or tokens, (1, length, d), as vision transformers have them
    return Part(name, tensor, module, "dense" if isinstance(module, _ConvNd) or tensor.dim() in (2, 4) else "unknown")


def blocks_of(module: nn.Module, local: str) -> int:
    """Return the number of matrices or vectors that a parameter stacks along its first dimension.

    Args:
        module: owner of the parameter.
        local: name of the parameter in the module.
    """
    if isinstance(module, nn.MultiheadAttention) and local.startswith("in_proj"):
        return 3  # query, key and value
    if isinstance(module, _RECURRENT) and "_hr" not in local:  # an LSTM's projection has no gates
        # LSTM: input, forget, cell and output gate; GRU: reset, update and new
        return 4 if isinstance(module, nn.LSTM | nn.LSTMCell) else 3 if isinstance(module, nn.GRU | nn.GRUCell) else 1
    return int(getattr(module, "stacked", 1)) if local in ("weight", "bias") else 1


def _start(module: nn.Module, local: str) -> float | None:
    if isinstance(module, _NORMALISATIONS):
        return float(local == "weight")  # scale 1, shift 0: the identity
    return 0.0 if local in _BIASES or (isinstance(module, _RECURRENT) and local.startswith("bias")) else None
