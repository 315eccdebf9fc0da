"""Greedy layer-wise descent: the common part of DSGD and its heuristic form.

The modulus p_i of layer i is the root of a bound (or an estimate) of the loss's curvature along its weights. With the dual norms n_i and
steepest directions d_i of the gradients (`agd_bench.optim.dualities`), a step updates the layer i* with the largest n_i / p_i, the first
in a tie:

    w_i* <- w_i* - step_size (n_i* / p_i*^2) d_i*

If p_i^2 bounds the curvature along every layer, the loss decreases by at least step_size (1 - step_size / 2) (n_i* / p_i*)^2.
"""

from __future__ import annotations

import copy
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from agd_bench.errors import InputError
from agd_bench.optim.dualities import exponent, steepest
from agd_bench.optim.requirements import require_dense

SUMS = ("promised_decrease", "compared_steps", "compared_promise", "compared_decrease", "shortfalls")
"""Sums over the steps between two calls of `diagnostics`."""


@dataclass(frozen=True)
class Block:
    """Weight and bias of a layer, as one matrix.

    Attributes:
        name: of the layer within the network.
        layer: with `weight` (outputs, ...) and optional `bias` (outputs,). Dimensions after the first become columns.
    """

    name: str
    layer: nn.Module

    @property
    def parameters(self) -> tuple[Tensor, ...]:
        """The layer's current parameters."""
        return tuple(p for p in (self.layer.weight, self.layer.bias) if isinstance(p, Tensor))

    def matrix(self) -> Tensor:
        """Return the parameters as one matrix (outputs, columns), at least float32."""
        return self._joined(list(self.parameters))

    def gradient(self) -> Tensor:
        """Return the gradients as one matrix, zeros if missing."""
        return self._joined([torch.zeros_like(p) if p.grad is None else p.grad for p in self.parameters])

    def subtract(self, change: Tensor) -> None:
        """Subtract a matrix (outputs, columns) from the trainable parameters."""
        widths = [parameter[0].numel() for parameter in self.parameters]
        for parameter, part in zip(self.parameters, torch.split(change, widths, 1), strict=True):
            # a frozen parameter keeps its columns in the matrix, so the split stays valid
            if parameter.requires_grad:
                parameter.sub_(part.reshape(parameter.shape).to(parameter.dtype))

    def _joined(self, tensors: list[Tensor]) -> Tensor:
        flat = [tensor.flatten(1) if tensor.dim() > 1 else tensor.unsqueeze(1) for tensor in tensors]
        wide = torch.promote_types(flat[0].dtype, torch.float32)
        # the bias is the column for a constant input of 1
        return (flat[0] if len(flat) == 1 else torch.cat(flat, 1)).to(wide)


class GreedyDescent(Optimizer, ABC):
    """Updates the layer with the largest promised decrease in each step. Subclasses define the moduli.

    The state is in the only parameter group, on the device: `lr`, step_size / p^2 of the last step (schedulers cannot change it);
    `promised`, the decrease that the last step promised; `moved`, the number of updates of each layer (K,); and sums, which
    `diagnostics` reads and resets together with `moved`.
    """

    def __init__(self, blocks: Sequence[Block], q: float | str, step_size: float) -> None:
        """Create the optimizer of all parameters of the blocks.

        Args:
            blocks: at least one, all on one device, from the network's input to its output.
            q: norm of the layers: 1, 2 or `"inf"`.
            step_size: in (0, 2); 1 gives the largest promised decrease.

        Raises:
            InputError: q or step_size is out of range.
        """
        if not 0 < step_size < 2:
            raise InputError(f"step_size is {step_size!r}; the loss is sure to fall for values in (0, 2) alone, most for 1")
        self.blocks = tuple(blocks)
        device = self.blocks[0].parameters[0].device
        # numbers live on the device, so that counting does not make the host wait
        sums = ("lr", "promised", "promised_decrease", "compared_promise", "compared_decrease")
        defaults = {
            "q": exponent(q),
            "step_size": step_size,
            **{name: torch.zeros((), dtype=torch.float64, device=device) for name in sums},
            "moved": torch.zeros(len(self.blocks), dtype=torch.int64, device=device),
            "compared_steps": torch.zeros((), dtype=torch.int64, device=device),
            "shortfalls": torch.zeros((), dtype=torch.int64, device=device),
        }
        super().__init__([parameter for block in self.blocks for parameter in block.parameters], defaults)

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """Add the group of the constructor.

        Raises:
            InputError: a group was added already; the bounds would not cover further layers.
        """
        if self.param_groups:
            raise InputError("this optimizer trains the network it was built from and takes no further parameters; build another one")
        super().add_param_group(param_group)

    def __getstate__(self) -> dict[str, Any]:
        """Return all attributes, so that network and optimizer can be copied together."""
        return dict(self.__dict__)

    def state_dict(self) -> dict[str, Any]:
        """Return a copy of the state, which later steps do not change."""
        return copy.deepcopy(super().state_dict())

    def _require_own_parameters(self) -> None:
        """Raise InputError if parameters were replaced, since the moduli come from the network's layers and hooks."""
        own = [parameter for block in self.blocks for parameter in block.parameters]
        given = self.param_groups[0]["params"]
        if len(own) != len(given) or any(one is not other for one, other in zip(own, given, strict=True)):
            raise InputError("a parameter was replaced, and this optimizer trains the network that it was built from; build another one")

    @property
    def capturable(self) -> bool:
        """Whether a step can be captured in a CUDA graph: the SVD for q = 2 makes the host wait."""
        return bool(self.param_groups[0]["q"] != 2)

    @abstractmethod
    def moduli(self) -> Tensor:
        """Return the p_i of the layers for the current weights and images, (K,), float64; 0 for a layer without effect on the loss."""

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:  # type: ignore[override]
        """Update one layer, and return the result of `closure`, which evaluates the loss again.

        Raises:
            InputError: there was no forward pass, or a parameter was replaced.
            Refused: a gradient is sparse.
        """
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        self._require_own_parameters()
        require_dense(self.param_groups, type(self).__name__)
        (group,) = self.param_groups
        steepests = [steepest(block.gradient(), group["q"]) for block in self.blocks]
        duals, moduli = torch.stack([dual for dual, _ in steepests]), self.moduli()
        # a layer with modulus 0 has gradient 0; NaN propagates
        scores = torch.where((moduli > 0) | duals.isnan(), duals / moduli, 0)
        # if all gradients are 0, no layer moves
        chosen = _first_largest(scores) & (scores != 0)
        rates = torch.where(chosen, group["step_size"] / moduli.square(), 0)
        # update all layers, all but one by zero: reading the choice would synchronise with the device
        for block, (_, direction), size in zip(self.blocks, steepests, rates * duals, strict=True):
            block.subtract(direction * size.to(direction.dtype))
        # minimum decrease of a function with curvature at most p^2 along the step
        promised = group["step_size"] * (1 - group["step_size"] / 2) * (scores * chosen).sum().square()
        group["lr"], group["promised"] = rates.sum(), promised
        # in place, because a captured step repeats its writes at the same addresses
        group["promised_decrease"].add_(promised)
        group["moved"].add_(chosen)
        return loss

    @torch.no_grad()
    def compare(self, before: Tensor, after: Tensor) -> None:
        """Compare the promised with the realised decrease of the last step, without synchronising with the device.

        Computing `after` takes another forward pass, preferably under `no_grad`. In training mode it changes the running statistics of
        batch normalisation.

        Args:
            before: loss of the step's batch before the step, 0-dim.
            after: loss of the same batch after the step, 0-dim.
        """
        (group,) = self.param_groups
        decrease, promised = before.double() - after.double(), group["promised"]
        # tolerance of 16 ulp of the loss, or of 1 for small losses, which are differences of larger terms
        rounding = 16 * torch.finfo(before.dtype).eps * before.abs().double().clamp(min=1)
        group["compared_promise"] = group["compared_promise"] + promised
        group["compared_decrease"] = group["compared_decrease"] + decrease
        group["compared_steps"] = group["compared_steps"] + 1
        group["shortfalls"] = group["shortfalls"] + ~(decrease >= promised - rounding)  # unlike <, counts NaN

    def diagnostics(self) -> dict[str, Tensor]:
        """Return statistics of the steps since the last call, as 0-dim tensors on the device.

        Returns:
            `updates/<layer>`: number of updates of the layer; `promised_decrease`: sum of the promised decreases; and for the steps passed
            to `compare`: `compared_steps`, `compared_promise` and `compared_decrease` (sums of promised and realised decreases), and
            `shortfalls` (steps that decreased the loss by less than promised, by more than 16 ulp of the loss, or of 1 for smaller losses).
        """
        (group,) = self.param_groups
        moved = {f"updates/{block.name}": count for block, count in zip(self.blocks, group["moved"].unbind(), strict=True)}
        sums = {name: group[name] for name in SUMS}
        for name in ("moved", *SUMS):
            group[name] = torch.zeros_like(group[name])
        return {**moved, **sums}


def _first_largest(scores: Tensor) -> Tensor:
    """Return a mask of the largest entry, the first in a tie, or of the first NaN."""
    # NaN wins, so that it reaches the weights, where the harness detects it
    ties = (scores == scores.amax()) | scores.isnan()
    return ties & (ties.cumsum(0) == 1)
