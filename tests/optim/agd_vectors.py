"""Published trajectories that AGD is tested against, and a tap-by-tap implementation of its gradient summary."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import torch
from hypothesis import strategies as st
from torch import Tensor
from torch.nn import functional
from torch.utils._python_dispatch import TorchDispatchMode

from agd_bench.optim.agd import AGD
from agd_bench.optim.losses import cross_entropy, square

RELATIVE = 1e-12


def fill(shape: tuple[int, ...], a: float, b: float) -> Tensor:
    """Return the float64 tensor of sin(a k + b) for k = 0, 1, … in row-major order."""
    return torch.sin(a * torch.arange(math.prod(shape), dtype=torch.float64) + b).view(shape)


def weights(shapes: list[tuple[int, ...]]) -> list[Tensor]:
    """Return the weights of the test vectors."""
    return [(0.5 * fill(shape, 1.7 + 0.3 * i, 0.5 * i)).requires_grad_() for i, shape in enumerate(shapes)]


def mlp(parameters: list[Tensor]) -> Tensor:
    """Return the logits of the vectors' MLP 6-5-4-3 with sqrt(2) ReLU."""
    hidden = fill((8, 6), 0.9, 0.2)
    for parameter in parameters[:-1]:
        hidden = math.sqrt(2) * torch.relu(hidden @ parameter.T)
    return hidden @ parameters[-1].T


def cnn(parameters: list[Tensor]) -> Tensor:
    """Return the logits of the vectors' network of three convolutions, two batch norms and a linear layer."""
    hidden = fill((6, 2, 6, 6), 0.37, 0.1)
    hidden = torch.relu(functional.batch_norm(functional.conv2d(hidden, parameters[0], padding=1), None, None, training=True))
    hidden = functional.batch_norm(functional.conv2d(hidden, parameters[1], stride=2, padding=1), None, None, training=True)
    hidden = torch.relu(functional.conv2d(torch.relu(hidden), parameters[2]))
    return hidden.mean((2, 3)) @ parameters[3].T


def train(network: Any, parameters: list[Tensor], loss: Any, gain: float = 1.0) -> Iterator[tuple[float, float, float]]:
    """Train indefinitely, yielding the loss before each step, its gradient summary and its learning rate."""
    optimizer = AGD(parameters, gain=gain)
    while True:
        optimizer.zero_grad()
        logits = network(parameters)
        value = loss(logits, torch.arange(len(logits)) % 3)
        torch.autograd.backward(value)
        summary = reference_summary(parameters)
        optimizer.step()
        yield value.item(), summary, optimizer.param_groups[0]["lr"].item()


def reference_summary(parameters: list[Tensor]) -> float:
    """Return the gradient summary, computed tap by tap."""
    return sum(reference_terms(parameters)) / len(parameters)


def reference_terms(parameters: list[Tensor]) -> list[float]:
    """Return s(p) * sum of tap norms for each parameter, computed tap by tap."""
    return [reference_scale(p) * sum(float(tap.norm()) for tap in reference_taps(gradient(p))) for p in parameters]


def gradient(parameter: Tensor) -> Tensor:
    """Return the gradient in float64, or zeros if there is none."""
    return torch.zeros_like(parameter).double() if parameter.grad is None else parameter.grad.double()


def reference_scale(parameter: Tensor) -> float:
    """Return the scale, computed in a different way from the implementation."""
    area = 1 if parameter.dim() == 2 else parameter.shape[2] * parameter.shape[3]
    return math.sqrt(parameter.shape[0]) / math.sqrt(parameter.shape[1]) / math.sqrt(area)


def reference_taps(tensor: Tensor) -> list[Tensor]:
    """Return the taps of a matrix or kernel as matrices that share its memory."""
    if tensor.dim() == 2:
        return [tensor]
    return [tensor[:, :, i, j] for i in range(tensor.shape[2]) for j in range(tensor.shape[3])]


Row = tuple[int, float, float | None, float | None]
VECTORS: dict[str, tuple[Any, Any, float, list[Row]]] = {
    "V1": (
        mlp,
        square,
        1.0,
        [
            (0, 1.24447657355373, 0.532553869933845, 0.325426274856968),
            (1, 1.11152785036123, 0.30725100084074, 0.220333579327023),
            (2, 1.0550699142658, 0.20637716206979, 0.16174201601306043),
            (5, 0.991302805146832, 0.129916629656818, None),
            (10, 0.921705985273975, 0.143939534144093, 0.120132297225221),
        ],
    ),
    "V2": (
        mlp,
        cross_entropy,
        1.0,
        [
            (0, 1.29317291104398, 0.316042605773846, 0.225028198499511),
            (1, 1.2308479255436, 0.241175172988909, None),
            (2, 1.19141727531529, 0.191771581467398, None),
            (10, 1.10002708496892, 0.0761225919904189, None),
        ],
    ),
    "V3": (
        mlp,
        square,
        10.0,
        [
            (0, 1.24447657355373, None, None),
            (1, 0.96327695438031, None, None),
            (2, 0.75811239885195, None, None),
            (3, 1.03938778162273, None, None),
            (5, 1.0, 0.0, 0.0),
            (9, 1.0, 0.0, 0.0),
        ],
    ),
    "V4": (
        cnn,
        square,
        1.0,
        [
            (0, 0.979971711207691, 0.375132359077824, 0.255148386250223),
            (1, 0.910584818368465, 0.270701519809979, 0.200158616061302),
            (2, 0.871116719747959, 0.230848454432248, None),
            (10, 0.710019343856283, 0.152782196267914, None),
        ],
    ),
}
"""Network, loss, gain and rows (step, loss before it, G, eta), computed by the authors' program in float64."""
SHAPES: dict[Any, list[tuple[int, ...]]] = {
    mlp: [(5, 6), (4, 5), (3, 4)],
    cnn: [(4, 2, 3, 3), (6, 4, 3, 3), (5, 6, 1, 1), (3, 5)],
}
shapes = st.lists(
    st.one_of(
        st.tuples(st.integers(1, 5), st.integers(1, 5)),
        st.tuples(st.integers(1, 4), st.integers(1, 4), st.integers(1, 3), st.integers(1, 3)),
    ),
    min_size=1,
    max_size=7,
)


def random_parameters(drawn: list[tuple[int, ...]], seed: int, dtype: torch.dtype = torch.float64) -> list[Tensor]:
    """Return weights with gradients of many magnitudes; some gradients are missing, and some have a tap of zeros."""
    generator = torch.Generator().manual_seed(seed)
    parameters = [torch.randn(shape, generator=generator, dtype=torch.float64).to(dtype).requires_grad_() for shape in drawn]
    for parameter in parameters:
        kind = int(torch.randint(4, (), generator=generator))
        if kind == 0:
            continue
        size = 10.0 ** float(torch.randint(-6, 4, (), generator=generator))
        parameter.grad = (size * torch.randn(parameter.shape, generator=generator, dtype=torch.float64)).to(dtype)
        if kind == 1:
            reference_taps(parameter.grad)[0].zero_()
    return parameters


class Operations(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Records the names of the operations run inside the `with` block, except views."""

    def __init__(self) -> None:
        """Start with no operations."""
        super().__init__()  # type: ignore[no-untyped-call]
        self.names: list[str] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Run one operation and record it unless it is a view."""
        if not func.is_view:
            self.names.append(str(func))
        return func(*args, **(kwargs or {}))
