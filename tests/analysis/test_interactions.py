"""Drivers of the interaction: correlations, slopes, their tests, and the share they explain."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import scipy.stats
from hypothesis import given
from hypothesis import strategies as st

from agd_bench.analysis import interaction_drivers, interaction_explained
from agd_bench.analysis.inference import holm
from agd_bench.analysis.interactions import _interactions
from agd_bench.errors import InputError, UnknownNameError
from tests.analysis.synthetic import simulate_trials
from tests.analysis.tables import number


def driven(
    rng: np.random.Generator, count: int = 40, effect: float = 0.0, reliabilities: tuple[float, float] = (0.9, 0.5), seeds: int = 3
) -> pd.DataFrame:
    """Return trials of six-edge architectures; quality grows with the count of `b`, the interaction with `effect` times that of `a`.

    The challenger's spread and mean accuracy differ from the baseline's, as AGD's do.
    """
    drawn = rng.integers(0, 4, (count, 6))
    names = ["-".join("abcd"[word] for word in row) + f"-{place}" for place, row in enumerate(drawn)]
    of_a, of_b = ((drawn == word).sum(axis=1) / 1.06 - 1.41 for word in (0, 1))
    quality = 0.7 * of_b + 0.7 * rng.standard_normal(count)
    rows = []
    for label, share, true, place in (("sgd", reliabilities[0], quality, 0), ("agd", reliabilities[1], quality + effect * of_a, 1)):
        seen = np.sqrt(share) * true[:, None] + np.sqrt(1 - share) * rng.standard_normal((count, seeds))
        accuracy = np.array([0.8, 0.5])[place] + np.array([0.01, 0.05])[place] * seen
        rows += [(label, name, seed, accuracy[index, seed]) for index, name in enumerate(names) for seed in range(seeds)]
    table = pd.DataFrame(rows, columns=["algorithm", "architecture", "seed", "test_accuracy"])
    return table.assign(search_space="s", dataset="d", profile="p", purpose="final", status="done")


def test_a_driver_is_found() -> None:
    """An operation that the challenger favours has a significant positive correlation and slope, and explains the interaction."""
    trials = driven(np.random.default_rng(0), 80, effect=0.6, reliabilities=(0.9, 0.8))
    table = interaction_drivers(trials, "sgd", "agd").set_index("feature")
    driver = table.loc["words: a"]
    assert driver["spearman_low"] > 0
    assert driver["p_holm"] < 0.01
    assert driver["slope_low"] > 0
    assert table["p_holm"].idxmin() == "words: a"
    explained = interaction_explained(trials, "sgd", "agd").iloc[0]
    assert explained["interaction_variance"] > 0
    assert 0.5 < explained["share_explained"] < 1.3
    assert explained["r_squared_cv"] < explained["share_explained"]


def test_turned_round_the_signs_change() -> None:
    """Swapping baseline and challenger changes the signs of correlations and slopes and keeps the p-values."""
    trials = driven(np.random.default_rng(1), effect=0.5)
    there, back = (interaction_drivers(trials, *pair, resamples=200) for pair in (("sgd", "agd"), ("agd", "sgd")))
    np.testing.assert_allclose(there["spearman"], -back["spearman"], atol=1e-12)
    np.testing.assert_allclose(there["slope"], -back["slope"], atol=1e-9)
    np.testing.assert_allclose(there["p"], back["p"], atol=0.1)


def test_unequal_noise_drives_nothing() -> None:
    """If both algorithms rank alike, unequal noise does not make features significant more often than the level allows."""
    rng = np.random.default_rng(2)
    called, slope_covers, runs = 0, 0, 60
    for _ in range(runs):
        table = interaction_drivers(driven(rng, 30), "sgd", "agd", resamples=199).set_index("feature")
        called += int((table["p_holm"] < 0.05).any())
        slope_covers += int(number(table, "words: b", "slope_low") <= 0 <= number(table, "words: b", "slope_high"))
    assert called <= 8  # 3 expected; more than 8 of 60 once in 200
    assert slope_covers >= 49


def test_correlation_is_scipys() -> None:
    """The estimate equals scipy's Spearman correlation, including ties, and the p-value is close to scipy's."""
    trials = driven(np.random.default_rng(3), 40, effect=0.3)
    names = trials["architecture"].unique()
    feature = pd.Series(np.random.default_rng(0).integers(0, 5, 40), index=names, dtype=float, name="colour")
    row = interaction_drivers(trials, "sgd", "agd", features=feature.to_frame()).set_index("feature").loc["colour"]
    (found,) = _interactions(trials, "sgd", "agd", feature.to_frame(), "test_accuracy")
    expected = scipy.stats.spearmanr(feature.reindex(found.features.index), found.values)
    assert row["spearman"] == pytest.approx(expected.statistic)
    assert row["p"] == pytest.approx(expected.pvalue, abs=0.05)


def test_features_without_news_have_no_slope() -> None:
    """Counts that sum to a constant cannot all be in the joint model, and features that order alike are tested only once."""
    trials = driven(np.random.default_rng(4), 40, effect=0.5)
    names = trials["architecture"].unique()
    words = pd.Series([name.count("a") for name in names], index=names, dtype=float)
    table = interaction_drivers(trials, "sgd", "agd", features=pd.DataFrame({"twice a": 2 * words, "minus a": -words}), resamples=200)
    assert table["feature"].tolist() == ["words: a", "words: b", "words: c", "words: d"]
    assert table["slope"].isna().tolist() == [False, False, False, True]


def test_nothing_to_explain_has_no_rows() -> None:
    """With one seed, few architectures or no spread there are no drivers, and the explained share is missing."""
    for trials in (simulate_trials(20, 1), simulate_trials(8, 3), simulate_trials(20, 3, spread=0.0, noise=0.0)):
        assert interaction_drivers(trials, "sgd", "agd").empty
        explained = interaction_explained(trials, "sgd", "agd").iloc[0]
        assert np.isnan(explained["share_explained"])
    with pytest.raises(InputError, match="both 'agd'"):
        interaction_drivers(simulate_trials(), "agd", "agd")
    with pytest.raises(UnknownNameError):
        interaction_explained(simulate_trials(), "sgd", "adg")


@given(p=st.lists(st.floats(0, 1), min_size=1, max_size=8))
def test_holm_rejects_as_the_procedure_does(p: list[float]) -> None:
    """Adjusted values of at most 0.05 are exactly those that the sequential procedure rejects."""
    adjusted = holm(np.array(p))
    rejected = set()
    for step, index in enumerate(np.argsort(p, kind="stable")):
        if p[index] * (len(p) - step) > 0.05:
            break
        rejected.add(int(index))
    assert set(np.flatnonzero(adjusted <= 0.05)) == rejected
