"""AGD against published results, an independent reference and its own invariants."""

from __future__ import annotations

import copy
import io
import itertools
import math
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from agd_bench.optim.agd import AGD, automatic_learning_rate, scale
from agd_bench.optim.agd_reference import update_weights
from agd_bench.optim.losses import square
from tests.optim.agd_vectors import (
    RELATIVE,
    SHAPES,
    VECTORS,
    Operations,
    cnn,
    mlp,
    random_parameters,
    reference_summary,
    reference_taps,
    reference_terms,
    shapes,
    train,
    weights,
)


@pytest.mark.parametrize("name", VECTORS)
def test_trajectory_is_the_published_one(name: str) -> None:
    """Loss, gradient summary and learning rate agree with the authors' program over several steps."""
    network, loss, gain, rows = VECTORS[name]
    steps = train(network, weights(SHAPES[network]), loss, gain)
    seen = list(itertools.islice(steps, 1 + rows[-1][0]))
    for step, *values in rows:
        for got, wanted in zip(seen[step], values, strict=True):
            assert wanted is None or got == pytest.approx(wanted, rel=RELATIVE, abs=0)


def test_weights_after_three_steps_are_the_published_ones() -> None:
    """A row of the first matrix agrees with the authors' program to the last digits."""
    parameters = weights(SHAPES[mlp])
    steps = train(mlp, parameters, square)
    for _ in range(3):
        next(steps)
    row = [-0.02657667633749565, 0.46990602338235254, -0.13342606946661695, -0.4440120126124817]
    row += [0.27620324318508516, 0.41658382170204966]
    assert parameters[0][0].tolist() == pytest.approx(row, rel=RELATIVE, abs=0)


def test_first_step_of_the_convolutional_vector() -> None:
    """The terms of L G, the size of each tap's update and checksums of the new weights agree with the authors' program."""
    parameters = weights(SHAPES[cnn])
    before = [parameter.detach().clone() for parameter in parameters]
    next(train(cnn, parameters, square))
    terms = [0.46891752123332137, 0.2929991334220548, 0.5745244170312706, 0.16408836462464937]
    assert reference_terms(parameters) == pytest.approx(terms, rel=RELATIVE, abs=0)
    sizes = [0.03006952568772289, 0.02604097312531676, 0.058229386108453435, 0.049409272537940606]
    sums = [(0.408304371914735, 9.00597089681982), (0.35985604339152566, 26.903820469077417)]
    sums += [(-0.005217538065522664, 3.7745467834201643), (0.41076362908752573, 1.9167045237482032)]
    for parameter, old, size, checksum in zip(parameters, before, sizes, sums, strict=True):
        new = parameter.detach()
        for tap in reference_taps(new - old):
            assert float(tap.norm()) == pytest.approx(size, rel=RELATIVE, abs=0)
        # Terms of both signs cancel, so the rounding error is relative to the sum of absolute values.
        assert float(new.sum()) == pytest.approx(checksum[0], rel=0, abs=RELATIVE * float(new.abs().sum()))
        assert float(new.square().sum()) == pytest.approx(checksum[1], rel=RELATIVE, abs=0)


def test_dead_network_stays_finite_and_still() -> None:
    """Once every gradient is zero, nothing moves, even with a large gain."""
    parameters = weights(SHAPES[mlp])
    steps = train(mlp, parameters, square, gain=10.0)
    list(itertools.islice(steps, 6))
    before = [parameter.detach().clone() for parameter in parameters]
    loss, *rest = next(steps)
    assert loss == pytest.approx(1.0)
    assert not any(rest)
    assert all(torch.equal(old, new) for old, new in zip(before, parameters, strict=True))


ETA = {0.0: 0.0, 1e-3: 0.000998503324608402, 0.1: 0.0876518186472147, 0.5: 0.311905358182436, 1.0: math.log((1 + math.sqrt(5)) / 2)}
ETA |= {2.0: math.log(2), 10.0: 1.30875492479895, 100.0: 2.35256428306339}


@pytest.mark.parametrize(("summary", "eta"), ETA.items())
def test_automatic_learning_rate(summary: float, eta: float) -> None:
    """eta(G) matches a table of known values, including log 2 and the logarithm of the golden ratio."""
    assert automatic_learning_rate(torch.tensor(summary, dtype=torch.float64)).item() == pytest.approx(eta, rel=RELATIVE, abs=0)


@given(st.floats(min_value=-300, max_value=100))
def test_automatic_learning_rate_solves_its_equation(exponent: float) -> None:
    """(e^eta - 1) e^eta = G holds up to rounding from tiny to huge G, so there is no cancellation."""
    summary = 10.0**exponent
    eta = automatic_learning_rate(torch.tensor(summary, dtype=torch.float64)).item()
    assert math.expm1(eta) * math.exp(eta) == pytest.approx(summary, rel=1e-12 * max(1.0, eta), abs=0)


def test_scale() -> None:
    """A matrix and a kernel have the expected scale."""
    assert scale((8, 2)) == 2.0
    assert scale((9, 4, 3, 3)) == pytest.approx(0.5, rel=1e-15)


@given(shapes, st.integers(0, 2**31), st.floats(0.01, 100))
@settings(max_examples=150, deadline=None)
def test_agrees_with_the_plain_loop(drawn: list[tuple[int, ...]], seed: int, gain: float) -> None:
    """Two steps on any mixture of shapes, missing gradients and dead taps equal the plain reference."""
    parameters = random_parameters(drawn, seed)
    twins = copy.deepcopy(parameters)
    optimizer = AGD(parameters, gain=gain)
    for _ in range(2):
        optimizer.step()
        eta = update_weights(twins, gain)
        # The plain formula loses digits to cancellation when G is small.
        assert optimizer.param_groups[0]["lr"].item() == pytest.approx(eta, rel=RELATIVE, abs=1e-15)
        for parameter, twin in zip(parameters, twins, strict=True):
            torch.testing.assert_close(parameter, twin, rtol=RELATIVE, atol=RELATIVE * gain)


@pytest.mark.parametrize(("dtype", "rtol"), [(torch.float32, 1e-6), (torch.bfloat16, 1e-2)])
def test_other_types(dtype: torch.dtype, rtol: float) -> None:
    """Float32 and bfloat16 weights keep their dtype, and updates have the right size up to rounding."""
    parameters = [torch.zeros(6, 4, 3, 3, dtype=dtype, requires_grad=True), torch.zeros(5, 6, dtype=dtype, requires_grad=True)]
    generator = torch.Generator().manual_seed(1)
    for parameter in parameters:
        parameter.grad = torch.randn(parameter.shape, generator=generator).to(dtype)
    summary = reference_summary(parameters)
    optimizer = AGD(parameters)
    optimizer.step()
    eta = optimizer.param_groups[0]["lr"]
    assert eta.dtype == torch.float64
    assert eta.item() == pytest.approx(math.log((1 + math.sqrt(1 + 4 * summary)) / 2), rel=1e-6)
    for parameter in parameters:
        assert parameter.dtype == dtype
        for tap in reference_taps(parameter.detach().double()):
            assert float(tap.norm()) == pytest.approx(eta.item() / 2 * scale(tuple(parameter.shape)), rel=rtol)


def test_norms_of_large_layers_are_accurate() -> None:
    """The update of a large float32 layer has the right size to 1e-6; naive summation would be off by 1e-5 and more."""
    parameter = torch.zeros(512, 512, 3, 3, requires_grad=True)
    parameter.grad = torch.rand(parameter.shape, generator=torch.Generator().manual_seed(0))
    optimizer = AGD([parameter])
    optimizer.step()
    eta = math.log((1 + math.sqrt(1 + 4 * reference_summary([parameter]))) / 2)
    assert optimizer.param_groups[0]["lr"].item() == pytest.approx(eta, rel=1e-6)
    sizes = parameter.detach().double().square().sum((0, 1)).sqrt()
    expected = torch.full_like(sizes, eta / 3)
    torch.testing.assert_close(sizes, expected, rtol=1e-6, atol=0)


@pytest.mark.parametrize("size", [1e-38, 1e-30, 1e-22, 1e-15])
def test_gradients_of_vanishing_size_stay_harmless(size: float) -> None:
    """However small a float32 gradient is, the update is finite and no larger than defined, up to rounding."""
    parameter = torch.zeros(4, 4, requires_grad=True)
    parameter.grad = torch.full((4, 4), size)
    optimizer = AGD([parameter])
    optimizer.step()
    # G = s ||g|| = 4 size, and eta = G to first order; squares below 1e-45 underflow, so the update is then 0.
    assert 0 <= optimizer.param_groups[0]["lr"].item() <= 4 * size * 1.5
    assert float(parameter.detach().double().norm()) <= 4 * size * 1.5
    if size > 1e-20:
        assert float(parameter.detach().double().norm()) == pytest.approx(4 * size, rel=1e-6)


def test_layout_in_memory_does_not_matter() -> None:
    """Channels-last and transposed parameters and gradients get the same update as contiguous ones."""
    plain = random_parameters([(4, 3, 3, 3), (4, 3, 3, 3), (5, 7)], seed=3)
    for parameter in plain:
        parameter.grad = torch.randn(parameter.shape, generator=torch.Generator().manual_seed(4), dtype=torch.float64)
    strided: list[Tensor] = [p.detach().contiguous(memory_format=torch.channels_last).requires_grad_() for p in plain[:2]]
    strided.append(plain[2].detach().T.contiguous().T.requires_grad_())
    for twin, parameter in zip(strided, plain, strict=True):
        assert parameter.grad is not None
        twin.grad = torch.empty_like(twin).copy_(parameter.grad)
        assert not twin.grad.is_contiguous()
    AGD(plain).step()
    AGD(strided).step()
    for parameter, twin in zip(plain, strided, strict=True):
        torch.testing.assert_close(parameter, twin, rtol=1e-14, atol=1e-15)


def test_smallest_layer() -> None:
    """A 1 x 1 layer without bias moves by exactly eta, against the sign of its gradient."""
    layer = nn.Linear(1, 1, bias=False, dtype=torch.float64)
    before = layer.weight.item()
    optimizer = AGD(layer.parameters())
    torch.autograd.backward((3 * layer.weight).sum())
    optimizer.step()
    assert layer.weight.item() == pytest.approx(before - math.log((1 + math.sqrt(13)) / 2), rel=RELATIVE)


def test_missing_gradient_is_a_zero_gradient() -> None:
    """A parameter without a gradient stays unchanged but counts in L, just like one with a zero gradient."""
    missing, zero = random_parameters([(3, 2), (2, 3)], seed=5), random_parameters([(3, 2), (2, 3)], seed=5)
    for pair in (missing, zero):
        pair[0].grad, pair[1].grad = torch.ones_like(pair[0]), torch.zeros_like(pair[1])
    missing[1].grad = None
    untouched = missing[1].detach().clone()
    first = AGD(missing)
    first.step()
    AGD(zero).step()
    assert torch.equal(missing[1], untouched)
    assert missing[1].grad is None
    assert all(torch.equal(a, b) for a, b in zip(missing, zero, strict=True))
    # L is 2: the summary is half of s * ||g|| = sqrt(3/2) * sqrt(6) = 3.
    assert first.param_groups[0]["lr"].item() == pytest.approx(math.log((1 + math.sqrt(7)) / 2), rel=RELATIVE)


def test_gradients_are_left_alone() -> None:
    """A step does not modify the gradients."""
    parameters = random_parameters([(3, 2), (4, 3, 2, 2), (3, 2)], seed=11)
    before = [None if p.grad is None else p.grad.clone() for p in parameters]
    AGD(parameters).step()
    for parameter, old in zip(parameters, before, strict=True):
        assert (parameter.grad is None) if old is None else torch.equal(old, parameter.grad)  # type: ignore[arg-type]


def test_groups_share_one_depth() -> None:
    """L and eta are computed over all groups, while each group keeps its own gain."""
    together, apart = random_parameters([(3, 2), (2, 3), (3, 2)], seed=6), random_parameters([(3, 2), (2, 3), (3, 2)], seed=6)
    for parameter in (*together, *apart):
        parameter.grad = torch.ones_like(parameter)
    start = [parameter.detach().clone() for parameter in together]
    AGD(together).step()
    groups: list[dict[str, Any]] = [{"params": apart[:1]}, {"params": apart[1:], "gain": 3.0}]
    optimizer = AGD(groups)
    optimizer.step()
    assert [float(group["lr"]) for group in optimizer.param_groups] == 2 * [float(optimizer.param_groups[0]["lr"])]
    for gain, old, one, other in zip((1, 3, 3), start, together, apart, strict=True):
        torch.testing.assert_close(gain * (one - old), other - old, rtol=1e-13, atol=0)


def test_closure_is_evaluated_with_gradients() -> None:
    """`step` calls its closure first and returns the closure's loss."""
    (parameter,) = weights([(2, 2)])
    optimizer = AGD([parameter])

    def closure() -> float:
        optimizer.zero_grad()
        loss = parameter.square().sum()
        torch.autograd.backward(loss)
        return loss.item()

    expected = parameter.square().sum().item()
    assert optimizer.step(closure) == expected
    assert parameter.square().sum().item() < expected


def test_state_goes_through_a_file_and_continues_identically() -> None:
    """Training resumed from saved weights and optimizer state continues bit for bit, with the same gain."""
    parameters = weights(SHAPES[cnn])
    optimizer = AGD(parameters, gain=0.5)

    def step(optimizer: AGD, parameters: list[Tensor]) -> None:
        optimizer.zero_grad()
        torch.autograd.backward(square(cnn(parameters), torch.arange(6) % 3))
        optimizer.step()

    for _ in range(3):
        step(optimizer, parameters)
    file = io.BytesIO()
    torch.save({"weights": parameters, "optimizer": optimizer.state_dict()}, file)
    file.seek(0)
    saved = torch.load(file, weights_only=True)
    others = [weight.detach().requires_grad_() for weight in saved["weights"]]
    other = AGD(others)
    other.load_state_dict(saved["optimizer"])
    assert torch.equal(other.param_groups[0]["lr"], optimizer.param_groups[0]["lr"])
    for _ in range(3):
        step(optimizer, parameters)
        step(other, others)
    assert all(torch.equal(a, b) for a, b in zip(parameters, others, strict=True))
    assert copy.deepcopy(other).param_groups[0]["gain"] == 0.5


def test_a_kept_learning_rate_is_not_overwritten() -> None:
    """The learning rate tensor read after a step keeps its value, so it can be collected without copying."""
    parameters = weights(SHAPES[mlp])
    steps = train(mlp, parameters, square)
    optimizer = AGD(parameters)
    parameters[0].grad = torch.ones_like(parameters[0])
    optimizer.step()
    kept = optimizer.param_groups[0]["lr"]
    value = kept.item()
    next(steps)
    optimizer.step()
    assert kept.item() == value != optimizer.param_groups[0]["lr"].item()


def test_work_is_per_shape_and_never_waits() -> None:
    """More tensors of the same shapes need no more operations, and no operation reads a value back from the device."""
    counts = []
    for copies in (2, 20):
        parameters = random_parameters(copies * [(4, 3, 3, 3), (5, 7)], seed=7)
        for parameter in parameters:
            parameter.grad = torch.ones_like(parameter)
        optimizer = AGD(parameters)
        with Operations() as operations:
            optimizer.step()
        counts.append(len(operations.names))
        assert not [name for name in operations.names if "_local_scalar_dense" in name or "equal" in name]
    assert counts[0] == counts[1] < 50


@contextmanager
def waits_are_errors() -> Iterator[None]:
    """Inside the `with` block, an operation that makes the host wait for the GPU raises."""
    before = torch.cuda.get_sync_debug_mode()
    try:
        with warnings.catch_warnings(action="ignore"):  # torch warns that the mode is a prototype
            torch.cuda.set_sync_debug_mode("error")
        yield
    finally:
        torch.cuda.set_sync_debug_mode(before)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="torch sees no GPU")
def test_a_gpu_steps_alike_and_is_never_waited_for() -> None:
    """On a GPU, a step gives the same result as on the CPU and never makes the host wait for the device."""
    drawn: list[tuple[int, ...]] = [(4, 3, 3, 3), (5, 7), (4, 3, 3, 3)]
    here = random_parameters(drawn, seed=9)
    there = [parameter.detach().cuda().requires_grad_() for parameter in here]
    for parameter, twin in zip(here, there, strict=True):
        twin.grad = None if parameter.grad is None else parameter.grad.cuda()
    AGD(here).step()
    optimizer = AGD(there)
    with waits_are_errors():
        optimizer.step()
    for parameter, twin in zip(here, there, strict=True):
        torch.testing.assert_close(parameter, twin.cpu(), rtol=1e-12, atol=1e-14)
