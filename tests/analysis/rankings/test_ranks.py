"""Ranks and rank shifts."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agd_bench.analysis import rank_architectures, rank_shift
from agd_bench.errors import UnknownNameError
from tests.analysis.synthetic import simulate_trials, spoil


def table(values: list[list[float]], algorithm: str = "agd") -> pd.DataFrame:
    """Return final trials with these accuracies, one row per architecture and one column per seed."""
    trials = simulate_trials(len(values), len(values[0]), (algorithm,))
    trials["test_accuracy"] = np.array(values).reshape(-1)
    return trials


accuracy_lists = st.lists(st.sampled_from([0.1, 0.2, 0.3, 0.4, 0.5]), min_size=1, max_size=12)


@given(accuracies=accuracy_lists)
@settings(max_examples=40, deadline=None)
def test_ranks_share_what_ties_leave(accuracies: list[float]) -> None:
    """Ranks sum to n (n + 1) / 2, equal accuracies have equal ranks, and better ones smaller ranks."""
    ranked = rank_architectures(table([[value] for value in accuracies]))
    count = len(accuracies)
    assert ranked["rank"].sum() == pytest.approx(count * (count + 1) / 2)
    for left in range(count):
        for right in range(count):
            assert np.sign(accuracies[left] - accuracies[right]) == -np.sign(ranked["rank"][left] - ranked["rank"][right])


@given(accuracies=accuracy_lists, seed=st.integers(0, 99))
@settings(max_examples=30, deadline=None)
def test_ranks_do_not_depend_on_names_order_or_scale(accuracies: list[float], seed: int) -> None:
    """Shuffling rows and applying a monotone transform does not change any rank."""
    trials = table([[value] for value in accuracies])
    changed = trials.sample(frac=1, random_state=np.random.default_rng(seed)).assign(test_accuracy=lambda rows: rows["test_accuracy"] ** 3)
    first = rank_architectures(trials).set_index("architecture")["rank"]
    second = rank_architectures(changed).set_index("architecture")["rank"]
    assert first.to_dict() == second.to_dict()


def test_sums_in_another_order_do_not_split_ties() -> None:
    """0.1 + 0.2 + 0.3 and 0.3 + 0.2 + 0.1 differ in their last bit but share a rank."""
    assert np.mean([0.1, 0.2, 0.3]) != np.mean([0.3, 0.2, 0.1])
    assert rank_architectures(table([[0.1, 0.2, 0.3], [0.3, 0.2, 0.1], [0.5, 0.5, 0.5]]))["rank"].tolist() == [2.5, 2.5, 1.0]


def test_a_diverged_seed_ranks_last_and_tied() -> None:
    """A single diverged seed makes an architecture rank last, tied with others; refused architectures are not ranked."""
    trials = table([[0.9, 0.9, 0.9], [0.1, 0.1, 0.1], [0.8, 0.8, 0.8], [0.5, 0.5, 0.5]])
    trials = spoil(spoil(trials, "agd", "diverged", [0, 6, 7, 8]), "agd", "refused", [9])
    ranked = rank_architectures(trials).set_index("architecture")["rank"]
    assert ranked.tolist() == [2.5, 1.0, 2.5]


def test_shifts_run_over_shared_architectures() -> None:
    """An architecture that one algorithm refuses is removed from both rankings before they are compared."""
    trials = pd.concat([table([[0.9], [0.8], [0.7]], "sgd"), table([[0.1], [0.2], [0.3]], "agd")])
    shift = rank_shift(spoil(trials.reset_index(drop=True), "agd", "refused", [1]), "sgd", "agd")
    assert shift["rank_shift"].tolist() == [1.0, -1.0]
    assert shift["noise_sd"].isna().all()


def test_shifts_sum_to_zero_and_change_sign_with_the_order() -> None:
    """Rank shifts sum to zero, and swapping the two algorithms changes their signs."""
    trials = simulate_trials(9, 3, interaction=0.05)
    forth, back = rank_shift(trials, "sgd", "agd"), rank_shift(trials, "agd", "sgd")
    assert forth["rank_shift"].sum() == pytest.approx(0)
    assert (forth["rank_shift"] == -back["rank_shift"]).all()
    assert (forth["rank_shift"] == forth["challenger_rank"] - forth["baseline_rank"]).all()


def test_noise_band_covers_shifts_of_equal_true_rankings() -> None:
    """Without interaction about 95 % of the shifts lie within 1.96 noise SDs; with a strong one far fewer do."""
    inside, outside = [], []
    for seed in range(10):
        calm = rank_shift(simulate_trials(40, 4, noise=0.01, seed=seed), "sgd", "agd")
        wild = rank_shift(simulate_trials(40, 4, noise=0.01, interaction=0.05, seed=seed), "sgd", "agd")
        inside.append((calm["rank_shift"].abs() <= 1.96 * calm["noise_sd"]).mean())
        outside.append((wild["rank_shift"].abs() <= 1.96 * wild["noise_sd"]).mean())
    assert 0.90 <= np.mean(inside) <= 0.99
    assert np.mean(outside) < 0.7


def test_an_unknown_label_is_answered() -> None:
    """An unknown label raises an error that lists the known ones."""
    with pytest.raises(UnknownNameError, match="Known: agd, sgd"):
        rank_shift(simulate_trials(2, 1), "sgd", "adam")
