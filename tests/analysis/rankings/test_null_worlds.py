"""Simulated worlds in which all algorithms rank alike, with the noise, heterogeneity and ties of the data."""

from __future__ import annotations

import numpy as np
import pytest

from agd_bench.analysis.rankings.kendall import compare
from agd_bench.analysis.rankings.null_worlds import NullWorlds, noise_heterogeneity
from agd_bench.analysis.scores import Floats
from agd_bench.analysis.variance import normal_scores
from tests.analysis.rankings.test_null_test import draw


def test_worlds_are_noisy_as_the_data_are() -> None:
    """The correlation of scores between seeds is the same in the worlds as in the data, for both algorithms."""
    rng = np.random.default_rng(3)
    values = draw(rng, (0.25, 1.0), architectures=300)
    worlds, _ = NullWorlds(values, np.zeros(values.shape, dtype=bool), 300, rng).draw(20, rng)
    for algorithm in range(2):
        theirs = np.mean([np.corrcoef(normal_scores(world)[algorithm].T)[0, 1] for world in worlds])
        assert theirs == pytest.approx(np.corrcoef(normal_scores(values)[algorithm].T)[0, 1], abs=0.06)


def test_ties_and_divergences_are_in_the_worlds_too() -> None:
    """If a quarter of the trials diverged in data with coarse accuracies, about a quarter diverges in the worlds, and the test runs."""
    rng = np.random.default_rng(1)
    values = draw(rng, (0.3, 0.3), architectures=40).round(1)
    diverged = np.zeros(values.shape, dtype=bool)
    diverged[:, values[0].mean(axis=1) < np.quantile(values[0].mean(axis=1), 0.25)] = True
    values[diverged] = 0.0
    worlds, lost = NullWorlds(values, diverged, 40, rng).draw(50, rng)
    assert lost.mean() == pytest.approx(diverged.mean(), abs=0.05)
    assert (worlds[lost] == 0).all()
    assert 0 < compare(values, diverged, 99, rng).shift_p[0, 1] <= 1


@pytest.mark.parametrize(("deviations", "correlation"), [((0.0, 0.0), 0.0), ((0.5, 1.0), 0.0), ((0.8, 0.8), 0.9)])
def test_heterogeneity_is_that_of_the_noise(deviations: tuple[float, float], correlation: float) -> None:
    """The covariance of log variances is recovered from the sample variances of three seeds."""
    rng = np.random.default_rng(0)
    scale = 2 * np.array(deviations)  # of the logarithm of a variance
    truth = scale[:, None] * scale[None, :] * np.array([[1.0, correlation], [correlation, 1.0]])
    logs: Floats = scale[:, None] * (np.linalg.cholesky([[1.0, correlation], [correlation, 1.0]]) @ rng.standard_normal((2, 20_000)))
    found = noise_heterogeneity(np.exp(logs) * rng.chisquare(2, logs.shape) / 2, 2)
    assert found == pytest.approx(truth, abs=0.15)


def test_worlds_of_few_architectures_have_one_shape() -> None:
    """The fitted true scores of two noisy samples of one normal truth are more alike than their observed means."""
    rng = np.random.default_rng(4)
    values = draw(rng, (0.5, 0.5), architectures=24)
    worlds = NullWorlds(values, np.zeros(values.shape, dtype=bool), 500, rng)
    means = np.sort(normal_scores(values).mean(axis=2), axis=1)
    fitted, observed = (np.atleast_2d(np.corrcoef(each)) for each in (worlds.truth, means))
    assert fitted[0, 1] > observed[0, 1]
