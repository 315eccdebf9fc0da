"""Extrapolation from a sample to the whole search space."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch

from agd_bench import cost
from agd_bench.errors import InputError
from search_spaces import nas_bench_201
from tests.performance.engine.strata import forward_flops, stratified, total


def test_flops_are_what_torch_counts() -> None:
    """FLOPs match torch's count for architectures without `none`, in which all operations are live."""
    whole = (given for given in nas_bench_201.architectures() if "none" not in given)
    chosen = list(itertools.islice(whole, 0, None, 811))
    found = forward_flops(chosen, 8, channels=4, cells=2)
    example = torch.zeros(1, 3, 8, 8)
    counted = [cost.count_flops(nas_bench_201.build(given, 3, 10, channels=4, cells=2), example).forward for given in chosen]
    assert found.tolist() == counted


def test_a_sample_has_as_many_of_each_stratum() -> None:
    """Strata ascend in FLOPs and cover the population, each is sampled equally, and nothing is drawn twice."""
    flops = np.random.default_rng(0).uniform(1, 100, 103)
    sample = stratified(flops, 4, 3, np.random.default_rng(1))
    assert sum(sample.sizes) == 103
    assert len(set(sample.chosen)) == len(sample.chosen) == 12
    assert sample.strata == (0, 0, 0, 1, 1, 1, 2, 2, 2, 3, 3, 3)
    groups = flops[list(sample.chosen)].reshape(4, 3)
    assert (groups[:-1].max(1) < groups[1:].min(1)).all()


@pytest.mark.parametrize(("strata", "each"), [(0, 2), (3, 1), (60, 2)])
def test_impossible_samples_are_refused(strata: int, each: int) -> None:
    """Samples without strata, with one architecture per stratum, or larger than the population are rejected."""
    with pytest.raises(InputError, match=f"{strata} strata of {each} architectures"):
        stratified(np.arange(100.0), strata, each, np.random.default_rng(0))


def test_what_is_linear_in_flops_is_summed_exactly() -> None:
    """If costs are linear in FLOPs, the total is exact and the interval has no width."""
    flops = np.random.default_rng(0).uniform(1, 100, 1000)
    sample = stratified(flops, 4, 2, np.random.default_rng(1))
    found = total(sample, (3 + 2 * flops)[list(sample.chosen)], flops)
    assert found.value == pytest.approx((3 + 2 * flops).sum())
    assert found.high - found.low < 1e-6 * found.value


def test_the_interval_covers_the_truth() -> None:
    """The nominal 95 % interval has about that coverage over 400 samples from a nonlinear population with noise."""
    rng = np.random.default_rng(0)
    flops = rng.gamma(3, 20, 3000)
    truth = 5 + flops + 0.1 * flops**1.3 + rng.normal(0, 4, 3000).clip(-12, 12)
    covered, values = 0, []
    for _ in range(400):
        sample = stratified(flops, 6, 2, rng)
        found = total(sample, truth[list(sample.chosen)], flops)
        covered += found.low <= truth.sum() <= found.high
        values.append(found.value)
    assert 0.90 < covered / 400 < 0.995
    assert np.mean(values) == pytest.approx(truth.sum(), rel=0.01)
