"""Muon for hidden matrices and kernels, and AdamW for all other parameters, in one optimizer.

As in the authors' code, kernels are flattened to (outputs, inputs × height × width), and AdamW trains the first and the last layer (patch
embedding, stem, classifier), embeddings, biases and normalisation scales. It also trains depthwise kernels. A fused
query, key and value counts as three matrices, as the authors advise, and a grouped convolution as one per group. `agd_bench.optim.layers`
determines the kinds.

References:
    Keller Jordan, Yuchen Jin, Vlado Boza, Jiacheng You, Franz Cesista, Laker Newhouse, Jeremy Bernstein: Muon: An optimizer for hidden
    layers in neural networks. 2024 (text and code on the first author's pages; kernels as in its CIFAR-10 record).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim._muon import DEFAULT_A, DEFAULT_B, DEFAULT_C, DEFAULT_NS_STEPS, EPS, muon

from agd_bench.errors import InputError, Refused
from agd_bench.optim.layers import Part, parts
from agd_bench.optim.requirements import require_dense, require_shapes

# 3.4445, -4.7750, 2.0315 and 5 steps, as in the code of Jordan et al.
ITERATION: dict[str, Any] = {"ns_coefficients": (DEFAULT_A, DEFAULT_B, DEFAULT_C), "ns_steps": DEFAULT_NS_STEPS, "eps": EPS}
"""Settings of the Newton-Schulz iteration, torch's defaults."""


def hidden_matrices(network: nn.Module) -> list[Part]:
    """Return the trainable matrices and kernels of a network, except for the first and the last layer."""
    tables = [p for p in network.parameters() if p.dim() > 1 and not (p.dim() == 3 and len(p) == 1)]  # learned tokens are not a layer
    last = [p for _, p in network.named_parameters(remove_duplicate=False) if p.dim() > 1][-1:]  # a tied classifier repeats the embedding
    ends = {*tables[:1], *last}
    found = [part for part in parts(network) if part.kind in ("dense", "grouped", "stacked") and part.tensor not in ends]
    # rows of a flattened depthwise kernel belong to independent channels, so they need not be orthogonal
    return [part for part in found if part.tensor.requires_grad and not (part.kind == "grouped" and part.tensor.shape[1] == 1)]


def matrices_of(kernel: Tensor, tensor: Tensor, blocks: int) -> tuple[Tensor, ...]:
    """Return a parameter, its gradient or its momentum as matrices, with columns in the kernel's memory order.

    The result is a view if `tensor` has the kernel's memory format.

    Args:
        kernel: the parameter, (outputs, ...).
        tensor: of the same shape.
        blocks: number of matrices along the first dimension.
    """
    # the order of columns does not change an orthogonalised update, so a channels-last kernel can be a view too
    return (tensor if kernel.is_contiguous() else tensor.movedim(1, -1)).flatten(1).chunk(blocks)


class Muon(Optimizer):
    """Torch's Muon for `hidden_matrices`, and torch's AdamW for all other parameters.

    Groups with `muon` True have parameters of `blocks` matrices each. All others are for AdamW. Steps can be captured in a CUDA graph:
    if a group has `numbers`, 0-dim tensors on the device, they replace the values of `numbers()`.

    Args:
        network: to train.
        lr: of Muon, at least 0; the spectral norm of an update is about lr * sqrt(max(1, rows / columns)).
        adamw_lr: of AdamW, at least 0.
        momentum: of Muon, Nesterov momentum, at least 0.
        weight_decay: of both, decoupled, at least 0.

    Raises:
        Refused: the network has no hidden matrices, or has lazy layers.
    """

    capturable = True

    # defaults of Jordan et al.
    def __init__(
        self, network: nn.Module, lr: float = 0.02, adamw_lr: float = 3e-4, momentum: float = 0.95, weight_decay: float = 0.01
    ) -> None:
        require_shapes(network.parameters())
        hidden = hidden_matrices(network)
        if not hidden:
            raise Refused("the network has no matrix or kernel between its first layer and its last, and Muon is for hidden layers")
        own = {part.tensor for part in hidden}
        rest = [parameter for parameter in network.parameters() if parameter.requires_grad and parameter not in own]
        # betas of the authors' examples
        self._adamw = torch.optim.AdamW(rest, lr=adamw_lr, betas=(0.9, 0.95), weight_decay=weight_decay, fused=True)
        self._settings = {"muon": True, "blocks": 1, "lr": lr, "momentum": momentum, "weight_decay": weight_decay}
        by_blocks: dict[int, list[Tensor]] = defaultdict(list)
        for part in hidden:
            by_blocks[part.blocks].append(part.tensor)
        groups: list[dict[str, Any]] = [{"params": tensors, "muon": True, "blocks": blocks} for blocks, tensors in by_blocks.items()]
        super().__init__([*groups, {"params": rest}], {"muon": False})

    def __getstate__(self) -> dict[str, Any]:
        """Return the state for copies."""
        return {**super().__getstate__(), "_adamw": self._adamw, "_settings": self._settings}

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """Add a group, for AdamW unless it has `muon` True.

        Raises:
            InputError: a parameter for Muon is not a matrix or kernel, or is neither contiguous nor channels-last.
        """
        hidden = bool(param_group.get("muon"))
        super().add_param_group({**(self._settings if hidden else self._adamw.defaults), **param_group})
        try:
            for parameter in self.param_groups[-1]["params"] if hidden else ():
                _check(parameter)
        except InputError:
            self.param_groups.pop()
            raise

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:  # type: ignore[override]
        """Update every parameter that has a gradient, and return the result of `closure`, which evaluates the loss again."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        require_dense(self.param_groups, "Muon")
        for group in self.param_groups:
            if group["muon"]:
                self._orthogonalised(group)
        # built anew in each step, since loading a state or adding a group replaces lists
        rest = [group for group in self.param_groups if not group["muon"]]
        self._adamw.param_groups = [{**group, "lr": group["numbers"][0]} if "numbers" in group else group for group in rest]
        self._adamw.state = self.state
        self._adamw.step()
        return loss

    def numbers(self, group: dict[str, Any], ahead: int = 0) -> tuple[float, ...]:
        """Return the scalars that change with the step, for a captured step: the rate, and for Muon also the factor of weight decay.

        Args:
            group: with the current learning rate.
            ahead: unused; only the schedule changes them.
        """
        return (group["lr"], 1 - group["lr"] * group["weight_decay"]) if group["muon"] else (group["lr"],)

    def _orthogonalised(self, group: dict[str, Any]) -> None:
        weights: list[Tensor] = []
        gradients: list[Tensor] = []
        momenta: list[Tensor] = []
        for parameter in group["params"]:
            if parameter.grad is None:
                continue
            _check(parameter)
            state = self.state[parameter]
            if "momentum_buffer" not in state:
                state["momentum_buffer"] = torch.zeros_like(parameter)
            for tensors, tensor in ((weights, parameter), (gradients, parameter.grad), (momenta, state["momentum_buffer"])):
                tensors += matrices_of(parameter, tensor, group["blocks"])
        # adjust_lr_fn None: the original factor, sqrt(max(1, rows / columns))
        fixed: dict[str, Any] = {**ITERATION, "momentum": group["momentum"], "nesterov": True, "adjust_lr_fn": None, "has_complex": False}
        if "numbers" not in group:
            muon(weights, gradients, momenta, lr=group["lr"], weight_decay=group["weight_decay"], **fixed)
            return
        # torch's function reads its rate on the host, where a captured step would freeze it; from zeros, at rate 1, it gives the update
        updates = [torch.zeros_like(weight) for weight in weights]
        muon(updates, gradients, momenta, lr=1.0, weight_decay=0.0, **fixed)
        rate, shrinkage = group["numbers"]
        torch._foreach_mul_(weights, shrinkage)
        torch._foreach_mul_(updates, rate)
        torch._foreach_add_(weights, updates)


def _check(parameter: Tensor) -> None:
    """Raise InputError for a parameter whose matrix would be a copy; its updates would be lost."""
    if parameter.dim() < 2 or matrices_of(parameter, parameter, 1)[0].data_ptr() != parameter.data_ptr():
        raise InputError(
            f"a weight of shape {tuple(parameter.shape)} has strides {parameter.stride()}; Muon needs a matrix or a kernel, contiguous or "
            "channels_last"
        )
