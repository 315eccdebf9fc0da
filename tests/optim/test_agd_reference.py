"""The plain reference implementation of AGD: published trajectories and initial weights."""

from __future__ import annotations

import pytest
import torch

from agd_bench.optim import agd, agd_reference
from tests.optim.agd_vectors import RELATIVE, SHAPES, VECTORS, weights


@pytest.mark.parametrize("name", VECTORS)
def test_trajectory_is_the_published_one(name: str) -> None:
    """Losses, and learning rates where known, match those of the authors' program."""
    network, loss, gain, rows = VECTORS[name]
    parameters = weights(SHAPES[network])
    for step in range(rows[-1][0] + 1):
        for parameter in parameters:
            parameter.grad = None
        logits = network(parameters)
        value = loss(logits, torch.arange(len(logits)) % 3)
        torch.autograd.backward(value)
        eta = agd_reference.update_weights(parameters, gain)
        for _, known_loss, _, known_eta in (row for row in rows if row[0] == step):
            assert value.item() == pytest.approx(known_loss, rel=RELATIVE)
            assert known_eta is None or eta == pytest.approx(known_eta, rel=RELATIVE)


def test_starts_with_singular_values_of_the_same_size_as_the_fast_one() -> None:
    """Both initialisations give the same singular values for a wide matrix, a tall one and every tap of a kernel."""
    parameters = weights([(3, 5), (6, 2), (4, 3, 2, 3)])
    twins = [parameter.detach().clone() for parameter in parameters]
    with torch.random.fork_rng(devices=[]):
        agd_reference.initialise_weights(parameters)
    agd.initialise(twins, torch.Generator().manual_seed(0))
    for ours, theirs in zip(parameters, twins, strict=True):
        for one, other in zip(agd_reference.taps(ours.detach()), agd_reference.taps(theirs), strict=True):
            torch.testing.assert_close(torch.linalg.svdvals(one), torch.linalg.svdvals(other), rtol=1e-6, atol=0)
