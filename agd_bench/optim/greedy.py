"""Greedy descent, one layer a step: what the guaranteed and the heuristic form of DSGD share.

Each layer i has a modulus p_i, the root of a bound (or of a guess) of how fast the loss turns along its weights. With the
gradient's dual norms n_i and steepest directions d_i (`agd_bench.optim.dualities`), a step moves the layer i* whose n_i / p_i
is largest, the first of equal ones:

    w_i* <- w_i* - step_size (n_i* / p_i*^2) d_i*

If p_i^2 bounds the curvature along every layer, the loss falls by at least step_size (1 - step_size / 2) (n_i* / p_i*)^2.
All layers' directions are computed and all but one are multiplied by zero, so that the choice never leaves the device.
"""

from __future__ import annotations

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
"""What is added up between two readings."""


@dataclass(frozen=True)
class Block:
    """Parameters that move together, as the columns of one matrix.

    Attributes:
        name: of the layer within the network.
        layer: whose `weight` and `bias`, where it has one, they are: each (outputs, ...) or (outputs,); the dimensions after the first are
            columns.
    """

    name: str
    layer: nn.Module

    @property
    def parameters(self) -> tuple[Tensor, ...]:
        """As the layer has them now."""
        return tuple(p for p in (self.layer.weight, self.layer.bias) if isinstance(p, Tensor))

    def matrix(self) -> Tensor:
        """The parameters as one matrix (outputs, columns), in float32 at least."""
        return self._joined(list(self.parameters))

    def gradient(self) -> Tensor:
        """The gradients likewise; zeros where there is none."""
        return self._joined([torch.zeros_like(p) if p.grad is None else p.grad for p in self.parameters])

    def subtract(self, change: Tensor) -> None:
        """Take a matrix (outputs, columns) from the parameters, those that are trained."""
        widths = [parameter[0].numel() for parameter in self.parameters]
        for parameter, part in zip(self.parameters, torch.split(change, widths, 1), strict=True):
            if parameter.requires_grad:
                parameter.sub_(part.reshape(parameter.shape).to(parameter.dtype))

    def _joined(self, tensors: list[Tensor]) -> Tensor:
        flat = [tensor.flatten(1) if tensor.dim() > 1 else tensor.unsqueeze(1) for tensor in tensors]
        wide = torch.promote_types(flat[0].dtype, torch.float32)
        return (flat[0] if len(flat) == 1 else torch.cat(flat, 1)).to(wide)


class GreedyDescent(Optimizer, ABC):
    """Moves the one layer a step that promises most; a subclass says how fast the loss turns along each.

    What it keeps is in its only group, on the device: `lr`, the last step's step_size / p^2 (no scheduler can change it);
    `promised`, the decrease that the last step stands for; `moved`, how often each layer moved (K,); and the sums that
    `diagnostics` reads, with `moved`, and sets to 0.
    """

    def __init__(self, blocks: Sequence[Block], q: float | str, step_size: float) -> None:
        """Take charge of all parameters of the blocks.

        Args:
            blocks: at least one, all on one device, from the network's input to its output.
            q: norm of the layers: 1, 2 or `"inf"`.
            step_size: in (0, 2); 1 gives the largest promise.

        Raises:
            InputError: q or the step size is out of range.
        """
        if not 0 < step_size < 2:
            raise InputError(f"step_size is {step_size!r}; the loss is sure to fall for values in (0, 2) alone, most for 1")
        self.blocks = tuple(blocks)
        device = self.blocks[0].parameters[0].device
        zero = torch.zeros((), dtype=torch.float64, device=device)
        defaults = {
            "q": exponent(q),
            "step_size": step_size,
            "lr": zero,
            "promised": zero,
            "promised_decrease": zero,
            "moved": torch.zeros(len(self.blocks), dtype=torch.int64, device=device),
            "compared_promise": zero,
            "compared_decrease": zero,
            "compared_steps": torch.zeros((), dtype=torch.int64, device=device),
            "shortfalls": torch.zeros((), dtype=torch.int64, device=device),
        }
        super().__init__([parameter for block in self.blocks for parameter in block.parameters], defaults)

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """Take the one group that the constructor gives.

        Raises:
            InputError: a second one, since a layer that the bounds do not know would void them.
        """
        if self.param_groups:
            raise InputError("this optimizer trains the network it was built from and takes no further parameters; build another one")
        super().add_param_group(param_group)

    def __getstate__(self) -> dict[str, Any]:
        """Everything, for copies: a copy of network and optimizer together steps as they do."""
        return dict(self.__dict__)

    def _require_own_parameters(self) -> None:
        """Refuse parameters that are no longer the network's: the layers and hooks that the moduli come from would miss them."""
        own = [parameter for block in self.blocks for parameter in block.parameters]
        given = self.param_groups[0]["params"]
        if len(own) != len(given) or any(one is not other for one, other in zip(own, given, strict=True)):
            raise InputError("a parameter was replaced, and this optimizer trains the network that it was built from; build another one")

    @abstractmethod
    def moduli(self) -> Tensor:
        """The p_i of the layers as the weights and images are now, (K,), float64; 0 where no gradient can be."""

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:  # type: ignore[override]
        """Move one layer; returns what `closure`, which evaluates the loss again, returns.

        Raises:
            InputError: no image went through the network before, or a parameter was replaced.
            Refused: a sparse gradient.
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
        # A layer whose modulus is 0 has no effect on the loss, and its gradient is 0. What is not a number is passed on.
        scores = torch.where((moduli > 0) | duals.isnan(), duals / moduli, 0)
        chosen = _first_largest(scores) & (scores != 0)
        rates = torch.where(chosen, group["step_size"] / moduli.square(), 0)
        for block, (_, direction), size in zip(self.blocks, steepests, rates * duals, strict=True):
            block.subtract(direction * size.to(direction.dtype))
        promised = group["step_size"] * (1 - group["step_size"] / 2) * (scores * chosen).sum().square()
        # New tensors rather than changed ones: a state_dict may hold the old.
        group["lr"], group["promised"], group["promised_decrease"] = rates.sum(), promised, group["promised_decrease"] + promised
        group["moved"] = group["moved"] + chosen
        return loss

    @torch.no_grad()
    def compare(self, before: Tensor, after: Tensor) -> None:
        """Note by how much the last step really lowered the loss; nothing waits for the device.

        Computing `after` is a further pass, best under `no_grad`; in training mode it moves batch normalisation's running statistics,
        which the caller may want to put back.

        Args:
            before: the loss whose gradient the step used, 0-dim.
            after: the same loss, of the same images, after the step, 0-dim.
        """
        (group,) = self.param_groups
        decrease, promised = before.double() - after.double(), group["promised"]
        # A loss is known to a few units in the last place only: its own, or those of 1 where it is the small rest of larger terms.
        rounding = 16 * torch.finfo(before.dtype).eps * before.abs().double().clamp(min=1)
        group["compared_promise"] = group["compared_promise"] + promised
        group["compared_decrease"] = group["compared_decrease"] + decrease
        group["compared_steps"] = group["compared_steps"] + 1
        group["shortfalls"] = group["shortfalls"] + ~(decrease >= promised - rounding)

    def diagnostics(self) -> dict[str, Tensor]:
        """What it did since this was last asked, as 0-dim tensors on the device; asking begins anew.

        Returns:
            `updates/<layer>`: steps in which the layer moved; `promised_decrease`: sum of the decreases of the loss that the
            steps stand for; and of the steps handed to `compare`: `compared_steps`, `compared_promise` and
            `compared_decrease` (sums of promised and realised decreases), `shortfalls` (steps that kept less than promised, by more than
            16 units in the last place of the loss, or of 1 where the loss is smaller).
        """
        (group,) = self.param_groups
        moved = {f"updates/{block.name}": count for block, count in zip(self.blocks, group["moved"].unbind(), strict=True)}
        sums = {name: group[name] for name in SUMS}
        for name in ("moved", *SUMS):
            group[name] = torch.zeros_like(group[name])
        return {**moved, **sums}


def _first_largest(scores: Tensor) -> Tensor:
    """True at the largest entry, the first of equal ones, or at the first that is not a number."""
    ties = (scores == scores.amax()) | scores.isnan()
    return ties & (ties.cumsum(0) == 1)
