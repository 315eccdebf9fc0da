"""Muon for networks of matrices, kernels and all the rest: torch's Muon where it applies, AdamW elsewhere.

Torch's Muon takes matrices alone. As its authors do, kernels are flattened to (outputs, inputs × height × width), and what is
no hidden matrix (the classifier, biases, normalisation scales) is trained by AdamW. The flattened kernels are views of the
parameters, in whichever memory format these have: the order of the columns does not matter to an orthogonalised update.

References:
    Keller Jordan, Yuchen Jin, Vlado Boza, Jiacheng You, Franz Cesista, Laker Newhouse, Jeremy Bernstein: Muon: An optimizer for hidden
    layers in neural networks. 2024 (text and code on the first author's pages; kernels as in its CIFAR-10 record).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from agd_bench.errors import InputError, Refused


def as_matrix(tensor: Tensor) -> Tensor:
    """A kernel's entries as a matrix with a row for each output.

    Args:
        tensor: two dimensions or more, contiguous or channels-last, of which the matrix is a view.

    Raises:
        InputError: a tensor in another memory format.
    """
    matrix = _columns_as(tensor, tensor)
    if matrix.data_ptr() != tensor.data_ptr():
        raise InputError(f"a weight of shape {tuple(tensor.shape)} has strides {tensor.stride()}; make it contiguous or channels_last")
    return matrix


def hidden_matrices(network: nn.Module) -> list[nn.Parameter]:
    """The kernels and matrices of a network but the last one, which is its classifier."""
    matrices = [parameter for parameter in network.parameters() if parameter.requires_grad and parameter.ndim >= 2]
    return matrices[:-1]


class Muon(Optimizer):
    """Torch's Muon for `hidden_matrices` and torch's AdamW for the other parameters, with one state and one list of groups.

    Args:
        network: what to train.
        lr: of Muon, at least 0; an update's spectral norm is about it times sqrt(max(1, rows / columns)).
        adamw_lr: of AdamW, at least 0.
        momentum: of Muon, at least 0; Nesterov's.
        weight_decay: of both: share by which a weight shrinks per step and unit of learning rate, at least 0.

    Raises:
        Refused: a network without hidden matrices.
    """

    def __init__(
        self, network: nn.Module, lr: float = 0.02, adamw_lr: float = 3e-4, momentum: float = 0.95, weight_decay: float = 0.01
    ) -> None:
        self._kernels = hidden_matrices(network)
        if not self._kernels:
            raise Refused("the network has no matrix or kernel but its classifier, and Muon is for hidden layers")
        self._matrices = [as_matrix(kernel.detach()) for kernel in self._kernels]
        own = set(self._kernels)
        rest = [parameter for parameter in network.parameters() if parameter.requires_grad and parameter not in own]
        muon = torch.optim.Muon(self._matrices, lr=lr, momentum=momentum, weight_decay=weight_decay)
        adamw = torch.optim.AdamW(rest, lr=adamw_lr, betas=(0.9, 0.95), weight_decay=weight_decay, fused=True)
        self._parts: tuple[Optimizer, ...] = (muon, adamw)
        super().__init__([group for part in self._parts for group in part.param_groups], {})
        self._share()

    def _share(self) -> None:
        self.param_groups = [group for part in self._parts for group in part.param_groups]

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Forget the gradients of all parameters."""
        super().zero_grad(set_to_none)
        for kernel in self._kernels:
            kernel.grad = None

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:  # type: ignore[override]
        """Update every parameter that has a gradient; returns what `closure`, which evaluates the loss again, returns."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for kernel, matrix in zip(self._kernels, self._matrices, strict=True):
            if matrix.data_ptr() != kernel.data_ptr():  # somebody gave the parameter another storage: a pack of replicas does
                matrix.data = as_matrix(kernel.detach())
            matrix.grad = None if kernel.grad is None else _columns_as(kernel, kernel.grad)
        for part in self._parts:
            part.step()
        return loss

    def state_dict(self) -> dict[str, Any]:
        """The states of both parts."""
        return {"parts": [part.state_dict() for part in self._parts]}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on from such a state."""
        for part, state in zip(self._parts, state_dict["parts"], strict=True):
            part.load_state_dict(state)
        self._share()


def _columns_as(kernel: Tensor, gradient: Tensor) -> Tensor:
    """A gradient as a matrix whose columns are in the order in which the kernel's lie in memory."""
    return (gradient if kernel.is_contiguous() else gradient.movedim(1, -1)).flatten(1)
