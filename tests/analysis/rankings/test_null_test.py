"""The test of 'no shift beyond noise' and the bias of the ceiling. For longer simulations see `tests/performance/rank_grid.py`."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from agd_bench.analysis.rankings.kendall import compare
from agd_bench.analysis.rankings.null_test import Interaction, score_scales
from agd_bench.analysis.scores import Floats


def draw(rng: np.random.Generator, noise: tuple[float, float], rho: float = 1.0, architectures: int = 30, seeds: int = 3) -> Floats:
    """Return accuracies of shape (2, n, S) of two algorithms whose scores have different scales and offsets."""
    true = rng.standard_normal(architectures)
    other = rho * true + np.sqrt(1 - rho**2) * rng.standard_normal(architectures)
    scores = np.stack([true, other])[:, :, None] + np.array(noise)[:, None, None] * rng.standard_normal((2, architectures, seeds))
    return np.asarray(1 / (1 + np.exp(-scores * np.array([1.0, 2.0])[:, None, None] - np.array([2.0, 0.0])[:, None, None])))


def p_values(noise: tuple[float, float], rho: float, runs: int, subset: str = "all") -> Floats:
    """Return the p-values of independent runs."""
    rng = np.random.default_rng(0)
    found = []
    for _ in range(runs):
        values = draw(rng, noise, rho)
        found.append(compare(values, np.zeros(values.shape, dtype=bool), 99, rng, subset).shift_p[0, 1])
    return np.array(found)


def draw_uneven(rng: np.random.Generator, common: bool, architectures: int = 200, seeds: int = 3) -> Floats:
    """Return accuracies with equal true rankings and log-normal noise levels (a standard deviation of 0.8 of the logarithm)."""
    true = rng.standard_normal(architectures)
    factor = rng.standard_normal((1 if common else 2, architectures))
    deviation = 0.5 * np.exp(0.8 * factor - 0.32)
    scores = true[:, None] + deviation[:, :, None] * rng.standard_normal((2, architectures, seeds))
    return np.asarray(0.5 + scores / 20)


@pytest.mark.parametrize("common", [False, True])
def test_noise_of_each_architecture_is_no_shift(common: bool) -> None:
    """Noise that differs between architectures is not reported as a shift.

    With a ceiling computed from the two own ceilings, which is 0.026 too high, 63 % of such runs would be rejected.
    """
    rng = np.random.default_rng(5)
    found = []
    for _ in range(40):
        values = draw_uneven(rng, common)
        row = compare(values, np.zeros(values.shape, dtype=bool), 99, rng).of(0, 1)
        found.append([row["gap"], row["shift_p"]])
    gap, p = np.array(found, dtype=np.float64).T
    assert (p <= 0.05).sum() <= 6  # exceeded once in 70 times at the 5 % level
    assert abs(gap.mean()) < 0.01


def test_a_shift_is_found_through_uneven_noise() -> None:
    """A shift is found although noise differs between architectures."""
    rng = np.random.default_rng(6)
    p = []
    for _ in range(10):
        values = draw_uneven(rng, common=False)
        values[1] += 0.6 * rng.standard_normal((200, 1)) / 20
        p.append(compare(values, np.zeros(values.shape, dtype=bool), 99, rng).shift_p[0, 1])
    assert max(p) <= 0.05


def rejections(truth: Callable[[np.random.Generator], Floats], architectures: int, runs: int) -> Floats:
    """Return gaps and both p-values, of shape (runs, 3), of runs in which the second algorithm is five times as noisy."""
    rng = np.random.default_rng(7)
    found = []
    for _ in range(runs):
        scores = truth(rng)[:, :architectures, None] + np.array([0.2, 1.0])[:, None, None] * rng.standard_normal((2, architectures, 3))
        row = compare(0.5 + scores / 40, np.zeros(scores.shape, dtype=bool), 99, rng).of(0, 1)
        found.append([row["gap"], row["shift_p"], row["shift_p_one_scale"]])
    return np.array(found, dtype=np.float64)


def test_clusters_under_unequal_noise_are_no_shift() -> None:
    """With a quarter of the architectures far below the rest, normal scores alone reject most runs, both scales hardly any."""

    def clusters(rng: np.random.Generator) -> Floats:
        true = np.where(rng.random(600) < 0.25, 0.5 * rng.standard_normal(600) - 4, 0.6 * rng.standard_normal(600))
        return np.stack([true, true])

    gap, p, p_one_scale = rejections(clusters, 600, 30).T
    assert (p <= 0.05).sum() <= 5  # exceeded once in 300 times at the 5 % level
    assert (p_one_scale <= 0.05).mean() > 0.5
    assert abs(gap.mean()) < 0.01


def test_a_bent_relation_is_no_shift() -> None:
    """A nonlinear monotone relation, which fits no straight line on either scale, is not reported as a shift."""

    def bent(rng: np.random.Generator) -> Floats:
        true = rng.standard_normal(200)
        return np.stack([true, np.exp(0.7 * true) - 1.3])

    gap, p, _ = rejections(bent, 200, 30).T
    assert (p <= 0.05).sum() <= 5
    assert abs(gap.mean()) < 0.01


def test_the_interaction_is_free_of_noise() -> None:
    """The estimated interaction is unbiased for unequal noise, also with one architecture left out."""
    rng = np.random.default_rng(2)
    true, interaction = rng.standard_normal((2, 20_000))
    noise = np.exp(0.5 * rng.standard_normal((2, 20_000, 1)))
    for size, expected in ((0.0, 0.0), (0.5, 0.125)):
        means = np.stack([true + 0.5 * size * interaction, true - 0.5 * size * interaction])
        values = 0.5 + (means[:, :, None] + noise * rng.standard_normal((2, 20_000, 3))) / 100
        found = Interaction(values, np.zeros(values.shape, dtype=bool), "all")
        # The estimate is on accuracies scaled to variance 1; the factor 100 and the mean variance undo the scaling.
        spread = 1e4 * np.sqrt(np.prod(values.var(axis=(1, 2))))
        assert found.variance[1, 0, 1] * spread == pytest.approx(expected, abs=0.03)
        assert found.left_out()[1, :, 0, 1].mean() == pytest.approx(found.variance[1, 0, 1])


@pytest.mark.parametrize(("rho", "within"), [(1.0, 0.006), (0.6, 0.02)])
def test_the_fit_takes_nothing_from_the_gap(rho: float, within: float) -> None:
    """A scale and a curvature take a tenth of a shift between 24 architectures, and a little of the noise; both are put back.

    The expected gap follows from Greiner's relation: the noise of one seed, of variance 1 / 4, makes a correlation rho one of rho / 1.25.
    """
    rng = np.random.default_rng(8)
    gaps = []
    for _ in range(200):
        true = rng.standard_normal((2, 24))
        means = np.stack([true[0], rho * true[0] + np.sqrt(1 - rho**2) * true[1]])
        values = 0.5 + (means[:, :, None] + 0.5 * rng.standard_normal((2, 24, 3))) / 40
        gaps.append(compare(values, np.zeros(values.shape, dtype=bool), 0, rng).of(0, 1)["gap"])
    expected = 2 / np.pi * (np.arcsin(rho / 1.25) - np.arcsin(1 / 1.25))
    assert np.mean(np.array(gaps, dtype=np.float64)) == pytest.approx(expected, abs=within)


def test_leaving_out_an_architecture_is_near_computing_without_it() -> None:
    """Leaving out an architecture keeps scale and curvature, so the result is only approximately that of computing without it."""
    values = draw(np.random.default_rng(3), (0.4, 0.4), rho=0.8, architectures=60)
    lost = np.zeros(values.shape, dtype=bool)
    without = Interaction(values, lost, "all").left_out()[1, :, 0, 1]
    for place in (0, 10, 30):
        again = Interaction(np.delete(values, place, axis=1), lost[:, 1:], "all").variance[1, 0, 1]
        assert without[place] == pytest.approx(again, abs=0.01)


def test_a_diverged_trial_counts_as_the_lowest_accuracy() -> None:
    """A diverged trial is the lowest on both scales, and on the accuracy scale it equals the lowest accuracy reached."""
    values = np.array([[[0.0], [0.5], [0.6], [0.8]]])
    normal, accuracy = score_scales(values, values == 0)[:, 0, :, 0]
    assert normal.argmin() == 0
    assert accuracy[0] == accuracy[1] < accuracy[2]


@pytest.mark.slow
@pytest.mark.parametrize(("noise", "subset"), [((0.5, 0.5), "all"), ((0.25, 1.0), "all"), ((0.25, 1.0), "top-decile")])
def test_equal_true_rankings_are_rejected_as_rarely_as_promised(noise: tuple[float, float], subset: str) -> None:
    """For any scales and noises, at most 15 of 150 runs reject at the 5 % level (more have a chance of 1 in 200)."""
    p = p_values(noise, 1.0, 150, subset)
    assert (p <= 0.05).sum() <= 15
    assert p.mean() > 0.45


def test_a_shift_is_found() -> None:
    """True scores of correlation 0.6 are detected in nearly every run of 30 architectures and 3 seeds."""
    assert (p_values((0.5, 0.5), 0.6, 30) <= 0.05).mean() > 0.9


def test_without_noise_whatever_differs_is_a_shift() -> None:
    """Without seed noise, equal rankings have a p-value of 1 and different ones the smallest possible p-value."""
    rng = np.random.default_rng(0)
    true = np.linspace(0.1, 0.9, 12)
    for other, expected in ((true**2, 1.0), (np.roll(true, 1), 1 / 100)):
        values = np.repeat(np.stack([true, other])[:, :, None], 2, axis=2)
        assert compare(values, np.zeros(values.shape, dtype=bool), 99, rng).shift_p[0, 1] == pytest.approx(expected)
