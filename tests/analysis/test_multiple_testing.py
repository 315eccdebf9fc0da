"""Holm's correction."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.stats

from agd_bench.analysis.multiple_testing import holm


@pytest.mark.parametrize("p", [[], [0.3], [0.01, 0.2, 0.01, 0.6, 0.04, 0.9]])
def test_it_is_statsmodels(p: list[float]) -> None:
    """The correction of a library: with ties, of a single test and of none."""
    multitest = pytest.importorskip("statsmodels.stats.multitest")
    expected = multitest.multipletests(p, method="holm")[1] if p else []
    assert holm(np.array(p)) == pytest.approx(expected)


def test_all_true_nulls_are_rarely_rejected() -> None:
    """Of 400 families of ten true nulls about 5 % have a corrected p of at most 5 %: exactly 1 - 0.995 ** 10."""
    rng = np.random.default_rng(0)
    rejected = sum(bool((holm(rng.uniform(size=10)) <= 0.05).any()) for _ in range(400))
    assert scipy.stats.binomtest(rejected, 400, 1 - 0.995**10).pvalue > 0.001
