"""Which seeds and architectures are compared."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agd_bench.analysis.rankings.seed_splits import compared_seeds, halves, selected, splits_for, subset_size
from agd_bench.errors import UnknownNameError


@given(count=st.integers(2, 9), subset=st.sampled_from(["all", "top-decile"]))
def test_halves_are_disjoint_and_leave_seeds_to_select_by(count: int, subset: str) -> None:
    """Both halves have h seeds and share none; for the top decile at least one seed is left over."""
    splits = splits_for(count, subset)
    assert bool(splits) == (compared_seeds(count, subset) > 0)
    for first, second in splits:
        assert len(first) == len(second) == compared_seeds(count, subset)
        assert len({*first, *second}) == 2 * len(first) <= count - (subset == "top-decile")


def test_the_selection_sees_no_compared_seed() -> None:
    """Noise in the compared seeds, however large, does not change which architectures are compared."""
    rng = np.random.default_rng(0)
    values, never = rng.random((2, 30, 3)), np.zeros((2, 30, 3), dtype=bool)
    for first, second, chosen in halves(values, never, "top-decile", 8):
        noisy = values.copy()
        noisy[:, :, [*first, *second]] = rng.random((2, 30, 2))
        again = next(found for one, two, found in halves(noisy, never, "top-decile", 8) if (one, two) == (first, second))
        assert chosen is not None
        assert chosen.tolist() == np.asarray(again).tolist()


def test_the_best_on_average_are_selected() -> None:
    """Mean ranks decide, so an algorithm with a wider spread has no extra weight; ties go to the first architecture."""
    means = np.array([[0.9, 0.8, 0.7, 0.6], [0.02, 0.03, 0.01, 0.04]])
    assert selected(means, 2).tolist() == [0, 1]
    assert selected(np.zeros((1, 4)), 2).tolist() == [0, 1]


def test_an_unknown_subset_is_answered() -> None:
    """A misspelt subset raises an error that lists the known ones."""
    with pytest.raises(UnknownNameError, match="top-decile"):
        subset_size(10, "top-decil")
