"""Automatic gradient descent for all common layers: our extension of the paper's method.

Each parameter is treated as blocks of matrices, which follow the paper's formulas (`agd_bench.optim.agd`) with s = sqrt(rows / columns /
taps). A network of plain matrices and kernels is trained exactly as with the paper's AGD.

    kind       of                                          a block                               in L     starts as
    dense      linear layers, plain convolutions           the tensor (out, in, *kernel)         1        semi-orthogonal taps times s
    grouped    grouped and depthwise convolutions          each group's (out, in, *kernel)       1        the same, for each group
    stacked    the fused query, key and value of           each of the three (d, d)              1 each   the same, for each matrix
               attention; gates of recurrent layers;
               any module with an attribute `stacked`
    embedding  tables of tokens and positions              each row, the matrix (d, 1) which     1        rows of root mean square 1
                                                           takes the one-hot 1 to it
    vector     biases, scales and shifts of normalisation  the vector, a matrix (d, 1)           c each   biases and shifts 0, scales 1

A block of a depthwise convolution is thus one number per tap, and its update a sign. Rows without gradient stay unchanged. Three rules are
conventions and do not follow from the bound:

- a vector has the share c = 0.1 of a layer in L, in the gradient summary and in its update (`VECTOR_SHARE`);
- vectors are measured by their root mean square;
- vectors of unknown modules (such as the slopes of PReLU) keep their initial values. No other parameter does.

References:
    Bernstein et al.: Automatic Gradient Descent, arXiv 2304.05187, 2023: the bound and the rule of dense layers.
    Tim Large, Yang Liu, Minyoung Huh, Hyojin Bahng, Phillip Isola, Jeremy Bernstein: Scalable Optimization in the Modular Norm.
    NeurIPS 2024: shares of layers ("mass"), the norm of embeddings. The rest of the table is ours.
"""

from __future__ import annotations

import functools
import math
from typing import Any

import torch
from torch import Tensor, nn

from agd_bench.errors import Refused
from agd_bench.optim.agd import AGD, Layout, scale
from agd_bench.optim.layers import KINDS, Part, parts
from agd_bench.optim.orthogonal import semi_orthogonal
from agd_bench.optim.requirements import require_shapes

# the bound holds for any shares that sum to 1; with 1, vectors of few numbers would slow down the matrices
VECTOR_SHARE = 0.1
"""Weight of a vector, relative to a layer."""


class AGDAllLayers(AGD):
    """Automatic gradient descent for networks with biases, normalisation, attention, embeddings and grouped convolutions.

    Everything else is as in `AGD`, the paper's optimizer. All parameters of a group have the same kind and number of blocks.
    """

    def __init__(self, params: nn.Module | list[dict[str, Any]], gain: float = 1.0, norm: str = "frobenius") -> None:
        """Create the optimizer.

        Args:
            params: a network, or for custom layers, groups as returned by `layer_groups`: dicts with `params`, `kind` (one of `KINDS`)
                and `blocks` (per tensor: 1 for "dense", 3 for a fused query, key and value; ignored for "embedding", where each row is
                a block).
            gain: factor on the update, above 0.
            norm: "frobenius", "operator" or "dual"; see `matrix_norms`.

        Raises:
            Refused: a parameter has no known kind, or a setting is out of range.
        """
        super().__init__(layer_groups(params) if isinstance(params, nn.Module) else params, gain, norm)

    def _check(self, group: dict[str, Any], first: int) -> None:
        names = group.get("param_names")
        for index, tensor in enumerate(group["params"]):
            fault = _fault(tensor, str(group.setdefault("kind", "dense")), int(group.setdefault("blocks", 1)))
            if fault:
                name = f" ({names[index]})" if names else ""
                raise Refused(f"parameter {first + index}{name} has shape {tuple(tensor.shape)} and type {tensor.dtype}: {fault}")

    def _layout(self, group: dict[str, Any], shape: torch.Size) -> Layout:
        return _layout(group["kind"], group["blocks"], shape)


def layer_groups(network: nn.Module) -> list[dict[str, Any]]:
    """Return the parameters of a network, by kind and number of blocks, as groups for `AGDAllLayers`.

    A shared parameter belongs to its first owner.

    Raises:
        Refused: a parameter has no known kind.
    """
    groups: dict[tuple[str, int], list[tuple[str, Tensor]]] = {}
    for part in _known(network):
        groups.setdefault((part.kind, part.blocks), []).append((part.name, part.tensor))
    return [{"params": named, "kind": kind, "blocks": blocks} for (kind, blocks), named in groups.items()]


def _known(network: nn.Module) -> list[Part]:
    """Return the parameters of a network.

    Raises:
        Refused: a parameter has no known kind, or an embedding has sparse gradients.
    """
    require_shapes(network.parameters())  # before kinds, which are read from shapes
    found = list(parts(network))
    for part in found:
        fault = _fault(part.tensor, part.kind, part.blocks)
        if getattr(part.owner, "sparse", False) and part.kind == "embedding":
            fault = "its gradients are sparse, which AGD cannot read; build the embedding with sparse=False"
        if fault:
            what = f"parameter {part.name} of {type(part.owner).__name__}"
            raise Refused(f"{what} has shape {tuple(part.tensor.shape)} and type {part.tensor.dtype}: {fault}")
    return found


def _fault(tensor: Tensor, kind: str, blocks: int) -> str:
    """Return why a tensor cannot be trained as a given kind, or an empty string."""
    if kind == "transposed":
        return "AGD has no rule for kernels of transposed convolutions; leave that layer out"
    if kind not in KINDS:
        return f"no layer that is known has such a parameter; give groups with a `kind` of {', '.join(KINDS)} instead of a network"
    if tensor.numel() == 0 or not tensor.is_floating_point():
        return "only non-empty real parameters can be trained"
    if kind != "vector" and tensor.dim() < 2:
        return f"kind {kind!r} needs two dimensions at least; a vector is of kind 'vector'"
    if kind != "embedding" and blocks != 1 and (blocks < 1 or tensor.dim() == 0 or len(tensor) % blocks):
        return f"{blocks} blocks do not divide its first dimension"
    return ""


def _layout(kind: str, blocks: int, shape: torch.Size) -> Layout:
    if kind == "embedding":
        # a block per row, since only rows that the batch used have a gradient; length sqrt(d) is root mean square 1
        return Layout(math.prod(shape[:-1]), math.sqrt(shape[-1]), flat=True)
    if kind == "vector":
        # the root mean square also for scales, although the norm of a diagonal matrix is its largest entry
        return Layout(blocks, math.sqrt(math.prod(shape) / blocks), share=VECTOR_SHARE, depth=VECTOR_SHARE * blocks, flat=True)
    # stacked matrices are layers of their own; the groups of a convolution make up one layer
    return Layout(blocks, scale((shape[0] // blocks, *shape[1:])), depth=blocks if kind == "stacked" else 1.0)


@torch.no_grad()
def initialise(network: nn.Module, generator: torch.Generator, device: torch.device | None = None) -> None:
    """Initialise a network in place for `AGDAllLayers`, as in the last column of the table above. Running statistics stay unchanged.

    Args:
        network: a network that `AGDAllLayers` can train.
        generator: of random numbers. If it is on the CPU, a seed gives the same weights on every device, up to rounding.
        device: on which to compute the weights. Default: that of the first parameter.

    Raises:
        Refused: a parameter has no known kind. No parameter was changed.
    """
    found = _known(network)
    drawn = [part for part in found if part.kind != "vector"]
    if drawn:
        dtype = functools.reduce(torch.promote_types, {part.tensor.dtype for part in drawn}, torch.float32)
        made = semi_orthogonal([_stack(part) for part in drawn], generator, dtype, drawn[0].tensor.device if device is None else device)
        for part, matrices in zip(drawn, made, strict=True):
            part.tensor.copy_(_laid_out(part, matrices))
    for part in found:
        # vectors of unknown modules, such as the slopes of PReLU, keep their values
        if part.start is not None:
            part.tensor.fill_(part.start)
        if part.padding is not None:
            part.tensor[part.padding] = 0  # as nn.Embedding does; its gradient is always 0


def _stack(part: Part) -> tuple[int, int, int]:
    """Return the number of matrices in a parameter, and their rows and columns."""
    shape = part.tensor.shape
    layout = _layout(part.kind, part.blocks, shape)
    if layout.flat:
        return layout.blocks, shape[-1], 1
    return layout.blocks * math.prod(shape[2:]), shape[0] // layout.blocks, shape[1]


def _laid_out(part: Part, matrices: Tensor) -> Tensor:
    """Arrange matrices from `_stack` in the shape of the parameter, scaled."""
    shape = part.tensor.shape
    layout = _layout(part.kind, part.blocks, shape)
    if layout.flat:
        return matrices.reshape(shape) * layout.scale
    taps = matrices.view(layout.blocks, math.prod(shape[2:]), shape[0] // layout.blocks, shape[1])
    # (blocks, taps, rows, columns) to (blocks, rows, columns, taps)
    return taps.permute(0, 2, 3, 1).reshape(shape) * layout.scale
