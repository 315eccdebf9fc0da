"""The finding in words: it states what is known, and never more."""

from __future__ import annotations

import pandas as pd
import pytest

from agd_bench.analysis import finding
from agd_bench.errors import InputError, UnknownNameError
from tests.analysis.synthetic import simulate_trials, spoil


def test_a_clear_change_is_stated_with_its_interval() -> None:
    """A strong interaction is a changed ranking; the sentence carries tau, ceiling, gap and n."""
    found = finding(simulate_trials(30, 4, interaction=0.06, noise=0.003), "sgd", "agd")
    assert found.verdict == "changed"
    assert "changes more than seed noise alone" in found.ranking
    assert "30 architectures" in found.ranking
    assert "95 % interval" in found.ranking


def test_seed_noise_alone_is_no_change() -> None:
    """With equal true rankings no change is claimed, nor excluded."""
    found = finding(simulate_trials(20, 4, noise=0.03), "sgd", "agd")
    assert found.verdict == "not shown"
    assert "changes more" not in found.ranking


@pytest.mark.parametrize(("architectures", "seeds", "words"), [(20, 1, "one seed"), (5, 3, "fewer than 8"), (1, 3, "Fewer than two")])
def test_too_little_data_is_undecided(architectures: int, seeds: int, words: str) -> None:
    """One seed, few architectures or one of them decide nothing, whatever the interaction."""
    found = finding(simulate_trials(architectures, seeds, interaction=0.1), "sgd", "agd")
    assert found.verdict == "undecided"
    assert words in found.ranking


def test_a_noisy_ranking_is_called_noise() -> None:
    """If the ceiling itself is low, the reader is told."""
    assert "mostly noise" in finding(simulate_trials(20, 2, noise=0.3, spread=0.001), "sgd", "agd").ranking


def test_accuracy_says_undecided_where_the_interval_covers_zero() -> None:
    """A difference within its interval is not sold as one; a large one is stated with its sign."""
    assert "undecided" in finding(simulate_trials(10, 2, interaction=0.02, seed=1), "sgd", "agd").accuracy
    worse = finding(simulate_trials(10, 2, gain=-0.2), "sgd", "agd").accuracy
    assert "points less than sgd" in worse
    assert "undecided" not in worse


def test_what_is_not_in_the_means_is_named() -> None:
    """Diverged and refused trials of both algorithms stand beside the means."""
    trials = spoil(spoil(simulate_trials(10, 2), "agd", "diverged", [0]), "sgd", "refused", [5])
    text = finding(trials, "sgd", "agd").accuracy
    assert "1 of 20 by agd diverged" in text
    assert "1 of 20 by sgd were refused" in text


def test_partial_runs_say_so() -> None:
    """Unfinished trials put 'so far' first."""
    text = finding(spoil(simulate_trials(10, 2), "agd", "pending", [0, 1]), "sgd", "agd").accuracy
    assert text.startswith("So far (38 of 40 final trials")


def test_cost_compares_the_same_architectures_only() -> None:
    """A challenger that refuses half of the architectures is not cheaper for it."""
    trials = spoil(simulate_trials(8, 1), "agd", "refused", range(4))
    assert "1.00 times the floating-point operations and 1.00 times the seconds" in finding(trials, "sgd", "agd").cost


def test_tuning_is_charged_in_the_words_too() -> None:
    """Two tuning trials for two final ones double the cost."""
    assert "2.00 times the seconds" in finding(simulate_trials(8, 2, tuned=("agd",)), "sgd", "agd").cost


def test_everything_diverged_still_gives_sentences() -> None:
    """No accuracy, no ranking, and no crash."""
    found = finding(spoil(simulate_trials(4, 2), "agd", "diverged", range(8)), "sgd", "agd")
    assert "cannot be compared" in found.accuracy
    assert found.verdict == "undecided"
    assert "nan" not in " ".join(found.sentences)


def test_one_group_at_a_time() -> None:
    """Two data sets are two findings; an unknown label is an error."""
    trials = simulate_trials(3, 1)
    with pytest.raises(InputError, match="not 2"):
        finding(pd.concat([trials, trials.assign(dataset="mnist")]), "sgd", "agd")
    with pytest.raises(UnknownNameError):
        finding(trials, "sgd", "adam")
