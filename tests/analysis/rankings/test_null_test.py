"""Worlds without a shift, and the test by them. Long simulations: `tests/performance/rank_simulations.py`."""

from __future__ import annotations

import numpy as np
import pytest

from agd_bench.analysis.rankings.kendall import compare
from agd_bench.analysis.rankings.null_test import NullWorlds
from agd_bench.analysis.scores import Floats
from agd_bench.analysis.variance import normal_scores


def draw(rng: np.random.Generator, noise: tuple[float, float], rho: float = 1.0, architectures: int = 30, seeds: int = 3) -> Floats:
    """Accuracies of two algorithms, the second with its scores squeezed and shifted, (2, n, S)."""
    true = rng.standard_normal(architectures)
    other = rho * true + np.sqrt(1 - rho**2) * rng.standard_normal(architectures)
    scores = np.stack([true, other])[:, :, None] + np.array(noise)[:, None, None] * rng.standard_normal((2, architectures, seeds))
    return np.asarray(1 / (1 + np.exp(-scores * np.array([1.0, 2.0])[:, None, None] - np.array([2.0, 0.0])[:, None, None])))


def p_values(noise: tuple[float, float], rho: float, runs: int, subset: str = "all") -> Floats:
    """P-values of independent runs."""
    rng = np.random.default_rng(0)
    found = []
    for _ in range(runs):
        values = draw(rng, noise, rho)
        found.append(compare(values, np.zeros(values.shape, dtype=bool), 99, rng, subset).shift_p[0, 1])
    return np.array(found)


@pytest.mark.parametrize(("noise", "subset"), [((0.5, 0.5), "all"), ((0.25, 1.0), "all"), ((0.25, 1.0), "top-decile")])
def test_equal_true_rankings_are_rejected_as_rarely_as_promised(noise: tuple[float, float], subset: str) -> None:
    """Whatever the two scales and noises: of 150 runs at 5 %, no more than 15 reject (a chance of 1 in 200)."""
    p = p_values(noise, 1.0, 150, subset)
    assert (p <= 0.05).sum() <= 15
    assert p.mean() > 0.45


def test_a_shift_is_found() -> None:
    """True scores of correlation 0.6 are told from equal ones in nearly every run of 30 architectures and 3 seeds."""
    assert (p_values((0.5, 0.5), 0.6, 30) <= 0.05).mean() > 0.9


def test_worlds_are_noisy_as_the_data_are() -> None:
    """In the worlds, one seed's scores correlate with another's as in the data, for either algorithm."""
    rng = np.random.default_rng(3)
    values = draw(rng, (0.25, 1.0), architectures=300)
    worlds, _ = NullWorlds(values, np.zeros(values.shape, dtype=bool), 300, rng).draw(20, rng)
    for algorithm in range(2):
        theirs = np.mean([np.corrcoef(normal_scores(world)[algorithm].T)[0, 1] for world in worlds])
        assert theirs == pytest.approx(np.corrcoef(normal_scores(values)[algorithm].T)[0, 1], abs=0.06)


def test_ties_and_divergences_are_in_the_worlds_too() -> None:
    """A quarter of trials diverged and coarse accuracies in the data: about a quarter diverged in the worlds, and the test runs."""
    rng = np.random.default_rng(1)
    values = draw(rng, (0.3, 0.3), architectures=40).round(1)
    diverged = np.zeros(values.shape, dtype=bool)
    diverged[:, values[0].mean(axis=1) < np.quantile(values[0].mean(axis=1), 0.25)] = True
    values[diverged] = 0.0
    worlds, lost = NullWorlds(values, diverged, 40, rng).draw(50, rng)
    assert lost.mean() == pytest.approx(diverged.mean(), abs=0.05)
    assert (worlds[lost] == 0).all()
    assert 0 < compare(values, diverged, 99, rng).shift_p[0, 1] <= 1


def test_without_noise_whatever_differs_is_a_shift() -> None:
    """Equal seeds: equal rankings have a p-value of 1, unequal ones the smallest there is."""
    rng = np.random.default_rng(0)
    true = np.linspace(0.1, 0.9, 12)
    for other, expected in ((true**2, 1.0), (np.roll(true, 1), 1 / 100)):
        values = np.repeat(np.stack([true, other])[:, :, None], 2, axis=2)
        assert compare(values, np.zeros(values.shape, dtype=bool), 99, rng).shift_p[0, 1] == pytest.approx(expected)
