"""Batch-normalisation statistics for the weights used in evaluation."""

from __future__ import annotations

import torch
from torch import nn

from agd_bench.optim.averaging import Averaged
from agd_bench.training.eval_weights import REFRESH_BATCHES, answer_of, averages, refresh_statistics, refreshed_images


def test_statistics_become_the_plain_means_over_the_batches() -> None:
    """Refreshed statistics are plain means over the batches of the layer's inputs; the momentum is unchanged."""
    network = nn.Sequential(nn.Conv2d(1, 2, 1, bias=False), nn.BatchNorm2d(2))
    images = [torch.randn(8, 1, 3, 3, generator=torch.Generator().manual_seed(seed)) for seed in range(3)]
    for batch in images:  # statistics left over from training
        network(5 * batch + 1)
    refresh_statistics(network, images)
    entering = [network[0](batch).detach().movedim(1, 0).flatten(1) for batch in images]
    means = torch.stack([batch.mean(1) for batch in entering]).mean(0)
    variances = torch.stack([batch.var(1) for batch in entering]).mean(0)
    layer = network[1]
    assert isinstance(layer, nn.BatchNorm2d)
    torch.testing.assert_close(layer.running_mean, means)
    torch.testing.assert_close(layer.running_var, variances)
    assert layer.momentum == 0.1
    assert network.training


class Swap(torch.optim.SGD):
    """An optimizer that evaluates with weights of 1."""

    def eval(self) -> None:
        """Swap in the evaluation weights."""
        self.kept = self.param_groups[0]["params"][0].detach().clone()
        self.param_groups[0]["params"][0].data.fill_(1)

    def train(self) -> None:
        """Swap the training weights back in."""
        self.param_groups[0]["params"][0].data.copy_(self.kept)


def test_only_optimizers_that_answer_with_other_weights_need_it() -> None:
    """Statistics are refreshed only for networks that have them and optimizers with `eval` and `train`, with at most 50 batches."""
    normalised = nn.Sequential(nn.Linear(3, 2), nn.BatchNorm1d(2))
    swap, plain = Swap(normalised.parameters(), lr=1.0), torch.optim.SGD(normalised.parameters(), lr=1.0)
    assert averages(swap)
    assert not averages(plain)
    assert refreshed_images(normalised, swap, 1000, 8) == REFRESH_BATCHES * 8
    assert refreshed_images(normalised, swap, 100, 8) == 100
    assert refreshed_images(normalised, plain, 1000, 8) == 0
    assert refreshed_images(nn.Linear(3, 2), swap, 1000, 8) == 0


def test_the_answer_is_in_the_network_while_it_is_asked_for() -> None:
    """The evaluation weights are in place inside the context, and the training weights are restored even after an error."""
    network = nn.Linear(3, 2)
    before = network.weight.detach().clone()
    optimizer = Swap(network.parameters(), lr=1.0)
    try:
        with answer_of(optimizer):
            assert bool((network.weight == 1).all())
            raise ValueError
    except ValueError:
        assert torch.equal(network.weight, before)
    assert issubclass(Averaged, torch.optim.Optimizer)
