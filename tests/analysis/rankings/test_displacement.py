"""Which architectures move beyond noise."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.stats

from agd_bench.analysis import rank_shift
from agd_bench.analysis.rankings.displacement import moderated, moves
from agd_bench.analysis.scores import Floats
from tests.analysis.synthetic import simulate_trials


def draw(rng: np.random.Generator, noise: tuple[float, float], moved: int, architectures: int = 40, seeds: int = 3) -> Floats:
    """Return accuracies in which the first `moved` architectures are much better under the second algorithm."""
    true = rng.standard_normal(architectures)
    other = np.where(np.arange(architectures) < moved, true + 3, true)
    scores = np.stack([true, other])[:, :, None] + np.array(noise)[:, None, None] * rng.standard_normal((2, architectures, seeds))
    return np.asarray(1 / (1 + np.exp(-scores)))


def never(values: Floats) -> np.ndarray[tuple[int, ...], np.dtype[np.bool_]]:
    """Return a mask in which no trial diverged."""
    return np.zeros(values.shape, dtype=bool)


def test_nothing_moves_where_rankings_are_equal() -> None:
    """Unequal noise alone shifts the extreme ranks, yet few of 60 runs report any architecture beyond noise."""
    rng = np.random.default_rng(0)
    found = [(moves(values, never(values), rng).p_holm <= 0.05).any() for values in (draw(rng, (0.25, 1.0), 0) for _ in range(60))]
    assert np.mean(found) <= 0.2


def test_what_moves_is_found() -> None:
    """Two architectures that gain three standard deviations are detected, with few false positives."""
    rng = np.random.default_rng(0)
    beyond = np.array([moves(values, never(values), rng).p_holm <= 0.05 for values in (draw(rng, (0.2, 0.2), 2) for _ in range(20))])
    assert beyond[:, :2].mean() > 0.8
    assert beyond[:, 2:].mean() < 0.1


def test_moderated_variances_are_recovered() -> None:
    """For variances with a known scatter, the degrees of freedom are recovered and the moderated estimates are closer to the truth."""
    rng = np.random.default_rng(0)
    count, own, freedom = 4000, 8.0, 3
    true = 2.0 / (scipy.stats.chi2.rvs(own, size=count, random_state=rng) / own)
    drawn = true * scipy.stats.chi2.rvs(freedom, size=count, random_state=rng) / freedom
    variances, total = moderated(drawn, np.ones(count), freedom)
    assert total == pytest.approx(own + freedom, rel=0.25)
    assert ((variances - true) ** 2).mean() < ((drawn - true) ** 2).mean() / 2


def test_the_table_says_who_moves() -> None:
    """Mean shifts match a computation by hand; with one seed there is no p-value and nothing is beyond noise."""
    trials = simulate_trials(12, 3, interaction=0.05)
    table = rank_shift(trials, "sgd", "agd")
    cube = {key: rows["test_accuracy"].to_numpy().reshape(12, 3) for key, rows in trials.groupby("algorithm")}
    by_seed = scipy.stats.rankdata(-cube["agd"], axis=0) - scipy.stats.rankdata(-cube["sgd"], axis=0)
    assert table["mean_shift"].to_numpy() == pytest.approx(by_seed.mean(axis=1))
    assert (table["shift_p_holm"] >= table["shift_p"]).all()
    assert (table["beyond_noise"] == (table["shift_p_holm"] <= 0.05)).all()
    assert table["same_sign_share"].between(0, 1).all()
    single = rank_shift(simulate_trials(12, 1, interaction=0.05), "sgd", "agd")
    assert single[["shift_se", "shift_p", "same_sign_share"]].isna().all(axis=None)
    assert not single["beyond_noise"].any()
