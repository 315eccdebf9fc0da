"""AGD's initial weights: singular values, distribution and reproducibility."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from agd_bench.optim.agd import initialise, scale


@pytest.mark.parametrize("shape", [(5, 3), (3, 5), (1, 4), (4, 1), (1, 1), (6, 4, 3, 3), (4, 6, 3, 2), (5, 5, 1, 1), (7, 1, 2, 2)])
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-13), (torch.float32, 2e-6), (torch.bfloat16, 2e-2)])
def test_initial_singular_values(shape: tuple[int, ...], dtype: torch.dtype, tolerance: float) -> None:
    """All min(d_out, d_in) singular values of every tap equal the tensor's scale, in every dtype."""
    tensor = torch.zeros(shape, dtype=dtype, requires_grad=True)
    initialise([tensor], torch.Generator().manual_seed(0))
    for tap in tensor.detach().double().reshape(*shape[:2], -1).unbind(-1):
        values = torch.linalg.svdvals(tap)
        assert values.tolist() == pytest.approx(min(shape[:2]) * [scale(shape)], rel=tolerance)


def test_initial_taps_are_independent_and_centred() -> None:
    """Taps and tensors differ, and entries have mean 0 and variance 1 / max(d_out, d_in), thanks to the sign fix."""
    tensors = [torch.zeros(4, 4, 20, 20, dtype=torch.float64) for _ in range(2)]
    initialise(tensors, torch.Generator().manual_seed(0))
    assert not torch.equal(tensors[0], tensors[1])
    entries = tensors[0].reshape(16, 400) / scale((4, 4, 20, 20))
    # Standard errors over 400 taps: 0.025 for a mean, 0.018 for a variance; without the fix diagonal means are about 0.4.
    assert float(entries.mean(1).abs().max()) < 0.1
    assert float((entries.square().mean(1) - 0.25).abs().max()) < 0.08


def test_initialisation_repeats_with_its_generator_alone() -> None:
    """The weights depend only on the seed, and torch's global generator is neither read nor advanced."""
    network = nn.Sequential(nn.Conv2d(3, 8, 3, bias=False), nn.Flatten(), nn.Linear(8, 2, bias=False))
    drawn = []
    for seed, disturbance in ((1, 0), (1, 1), (2, 0)):
        torch.manual_seed(disturbance)
        state = torch.get_rng_state()
        initialise(network, torch.Generator().manual_seed(seed))
        assert torch.equal(state, torch.get_rng_state())
        drawn.append([parameter.detach().clone() for parameter in network.parameters()])
    assert all(torch.equal(a, b) for a, b in zip(drawn[0], drawn[1], strict=True))
    assert not any(torch.equal(a, b) for a, b in zip(drawn[0], drawn[2], strict=True))
