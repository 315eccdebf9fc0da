"""What a trial is charged, against what can be worked out by hand."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from agd_bench import cost

CPU = torch.device("cpu")


def test_flops_of_a_known_network() -> None:
    """Two per multiply-add; backward costs a weight and an input gradient, but for the first layer's input."""
    network = nn.Sequential(nn.Conv2d(3, 8, 3, bias=False), nn.BatchNorm2d(8), nn.ReLU(), nn.Flatten(), nn.Linear(8 * 36, 10))
    convolution, linear = 2 * 3 * 8 * 9 * 36, 2 * 8 * 36 * 10
    flops = cost.count_flops(network, torch.zeros(1, 3, 8, 8))
    assert flops.forward == convolution + linear
    assert flops.training == 2 * convolution + 3 * linear


def test_counting_leaves_the_network_as_it_was() -> None:
    """Mode, running statistics and gradients are untouched."""
    network = nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), nn.Flatten(), nn.Linear(2 * 4, 3)).train()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    cost.count_flops(network, torch.ones(1, 1, 4, 4))
    assert network.training
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())
    assert all(parameter.grad is None for parameter in network.parameters())


def test_a_dead_branch_is_charged_forward_only() -> None:
    """A convolution whose result is thrown away is computed, but nothing is propagated back through it."""

    class Dead(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.dead = nn.Conv2d(1, 4, 3, bias=False)
            self.head = nn.Linear(16, 2, bias=False)

        def forward(self, images: torch.Tensor) -> torch.Tensor:
            self.dead(images)
            logits: torch.Tensor = self.head(images.flatten(1))
            return logits

    flops = cost.count_flops(Dead(), torch.zeros(1, 1, 4, 4))
    dead, head = 2 * 4 * 9 * 4, 2 * 16 * 2
    assert flops.forward == dead + head
    assert flops.training == dead + 2 * head


def test_what_a_cpu_cannot_tell_is_null() -> None:
    """Neither device memory nor joules; never 0."""
    cost.reset_peak_memory(CPU)
    assert cost.peak_memory_bytes(CPU) is None
    assert cost.EnergyMeter(CPU, exclusive=True).stop() is None


def test_provenance_names_versions_and_no_machine() -> None:
    """Strings only; no host, user or folder."""
    import getpass
    import socket
    from pathlib import Path

    said = cost.provenance(CPU)
    assert said["torch"] == torch.__version__
    assert said["code_digest"] == cost.code_digest()
    text = " ".join(said.values())
    assert socket.gethostname() not in text
    assert str(Path.home()) not in text
    assert getpass.getuser() not in said.values()


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="torch sees no GPU on this machine")
def test_a_gpu_tells_its_memory() -> None:
    """The largest memory in use, in bytes."""
    device = torch.device("cuda")
    cost.reset_peak_memory(device)
    torch.zeros(1_000_000, device=device)
    peak = cost.peak_memory_bytes(device)
    assert peak is not None
    assert peak >= 4_000_000
