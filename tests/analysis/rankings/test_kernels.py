"""Concordant pairs counted by compiled kernels, against scipy, brute force and each other."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import numba
import numpy as np
import pytest
import scipy.stats
from hypothesis import given, settings
from hypothesis import strategies as st

from agd_bench.analysis.rankings import kernels
from agd_bench.analysis.rankings.kernels import Integers, compiled, orders, taus

PAIR = np.array([[0, 1]])


def resampled(rng: np.random.Generator, resamples: int, count: int) -> np.ndarray[Any, np.dtype[np.int32]]:
    """Return the weights of the sample itself and of some resamples."""
    return np.vstack([np.ones(count), rng.multinomial(count, np.full(count, 1 / count), resamples - 1)]).astype(np.int32)


@given(count=st.integers(2, 60), levels=st.sampled_from([2, 5, 1000]), seed=st.integers(0, 10_000))
@settings(max_examples=60, deadline=None)
def test_weighted_tau_is_scipys_of_the_written_out_resample(count: int, levels: int, seed: int) -> None:
    """Tau-b with integer weights equals scipy's on the repeated values to 1e-12, and is NaN where scipy's is."""
    rng = np.random.default_rng(seed)
    accuracies = rng.integers(0, levels, (2, count)) / levels
    weights = resampled(rng, 18, count)
    found = taus(orders(accuracies), PAIR, weights)[0]
    for row, tau in zip(weights, found, strict=True):
        copies = np.repeat(np.arange(count), row)
        expected = scipy.stats.kendalltau(accuracies[0][copies], accuracies[1][copies]).statistic
        assert tau == pytest.approx(expected, abs=1e-12, nan_ok=True)


def test_tau_of_thousands_is_scipys() -> None:
    """With 5,000 architectures and many ties, tau-b equals scipy's to 1e-12."""
    rng = np.random.default_rng(0)
    accuracies = rng.random((2, 5000)).round(2)
    weights = resampled(rng, 3, 5000)
    for row, tau in zip(weights, taus(orders(accuracies), PAIR, weights)[0], strict=True):
        copies = np.repeat(np.arange(5000), row)
        assert tau == pytest.approx(scipy.stats.kendalltau(accuracies[0][copies], accuracies[1][copies]).statistic, abs=1e-12)


def test_more_architectures_than_half_words_hold() -> None:
    """Above 32,767 architectures weights take 32 bits each, and tau-b still equals scipy's."""
    rng = np.random.default_rng(1)
    accuracies = rng.random((2, 40_000)).round(3)
    accuracies[1] = (accuracies[0] + accuracies[1]).round(3) / 2
    tau = taus(orders(accuracies), PAIR, np.ones((1, 40_000), dtype=np.int32))[0, 0]
    assert tau == pytest.approx(scipy.stats.kendalltau(*accuracies).statistic, abs=1e-12)


def brute_force(grid: Integers, widths: Integers, weights: Integers) -> float:
    """Return tau-b computed over all pairs of architectures, where differences up to the widths are ties."""
    signs = []
    for values, width in zip(grid, widths, strict=True):
        difference = values[:, None] - values[None]
        signs.append(np.sign(difference) * (np.abs(difference) > width))
    both = weights[:, None] * weights[None]
    sums = [(both * one * two).sum() for one, two in ((signs[0], signs[1]), (signs[0], signs[0]), (signs[1], signs[1]))]
    return float(sums[0] / np.sqrt(sums[1] * sums[2])) if sums[1] and sums[2] else float("nan")


@given(count=st.integers(2, 25), seed=st.integers(0, 10_000), widths=st.tuples(st.integers(0, 30), st.integers(0, 30)))
@settings(max_examples=60, deadline=None)
def test_ties_by_noise_are_those_of_all_pairs(count: int, seed: int, widths: tuple[int, int]) -> None:
    """Differences up to a width count as ties in either ranking, although such ties are not transitive."""
    rng = np.random.default_rng(seed)
    grid = rng.integers(0, 100, (2, count))
    weights = resampled(rng, 3, count)
    found = taus(orders(grid / 100, np.array(widths) / 100), PAIR, weights)[0]
    expected = [brute_force(grid, np.array(widths), row.astype(np.int64)) for row in weights]
    assert found == pytest.approx(expected, abs=1e-12, nan_ok=True)


def test_a_broken_disk_costs_time_but_no_result(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, tmp_path: Path) -> None:
    """If compiled code cannot be cached, a warning is logged and the kernel works as before."""
    honest = numba.njit

    def broken(signatures: list[str], *, cache: bool = False, nogil: bool = False) -> Any:
        if cache:
            raise OSError(28, "No space left on device")
        return honest(signatures, nogil=nogil)

    monkeypatch.setattr(numba, "njit", broken)
    compiled.cache_clear()
    with caplog.at_level(logging.WARNING):
        kernel = compiled(kernels._count_untied)
    compiled.cache_clear()
    assert "No space left on device" in caplog.text
    ranking = orders(np.array([[0.1, 0.2, 0.2]]))
    assert kernel(ranking.order, ranking.below, np.ones((1, 3), dtype=np.int32)).tolist() == [[2]]
