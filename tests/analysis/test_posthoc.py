"""Critical differences: agreement with published values, with scipy, and the familywise error."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import scipy.stats

from agd_bench.analysis import critical_difference
from agd_bench.analysis.posthoc import nemenyi_difference
from agd_bench.analysis.scores import Floats
from agd_bench.errors import InputError
from tests.analysis.synthetic import simulate_trials, spoil

LABELS = ("a", "b", "c", "d", "e")


def table_of(values: Floats) -> pd.DataFrame:
    """Return trials with these accuracies of shape (architectures, algorithms)."""
    rows = [(f"x{i}", LABELS[j], value) for (i, j), value in np.ndenumerate(values)]
    trials = pd.DataFrame(rows, columns=["architecture", "algorithm", "test_accuracy"])
    return trials.assign(search_space="s", dataset="d", profile="p", purpose="final", status="done", seed=0)


def shifted(seed: int = 0) -> Floats:
    """Return accuracies of five algorithms on 36 architectures, each algorithm a little better than the one before."""
    return np.asarray(0.5 + 0.05 * (np.random.default_rng(seed).normal(size=(36, 5)).clip(-4, 4) + 0.4 * np.arange(5)), dtype=np.float64)


def test_nemenyi_agrees_with_scikit_posthocs() -> None:
    """The p-values equal those of scikit-posthocs 0.17.1 for the same accuracies (`posthoc_nemenyi_friedman`)."""
    table = critical_difference(table_of(shifted()), test="nemenyi").set_index(["algorithm", "other"])["p_value"]
    assert table["a", "b"] == pytest.approx(0.259863, abs=2e-6)
    assert table["a", "c"] == pytest.approx(5.349269e-05, rel=1e-5)
    assert table["c", "e"] == pytest.approx(0.519844, abs=2e-6)
    assert table["b", "e"] == pytest.approx(0.000399, abs=1e-6)


def test_wilcoxon_holm_agrees_with_scikit_posthocs() -> None:
    """The p-values equal those of scikit-posthocs 0.17.1 for the same accuracies (`posthoc_wilcoxon`, Holm)."""
    table = critical_difference(table_of(shifted())).set_index(["algorithm", "other"])["p_value"]
    assert table["a", "b"] == pytest.approx(0.005997, abs=1e-6)
    assert table["c", "d"] == pytest.approx(0.762140, abs=1e-6)
    assert table["d", "e"] == pytest.approx(0.004894, abs=1e-6)


def test_friedman_agrees_with_scipy() -> None:
    """The omnibus p-value matches scipy's Friedman test; with two algorithms it is missing."""
    values = shifted()
    expected = scipy.stats.friedmanchisquare(*values.T).pvalue
    assert critical_difference(table_of(values))["friedman_p"].iloc[0] == pytest.approx(expected)
    assert critical_difference(table_of(values[:, :2]))["friedman_p"].isna().all()


@pytest.mark.parametrize(("count", "quantile"), [(2, 1.960), (3, 2.343), (5, 2.728), (10, 3.164)])
def test_critical_differences_are_those_of_the_literature(count: int, quantile: float) -> None:
    """The differences use the quantiles in table 5 of Demšar (2006)."""
    assert nemenyi_difference(count, 20) == pytest.approx(quantile * np.sqrt(count * (count + 1) / 120), abs=1e-3)


@pytest.mark.slow
@pytest.mark.parametrize("test", ["wilcoxon-holm", "nemenyi"])
def test_equal_algorithms_are_seldom_called_different(test: str) -> None:
    """In 200 simulations without a difference, one is claimed in at most about 5 % (18 of 200 is three standard errors above)."""
    rng = np.random.default_rng(1)
    wrong = 0
    for _ in range(200):
        trials = table_of(0.7 + 0.05 * rng.normal(size=(15, 4)).clip(-4, 4))
        wrong += bool(critical_difference(trials, test=test)["different"].any())  # type: ignore[arg-type]
    assert wrong <= 18


def test_ties_and_divergence() -> None:
    """Equal algorithms have p = 1, diverged trials rank last, and refused architectures are left out."""
    trials = simulate_trials(10, 2, ("a", "b", "c"), noise=0.0)
    assert (critical_difference(trials)[["p_value", "friedman_p"]] == 1).all(axis=None)
    worse = spoil(trials, "c", "diverged", range(20))
    table = critical_difference(worse).set_index(["algorithm", "other"])
    assert table["other_mean_rank"].to_dict()["a", "c"] == 3
    assert table["different"].tolist() == [False, True, True]
    assert critical_difference(spoil(trials, "c", "refused", [0]))["architectures"].tolist() == [9] * 3


def test_nothing_to_compare_gives_no_rows() -> None:
    """One algorithm or one architecture gives an empty table with its columns; an unknown test is an error."""
    assert critical_difference(simulate_trials(5, 1, ("a",))).empty
    assert "p_value" in critical_difference(simulate_trials(1, 1)).columns
    with pytest.raises(InputError, match="'tukey'"):
        critical_difference(simulate_trials(2, 1), test="tukey")  # type: ignore[arg-type]
