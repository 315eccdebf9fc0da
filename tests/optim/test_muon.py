"""Muon for kernels and the rest: what it moves, by how much, in either memory format."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from agd_bench.errors import InputError, Refused
from agd_bench.optim.muon import Muon, as_matrix, hidden_matrices


def network(memory_format: torch.memory_format = torch.contiguous_format) -> nn.Sequential:
    """Two kernels, normalisation and a classifier."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        first, second = nn.Conv2d(2, 8, 3, bias=False), nn.Conv2d(8, 4, 3)
        made = nn.Sequential(first, nn.BatchNorm2d(8), nn.ReLU(), second, nn.Flatten(), nn.Linear(16, 3))
    return made.to(memory_format=memory_format)


def train(made: nn.Module, optimizer: torch.optim.Optimizer, steps: int) -> None:
    """Steps on one batch."""
    images = torch.randn(6, 2, 6, 6, generator=torch.Generator().manual_seed(1)).to(memory_format=torch.channels_last)
    for _ in range(steps):
        optimizer.zero_grad()
        torch.autograd.backward(functional.cross_entropy(made(images), torch.arange(6) % 3))
        optimizer.step()


def test_kernels_are_hidden_and_the_classifier_is_not() -> None:
    """Biases, scales and the last matrix are AdamW's."""
    made = network()
    optimizer = Muon(made)
    assert [tuple(kernel.shape) for kernel in hidden_matrices(made)] == [(8, 2, 3, 3), (4, 8, 3, 3)]
    assert [len(group["params"]) for group in optimizer.param_groups] == [2, 5]
    with pytest.raises(Refused, match="no matrix or kernel but its classifier"):
        Muon(nn.Linear(3, 2))


def test_a_kernel_moves_as_the_matrix_that_torch_trains() -> None:
    """The same as torch's Muon on a matrix parameter that the kernel is a reshape of, and AdamW on the rest."""
    made = network()
    train(made, Muon(made, lr=0.1, adamw_lr=0.01, weight_decay=0.2), 3)
    theirs = network()
    kernels = {id(parameter) for parameter in hidden_matrices(theirs)}
    matrices = {key: nn.Parameter(p.detach().flatten(1)) for p in theirs.parameters() if (key := id(p)) in kernels}
    muon = torch.optim.Muon(list(matrices.values()), lr=0.1, momentum=0.95, weight_decay=0.2)
    rest = [p for p in theirs.parameters() if id(p) not in kernels]
    adamw = torch.optim.AdamW(rest, lr=0.01, betas=(0.9, 0.95), weight_decay=0.2, fused=True)

    class Both(torch.optim.SGD):
        def step(self, closure: Any = None) -> Any:
            for parameter in theirs.parameters():
                if id(parameter) in kernels and parameter.grad is not None:
                    matrices[id(parameter)].grad = parameter.grad.flatten(1)
            muon.step()  # type: ignore[no-untyped-call]
            adamw.step()
            for parameter in theirs.parameters():
                if id(parameter) in kernels:
                    parameter.data.copy_(matrices[id(parameter)].data.view_as(parameter))

    train(theirs, Both(theirs.parameters(), lr=1.0), 3)
    for ours, other in zip(made.parameters(), theirs.parameters(), strict=True):
        torch.testing.assert_close(ours, other, rtol=1e-4, atol=1e-5)


def test_channels_last_moves_as_contiguous() -> None:
    """The order of a matrix's columns does not matter, up to the bfloat16 of the orthogonalisation."""
    plain, strided = network(), network(torch.channels_last)
    before = [parameter.detach().clone() for parameter in plain.parameters()]
    for made in (plain, strided):
        train(made, Muon(made, lr=0.1, adamw_lr=0.01), 1)
    for one, other, old in zip(plain.parameters(), strided.parameters(), before, strict=True):
        torch.testing.assert_close(one, other, rtol=0.02, atol=0.01)
        assert not torch.equal(one, old)


def test_an_update_is_nearly_orthogonal() -> None:
    """All singular values of a kernel's update lie around the rate, times the root of rows over columns where that is above 1."""
    made = network()
    kernel = next(made.parameters())
    before = kernel.detach().clone()
    train(made, Muon(made, lr=0.1, weight_decay=0.0), 1)
    sizes = torch.linalg.svdvals((kernel.detach() - before).flatten(1))
    assert bool(((sizes > 0.05) & (sizes < 0.13)).all())


def test_a_state_goes_on_as_if_nothing_had_happened() -> None:
    """Both parts are stored, and the groups stay those that a schedule changes."""
    made = network()
    optimizer = Muon(made)
    train(made, optimizer, 2)
    other = network()
    other.load_state_dict(copy.deepcopy(made.state_dict()))
    resumed = Muon(other, lr=9.0)
    resumed.load_state_dict(copy.deepcopy(optimizer.state_dict()))
    assert [group["lr"] for group in resumed.param_groups] == [0.02, 3e-4]
    for group in (*optimizer.param_groups, *resumed.param_groups):
        group["lr"] *= 0.5
    for each, trained in ((optimizer, made), (resumed, other)):
        train(trained, each, 2)
    assert all(torch.equal(a, b) for a, b in zip(made.parameters(), other.parameters(), strict=True))


def test_a_parameter_may_get_another_storage() -> None:
    """Updates go to where the weights are now, as if they had always been there."""
    still, moved = network(), network()
    optimizers = [Muon(still), Muon(moved)]
    for parameter in moved.parameters():
        parameter.data = torch.stack([parameter.data, parameter.data])[1]
    for made, optimizer in zip((still, moved), optimizers, strict=True):
        train(made, optimizer, 2)
    assert all(torch.equal(a, b) for a, b in zip(still.parameters(), moved.parameters(), strict=True))


def test_a_matrix_must_be_a_view() -> None:
    """Other memory formats are refused, since updates would be lost in a copy."""
    kernel: Tensor = torch.zeros(4, 3, 2, 2)
    assert as_matrix(kernel).shape == (4, 12)
    with pytest.raises(InputError, match="channels_last"):
        as_matrix(kernel.transpose(0, 1))
