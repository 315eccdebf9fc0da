"""DSGD: test vectors, the guarantee on random networks, and the usual behaviour of an optimizer."""

from __future__ import annotations

import copy
import io
import math
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from agd_bench.errors import InputError, Refused, UnknownNameError
from agd_bench.optim.dsgd import DSGD
from agd_bench.optim.dualities import EXPONENTS
from agd_bench.optim.losses import cross_entropy
from agd_bench.optim.smoothness import BOUNDED, LINEAR, Square
from tests.optim.fully_connected import Case, cases, recursion, vector_loss, vector_network

# Moduli before the first step; its promised and actual decrease; losses after 1, 2, 10 and 200 steps; updates per layer after 200.
SQUARE_VECTORS: dict[float, tuple[list[float], float, float, list[float], list[int]]] = {
    1.0: (
        [28.6672366025, 19.4729117604, 9.01483349657],
        0.00503159460278,
        0.0100398318788,
        [1.59649867430347, 1.58655762736492, 1.51205854966513, 0.979323355710027],
        [0, 0, 200],
    ),
    2.0: (
        [11.3781670541, 9.39153809842, 5.41602560309],
        0.0111271350352,
        0.0221855123501,
        [1.58435299383217, 1.56245317556945, 1.4003839943114, 0.955372308768623],
        [46, 0, 154],
    ),
    math.inf: (
        [11.4540832343, 6.21524891976, 3.90353740946],
        0.0322311306016,
        0.0637695800502,
        [1.54276892613203, 1.48201054692595, 1.1443438930135, 0.964882050059426],
        [25, 0, 175],
    ),
}
ENTROPY_VECTORS = {
    1.0: [1.2330102082978, 1.12050397714752, 1.04502949539659],
    2.0: [1.22942484016489, 1.10414127545683, 1.02625007883048],
    math.inf: [1.19619940269007, 1.07939839778387, 1.03978750720671],
}


def train(optimizer: DSGD, tanh_at_the_end: bool, network: nn.Module, steps: int) -> list[float]:
    """Return the losses of the test vectors' problem before the first and after every step, comparing each step with its promise."""
    losses = [vector_loss(network, tanh_at_the_end)]
    for _ in range(steps):
        optimizer.zero_grad()
        torch.autograd.backward(losses[-1])
        optimizer.step()
        losses.append(vector_loss(network, tanh_at_the_end))
        optimizer.compare(losses[-2].detach(), losses[-1])
    return [float(loss.detach()) for loss in losses]


@pytest.mark.parametrize("q", EXPONENTS)
def test_square_vectors(q: float) -> None:
    """Moduli, promised and actual decrease, losses and updated layers match the vectors over 200 full-batch steps."""
    moduli, promised, kept, losses, counts = SQUARE_VECTORS[q]
    network = vector_network(True)
    optimizer = DSGD(network, Square(), q)
    first = vector_loss(network, True)
    assert float(first.detach()) == pytest.approx(1.60653850618223, rel=1e-14)
    assert optimizer.moduli().tolist() == pytest.approx(moduli, rel=1e-11)
    got = train(optimizer, True, network, 1)
    one = optimizer.diagnostics()
    assert float(one["promised_decrease"]) == pytest.approx(promised, rel=1e-11)
    assert float(one["compared_decrease"]) == pytest.approx(kept, rel=1e-11)
    got += train(optimizer, True, network, 199)[1:]
    assert [got[step] for step in (1, 2, 10, 200)] == pytest.approx(losses, rel=1e-13)
    end = optimizer.diagnostics()
    assert [int(one[f"updates/{name}"] + end[f"updates/{name}"]) for name in (0, 2, 4)] == counts
    assert int(one["shortfalls"] + end["shortfalls"]) == 0
    assert float(end["compared_decrease"]) == pytest.approx(got[1] - got[-1], rel=1e-12)
    assert int(end["compared_steps"]) == 199
    assert not any(optimizer.diagnostics().values()), "asking begins anew"


@pytest.mark.parametrize("q", EXPONENTS)
def test_cross_entropy_vectors(q: float) -> None:
    """Losses match the vectors over 200 full-batch steps, and the first step moves the last layer."""
    network = vector_network(False)
    optimizer = DSGD(network, "cross-entropy", q)
    got = train(optimizer, False, network, 1)
    assert got[0] == pytest.approx(1.25466041488457, rel=1e-14)
    assert optimizer.param_groups[0]["moved"].tolist() == [0, 0, 1]
    got += train(optimizer, False, network, 199)[1:]
    assert [got[step] for step in (1, 10, 200)] == pytest.approx(ENTROPY_VECTORS[q], rel=1e-13)
    assert int(optimizer.diagnostics()["shortfalls"]) == 0


def wanted_moduli(case: Case, q: float) -> list[float]:
    """Return a network's moduli, computed independently in numpy; also check that its outputs lie in the assumed range."""
    layers = [module for module in case.network if isinstance(module, nn.Linear)]
    known = [BOUNDED.get(type(module)) for module in [*case.network, nn.Flatten()][1:]]
    activations = [known[i] or LINEAR for i, module in enumerate(case.network) if isinstance(module, nn.Linear)]
    weights = [layer.weight.detach().numpy() for layer in layers]
    biases = [np.zeros(len(w)) if layer.bias is None else layer.bias.detach().numpy() for w, layer in zip(weights, layers, strict=True)]
    ones = np.ones(0 if layers[0].bias is None else 1)
    inputs = [max(float(np.linalg.norm(np.append(image, ones), q)) for image in case.images.numpy())]
    inputs += [float(np.linalg.norm(np.append(np.ones(len(w)), ones), q)) for w in weights[:-1]]
    classes = len(weights[-1])
    low, high = activations[-1].low, activations[-1].high
    if activations[-1] is LINEAR:
        high = float(np.max(np.abs(weights[-1]).sum(1) + np.abs(biases[-1])))
        low = -high
    outputs = case.network(case.images).detach()
    # A single linear layer has no output range, and needs none.
    assert len(layers) == 1 or (low <= float(outputs.min()) and float(outputs.max()) <= high)
    if case.loss == "cross-entropy":
        first, second = {1: (1, 0.25), 2: (math.sqrt(2), 0.5), math.inf: (2, 1)}[q]
    else:
        residual = max(high, math.sqrt(classes) - low)
        first = 2 / classes * residual * {1: 1, 2: math.sqrt(classes), math.inf: classes}[q]
        second = 2 / classes * (classes if q == math.inf else 1)
    norms = [float(np.linalg.norm(w, q)) for w in weights]
    return recursion(norms, inputs, [a.slope for a in activations], [a.curvature for a in activations], first, second)


@settings(max_examples=80, deadline=None)
@given(case=cases(), q=st.sampled_from(EXPONENTS))
def test_moduli_are_those_of_the_network(case: Case, q: float) -> None:
    """The moduli match an independent computation from the network, its biases, its images and the range of the loss."""
    optimizer = DSGD(case.network, case.loss, q)
    case.value()
    assert optimizer.moduli().tolist() == pytest.approx(wanted_moduli(case, q), rel=1e-10)


@settings(max_examples=150, deadline=None)
@given(case=cases(), q=st.sampled_from(EXPONENTS), step_size=st.sampled_from([1.0, 0.3, 1.7]), batch=st.integers(1, 9))
def test_every_step_keeps_its_promise(case: Case, q: float, step_size: float, batch: int) -> None:
    """On random problems, every step lowers the loss of its batch by at least the promised amount and moves at most one layer."""
    optimizer = DSGD(case.network, case.loss, q, step_size)
    for step in range(6):
        chosen = slice(step * batch % len(case.labels), None)
        before = case.value(chosen)
        optimizer.zero_grad()
        torch.autograd.backward(before)
        weights = copy.deepcopy(case.network.state_dict())
        optimizer.step()
        kept = before.detach() - case.value(chosen).detach()
        assert float(kept) >= float(optimizer.param_groups[0]["promised"]) - 1e-13 * max(1, float(before.detach()))
        moved = {name.split(".")[0] for name, value in case.network.state_dict().items() if not torch.equal(value, weights[name])}
        assert len(moved) <= 1


def test_the_promise_is_that_of_the_best_layer() -> None:
    """Promise and rate match values computed from nuclear norms and moduli, for the best step size and for another."""
    network = vector_network(True)
    for step_size in (1.0, 0.5):
        optimizer = DSGD(network, Square(), 2, step_size)
        optimizer.zero_grad()
        torch.autograd.backward(vector_loss(network, True))
        duals = torch.stack([torch.linalg.matrix_norm(p.grad, "nuc") for p in network.parameters() if p.grad is not None])
        scores, moduli = duals / optimizer.moduli(), optimizer.moduli()
        optimizer.step()
        promised = step_size * (1 - step_size / 2) * float(scores.max()) ** 2
        assert float(optimizer.param_groups[0]["promised"]) == pytest.approx(promised, rel=1e-12)
        assert float(optimizer.param_groups[0]["lr"]) == pytest.approx(step_size / float(moduli[scores.argmax()]) ** 2, rel=1e-12)


def small(bias: bool = True) -> nn.Sequential:
    """Return a float32 network for images (N, 1, 3, 3) of two classes."""
    torch.manual_seed(0)
    return nn.Sequential(nn.Flatten(), nn.Linear(9, 6, bias=bias), nn.Tanh(), nn.Linear(6, 2, bias=bias))


def linear(network: nn.Sequential, index: int) -> nn.Linear:
    """Return the linear layer at an index of the network."""
    layer = network[index]
    assert isinstance(layer, nn.Linear)
    return layer


def images(seed: int = 0, count: int = 16) -> Tensor:
    """Return random images."""
    return torch.randn(count, 1, 3, 3, generator=torch.Generator().manual_seed(seed))


def step(network: nn.Module, optimizer: DSGD, pixels: Tensor) -> None:
    """Take one step on the cross-entropy loss."""
    optimizer.zero_grad()
    torch.autograd.backward(cross_entropy(network(pixels), torch.arange(len(pixels)) % 2))
    optimizer.step()


@pytest.mark.parametrize("q", EXPONENTS)
def test_the_largest_norm_seen_counts(q: float) -> None:
    """The input norm is the largest over all training passes so far; evaluation passes do not count, and a given norm is kept."""
    network = small()
    optimizer = DSGD(network, "cross-entropy", q)
    far, near = 3 * images(1), images(2)
    with torch.no_grad():
        network(100 * far)
    for pixels in (near, far, near):
        step(network, optimizer, pixels)
    assert float(optimizer.param_groups[0]["input_norm"]) == pytest.approx(float(far.flatten(1).norm(q, dim=1).max()), rel=1e-6)
    network = small()
    given_norm = DSGD(network, "cross-entropy", q, input_norm=7.5)
    step(network, given_norm, near)
    assert float(given_norm.param_groups[0]["input_norm"]) == 7.5


def test_no_image_is_an_error() -> None:
    """A step before any forward pass fails with a message that says what to do, since the first layer's bound is unknown."""
    with pytest.raises(InputError, match="give input_norm"):
        DSGD(small()).step()


@pytest.mark.parametrize("q", EXPONENTS)
def test_a_saved_optimizer_continues(q: float) -> None:
    """An optimizer restored from a saved file continues bit for bit: weights, counts and largest norm."""
    network = small()
    optimizer = DSGD(network, "cross-entropy", q)
    step(network, optimizer, 5 * images(1))
    buffer = io.BytesIO()
    torch.save({"network": network.state_dict(), "optimizer": optimizer.state_dict()}, buffer)
    buffer.seek(0)
    saved = torch.load(buffer, weights_only=True)
    twin = small()
    other = DSGD(twin, "cross-entropy", q)
    twin.load_state_dict(saved["network"])
    other.load_state_dict(saved["optimizer"])
    for seed in range(3):
        step(network, optimizer, images(seed))
        step(twin, other, images(seed))
    assert all(torch.equal(a, b) for a, b in zip(network.parameters(), twin.parameters(), strict=True))
    read, again = ({name: float(value) for name, value in each.diagnostics().items()} for each in (optimizer, other))
    assert read == again
    assert sum(value for name, value in again.items() if name.startswith("updates/")) == 4


def test_a_state_dict_is_a_snapshot() -> None:
    """A state dict taken before a step is not changed by that step."""
    network = small()
    optimizer = DSGD(network, "cross-entropy")
    step(network, optimizer, images())
    saved = optimizer.state_dict()
    before = copy.deepcopy(saved)
    step(network, optimizer, images(1))
    for name, value in before["param_groups"][0].items():
        if isinstance(value, Tensor):
            assert torch.equal(value, saved["param_groups"][0][name]), name


class Operations(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Records the names of the operations run inside the `with` block."""

    def __init__(self) -> None:
        """Start with no operations."""
        super().__init__()  # type: ignore[no-untyped-call]
        self.names: list[str] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Record and run one operation."""
        self.names.append(str(func))
        return func(*args, **(kwargs or {}))


@pytest.mark.parametrize("q", EXPONENTS)
def test_a_step_never_asks_for_a_number(q: float) -> None:
    """Choosing a layer, bounds, counts and comparison stay on the device: no value is read back, no shape depends on values."""
    network = small()
    optimizer = DSGD(network, "cross-entropy", q)
    step(network, optimizer, images())
    loss = cross_entropy(network(images()), torch.arange(16) % 2)
    optimizer.zero_grad()
    torch.autograd.backward(loss)
    with Operations() as seen:
        optimizer.step()
        optimizer.compare(loss.detach(), loss.detach())
        optimizer.diagnostics()
    waiting = ("_local_scalar_dense", "item", "nonzero", "is_nonzero", "equal.default")
    assert not [name for name in seen.names if any(word in name for word in waiting)]


def test_a_layer_cut_off_stays() -> None:
    """Below a layer of zeros there is no gradient: the zero layer itself moves, and no weight becomes NaN."""
    network = small(bias=False)
    with torch.no_grad():
        linear(network, 3).weight.zero_()
    optimizer = DSGD(network, "cross-entropy")
    step(network, optimizer, images())
    assert optimizer.param_groups[0]["moved"].tolist() == [0, 1]
    assert all(bool(p.isfinite().all()) for p in network.parameters())


def test_without_gradients_nothing_moves() -> None:
    """Missing gradients count as zero: no layer moves and no update is counted."""
    network = small()
    optimizer = DSGD(network, "cross-entropy")
    network(images())
    before = copy.deepcopy(network.state_dict())
    optimizer.step()
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())
    assert optimizer.param_groups[0]["moved"].tolist() == [0, 0]
    assert float(optimizer.param_groups[0]["lr"]) == 0


def test_frozen_parameters_stay() -> None:
    """A frozen layer keeps its weights, and the layer below it still trains."""
    network = small()
    network[3].requires_grad_(False)
    optimizer = DSGD(network, "cross-entropy")
    before = copy.deepcopy(network.state_dict())
    for seed in range(3):
        step(network, optimizer, images(seed))
    assert optimizer.param_groups[0]["moved"].tolist() == [3, 0]
    assert torch.equal(linear(network, 3).weight, before["3.weight"])


@pytest.mark.parametrize("q", EXPONENTS)
def test_what_is_not_a_number_spreads(q: float) -> None:
    """A NaN gradient makes the weights non-finite, so that the harness detects the divergence; later steps do not raise."""
    network = small()
    optimizer = DSGD(network, "cross-entropy", q)
    network(images())
    linear(network, 1).weight.grad = torch.full((6, 9), math.nan)
    optimizer.step()
    assert not bool(linear(network, 1).weight.isfinite().all())
    step(network, optimizer, images())


def test_shortfalls_are_counted() -> None:
    """A step counts as a shortfall if it achieves less than promised or ends in NaN, but not for rounding errors."""
    network = small()
    optimizer = DSGD(network, "cross-entropy")
    step(network, optimizer, images())
    promised = float(optimizer.param_groups[0]["promised"])
    before = torch.tensor(1.0)
    for after in (1 - 2 * promised, 1 - promised + 1e-7, 1 - 0.5 * promised, math.nan):
        optimizer.compare(before, torch.tensor(after))
    seen = optimizer.diagnostics()
    assert (int(seen["compared_steps"]), int(seen["shortfalls"])) == (4, 2)
    assert float(seen["compared_promise"]) == pytest.approx(4 * promised)


def test_a_closure_is_evaluated() -> None:
    """As with torch's optimizers, `step` calls the closure for the gradients and returns its loss."""
    network = small()
    optimizer = DSGD(network, "cross-entropy")

    def closure() -> float:
        optimizer.zero_grad()
        loss = cross_entropy(network(images()), torch.arange(16) % 2)
        torch.autograd.backward(loss)
        return float(loss.detach())

    first = optimizer.step(closure)
    second = optimizer.step(closure)
    assert first is not None
    assert second is not None
    assert second < first


def test_refusals() -> None:
    """Values out of range, unknown losses, additional parameters and networks without a guarantee are refused."""
    for wrong in (0.0, 2.0, -1.0, math.nan):
        with pytest.raises(InputError, match=r"\(0, 2\)"):
            DSGD(small(), step_size=wrong)
    for norm in (0.0, -1.0, math.inf, math.nan):
        with pytest.raises(InputError, match="largest norm of an image"):
            DSGD(small(), input_norm=norm)
    with pytest.raises(UnknownNameError, match="cross-entropy, square"):
        DSGD(small(), "cross_entropy")
    with pytest.raises(InputError, match="takes no further parameters"):
        DSGD(small()).add_param_group({"params": [torch.zeros(2, 2)]})
    with pytest.raises(Refused, match="layer '1' is ReLU"):
        DSGD(nn.Sequential(nn.Linear(2, 2), nn.ReLU()))
