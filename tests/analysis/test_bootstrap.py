"""Resampling: weights, intervals with infinite ends, and simultaneous bands."""

from __future__ import annotations

import numpy as np
import pytest

from agd_bench.analysis import bootstrap
from agd_bench.analysis.bootstrap import percentile_interval, resample_weights, resampled_means, simultaneous_band


def test_blocks_hold_all_resamples(monkeypatch: pytest.MonkeyPatch) -> None:
    """Weights are generated in blocks that fit in memory; together they have the requested number of resamples."""
    monkeypatch.setattr(bootstrap, "_AT_ONCE", 50)
    blocks = list(resample_weights(10, 23, np.random.default_rng(0)))
    assert [len(block) for block in blocks] == [5, 5, 5, 5, 3]
    assert (np.concatenate(blocks).sum(axis=1) == 10).all()
    assert np.concatenate(blocks).mean(axis=0) == pytest.approx(1, abs=0.8)


def test_resampled_means_have_the_standard_error() -> None:
    """The spread of the resampled means is the standard error of the mean, for every column."""
    values = np.random.default_rng(1).normal(size=(50, 2, 3))
    drawn = resampled_means(values, 4000, np.random.default_rng(2))
    assert drawn.shape == (4000, 2, 3)
    assert drawn.std(axis=0) == pytest.approx(values.std(axis=0) / np.sqrt(50), rel=0.1)


def test_an_interval_may_be_infinite() -> None:
    """Resamples without a crossing are infinite, and an interval that ends among them ends at infinity, not NaN."""
    drawn = np.array([2.0] * 90 + [np.inf] * 10)
    assert percentile_interval(drawn) == (2.0, np.inf)
    assert percentile_interval(np.full(100, np.inf)) == (np.inf, np.inf)


def test_the_band_holds_along_the_whole_curve() -> None:
    """In 200 simulations the 95 % band contains the whole true curve in 90 to 99 % of cases (binomial error: 1.5 points)."""
    rng, points, truth = np.random.default_rng(3), 6, np.linspace(0.2, 0.8, 6)
    covered = 0
    for _ in range(200):
        curves = truth + np.cumsum(rng.normal(size=(20, points)), axis=1)
        low, high = simultaneous_band(curves, rng, resamples=300)
        covered += bool(((low <= truth) & (truth <= high)).all())
    assert 180 <= covered <= 198


def test_equal_curves_have_a_band_without_width() -> None:
    """Without spread over architectures the band has width 0; with fewer than 8 curves there is no band."""
    low, high = simultaneous_band(np.tile([0.1, 0.2], (10, 1)), np.random.default_rng(0))
    assert low.tolist() == pytest.approx([0.1, 0.2])
    assert high.tolist() == pytest.approx([0.1, 0.2])
    assert np.isnan(simultaneous_band(np.zeros((7, 2)), np.random.default_rng(0))).all()
