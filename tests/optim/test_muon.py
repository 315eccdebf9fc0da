"""Muon on hidden kernels and matrices, AdamW on the rest: which parameters move, by how much, in either memory format."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from torch import nn
from torch.nn import functional

from agd_bench.errors import InputError, Refused
from agd_bench.optim.muon import Muon, hidden_matrices
from search_spaces import vit


def network(memory_format: torch.memory_format = torch.contiguous_format) -> nn.Sequential:
    """Return a network of a stem, two hidden kernels, a normalisation and a classifier."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        stem, first, second = nn.Conv2d(2, 2, 1, bias=False), nn.Conv2d(2, 8, 3, bias=False), nn.Conv2d(8, 4, 3)
        made = nn.Sequential(stem, first, nn.BatchNorm2d(8), nn.ReLU(), second, nn.Flatten(), nn.Linear(16, 3))
    return made.to(memory_format=memory_format)


def train(made: nn.Module, optimizer: torch.optim.Optimizer, steps: int) -> None:
    """Train for some steps on one batch."""
    images = torch.randn(6, 2, 6, 6, generator=torch.Generator().manual_seed(1)).to(memory_format=torch.channels_last)
    for _ in range(steps):
        optimizer.zero_grad()
        torch.autograd.backward(functional.cross_entropy(made(images), torch.arange(6) % 3))
        optimizer.step()


def hidden_names(made: nn.Module) -> list[str]:
    """Return the names of the parameters that Muon orthogonalises."""
    return [part.name for part in hidden_matrices(made)]


def test_first_and_last_layer_biases_and_scales_are_adamws() -> None:
    """Muon trains only the kernels between the stem and the classifier; AdamW trains everything else."""
    made = network()
    optimizer = Muon(made)
    assert hidden_names(made) == ["1.weight", "4.weight"]
    assert [len(group["params"]) for group in optimizer.param_groups] == [2, 6]
    with pytest.raises(Refused, match="between its first layer and its last"):
        Muon(nn.Sequential(nn.Linear(3, 2), nn.Linear(2, 2)))


def test_a_patch_embedding_and_tokens_are_adamws_and_a_fused_projection_is_three() -> None:
    """In our vision transformer, the patch embedding and tokens go to AdamW, and the fused projection is split into three blocks."""
    made = nn.Sequential(vit.build("d1-w64-h2-p4-m1", 3, 10))
    made.register_parameter("positions", nn.Parameter(torch.zeros(1, 5, 64)))
    prefix = "0.1"
    assert hidden_names(made) == [
        f"{prefix}.attention.1.queries_keys_values.weight",
        f"{prefix}.attention.1.output.weight",
        f"{prefix}.mlp.1.weight",
        f"{prefix}.mlp.3.weight",
    ]
    assert [(group.get("blocks"), len(group["params"])) for group in Muon(made).param_groups if group["muon"]] == [(3, 1), (1, 3)]


def test_depthwise_kernels_are_adamws_and_a_grouped_one_is_a_matrix_for_each_group() -> None:
    """Depthwise kernels go to AdamW; for a grouped kernel, each group's update is orthogonalised separately."""
    stem, depthwise, grouped = nn.Conv2d(3, 8, 1), nn.Conv2d(8, 8, 3, groups=8, bias=False), nn.Conv2d(8, 8, 1, groups=2, bias=False)
    made = nn.Sequential(stem, depthwise, grouped, nn.Conv2d(8, 2, 1))
    assert hidden_names(made) == ["2.weight"]
    before = grouped.weight.detach().clone()
    grouped.weight.grad = torch.randn(grouped.weight.shape, generator=torch.Generator().manual_seed(0))
    grouped.weight.grad[:4] *= 1000.0
    Muon(made, lr=0.1, weight_decay=0.0).step()
    for block in (grouped.weight.detach() - before).flatten(1).chunk(2):
        sizes = torch.linalg.svdvals(block)
        assert bool(((sizes > 0.05) & (sizes < 0.13)).all())


def test_where_tokens_enter_the_embedding_is_the_first_layer() -> None:
    """With an embedding first, the first linear layer is hidden; a classifier tied to the embedding goes to AdamW too."""
    made = nn.Sequential(nn.Embedding(7, 4), nn.Linear(4, 5), nn.Linear(5, 4), nn.Linear(4, 7, bias=False))
    assert hidden_names(made) == ["1.weight", "2.weight"]
    made.get_submodule("3").weight = made.get_submodule("0").weight
    assert hidden_names(made) == ["1.weight", "2.weight"]


def test_a_kernel_moves_as_the_matrix_that_torch_trains() -> None:
    """Training equals torch's Muon on the kernels reshaped to matrices and torch's AdamW on the rest."""
    made = network()
    train(made, Muon(made, lr=0.1, adamw_lr=0.01, weight_decay=0.2), 3)
    theirs = network()
    kernels = {id(part.tensor) for part in hidden_matrices(theirs)}
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
    """Memory format does not change the update, up to the bfloat16 rounding of the orthogonalisation."""
    plain, strided = network(), network(torch.channels_last)
    before = [parameter.detach().clone() for parameter in plain.parameters()]
    for made in (plain, strided):
        train(made, Muon(made, lr=0.1, adamw_lr=0.01), 1)
    for one, other, old in zip(plain.parameters(), strided.parameters(), before, strict=True):
        torch.testing.assert_close(one, other, rtol=0.02, atol=0.01)
        assert not torch.equal(one, old)


def test_an_update_is_nearly_orthogonal() -> None:
    """All singular values of a kernel's update are close to the rate, times max(1, sqrt(rows / columns))."""
    made = network()
    kernel = made.get_parameter("1.weight")
    before = kernel.detach().clone()
    train(made, Muon(made, lr=0.1, weight_decay=0.0), 1)
    sizes = torch.linalg.svdvals((kernel.detach() - before).flatten(1))
    assert bool(((sizes > 0.05) & (sizes < 0.13)).all())


def test_a_state_goes_on_as_if_nothing_had_happened() -> None:
    """A restored optimizer continues bit for bit, and changing the learning rate of its groups still takes effect."""
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
    """If a parameter's storage is replaced, updates are written to the new storage."""
    still, moved = network(), network()
    optimizers = [Muon(still), Muon(moved)]
    for parameter in moved.parameters():
        parameter.data = torch.stack([parameter.data, parameter.data])[1]
    for made, optimizer in zip((still, moved), optimizers, strict=True):
        train(made, optimizer, 2)
    assert all(torch.equal(a, b) for a, b in zip(still.parameters(), moved.parameters(), strict=True))


def test_a_kernel_must_lie_as_a_matrix_does() -> None:
    """Kernels that cannot be viewed as a matrix are refused, since updates would be lost in a copy."""
    optimizer = Muon(network())
    groups = len(optimizer.param_groups)
    with pytest.raises(InputError, match="channels_last"):
        optimizer.add_param_group({"params": [nn.Parameter(torch.zeros(4, 3, 2, 2).transpose(0, 1))], "muon": True})
    assert len(optimizer.param_groups) == groups


def test_a_group_may_be_added() -> None:
    """An added group is trained by AdamW, or by Muon if the group asks for it."""
    made = network()
    optimizer = Muon(made)
    for hidden in (False, True):
        more = nn.Parameter(torch.zeros(3, 3))
        optimizer.add_param_group({"params": [more], "muon": hidden})
        more.grad = torch.eye(3)
        optimizer.step()
        assert optimizer.state[more].keys() == ({"momentum_buffer"} if hidden else {"step", "exp_avg", "exp_avg_sq"})
        assert more.detach().any()


def test_a_step_reads_its_numbers_from_the_device() -> None:
    """Hyperparameters given as tensors, as in a captured step, give the same update as host numbers up to rounding."""
    plain, captured = network(), network()
    for made, with_numbers in ((plain, False), (captured, True)):
        optimizer = Muon(made, lr=0.1, adamw_lr=0.01, weight_decay=0.1)
        if with_numbers:
            for group in optimizer.param_groups:
                group["numbers"] = [torch.tensor(number) for number in optimizer.numbers(group)]
                group["lr"] = float("nan")
        train(made, optimizer, steps=1)
    before = network()
    for found, expected, old in zip(captured.parameters(), plain.parameters(), before.parameters(), strict=True):
        torch.testing.assert_close(found, expected, rtol=1e-6, atol=1e-7)
        assert not torch.equal(found, old)
