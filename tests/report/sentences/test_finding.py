"""The finding in words: it states what is known, and never more."""

from __future__ import annotations

import pandas as pd
import pytest

from agd_bench.analysis import (
    accuracy_difference,
    accuracy_table,
    charged_cost,
    find_crossovers,
    kendall_tau,
    rank_architectures,
    transfer_regret,
)
from agd_bench.errors import InputError, UnknownNameError
from agd_bench.report.sentences import Finding, finding
from agd_bench.report.sentences.accuracy import driver_words, regret_words
from agd_bench.report.sentences.rankings import decile_words, moved_words, ranking_words
from tests.analysis.synthetic import simulate_trials, spoil


def tables_of(trials: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """What a finding is made from, sgd being the baseline of agd."""
    difference = accuracy_difference(trials, "sgd", "agd").assign(baseline="sgd", challenger="agd")
    return {
        "accuracy": accuracy_table(trials),
        "accuracy_difference": difference,
        "ranks": rank_architectures(trials),
        "kendall_tau": kendall_tau(trials, resamples=300),
        "transfer_regret": transfer_regret(trials),
        "cost_by_architecture": charged_cost(trials, by_architecture=True),
    }


def find(trials: pd.DataFrame) -> Finding:
    """The finding about agd against sgd."""
    return finding(tables_of(trials), "sgd", "agd")


def words(trials: pd.DataFrame) -> str:
    """All of its sentences."""
    return " ".join(find(trials).sentences)


def test_a_clear_change_is_stated_with_its_interval() -> None:
    """A strong interaction is a changed ranking; the sentence carries tau, ceiling, gap and n."""
    found = find(simulate_trials(30, 4, interaction=0.06, noise=0.003))
    assert found.verdict == "changed"
    assert "changes more than seed noise alone" in found.sentences[0]
    assert "30 architectures" in found.sentences[0]
    assert "95 % interval" in found.sentences[0]


def test_seed_noise_alone_is_no_change() -> None:
    """With equal true rankings no change is claimed, nor excluded."""
    found = find(simulate_trials(20, 4, noise=0.03))
    assert found.verdict == "not shown"
    assert "changes more" not in found.sentences[0]


@pytest.mark.parametrize(("architectures", "seeds", "words"), [(20, 1, "one seed"), (5, 3, "fewer than 8"), (1, 3, "Fewer than two")])
def test_too_little_data_is_undecided(architectures: int, seeds: int, words: str) -> None:
    """One seed, few architectures or one of them decide nothing, whatever the interaction."""
    found = find(simulate_trials(architectures, seeds, interaction=0.1))
    assert found.verdict == "undecided"
    assert words in found.sentences[0]


def test_a_noisy_ranking_is_called_noise() -> None:
    """If the ceiling itself is low, the reader is told."""
    assert "mostly noise" in words(simulate_trials(20, 2, noise=0.3, spread=0.001))


def test_accuracy_says_undecided_where_the_interval_covers_zero() -> None:
    """A difference within its interval is not sold as one; a large one is stated with its sign."""
    assert "undecided" in find(simulate_trials(10, 2, interaction=0.02, seed=1)).sentences[2]
    worse = find(simulate_trials(10, 2, gain=-0.2)).sentences[2]
    assert "points less than sgd" in worse
    assert "undecided" not in worse


@pytest.mark.parametrize(("architectures", "told"), [(2, False), (3, False), (4, True)])
def test_so_few_architectures_are_too_few_for_an_interval(architectures: int, told: bool) -> None:
    """Two or three give a t interval that can reach beyond 100 points: neither the sentence nor the headline says it."""
    trials = simulate_trials(architectures, 2, interaction=0.3, spread=0.3, seed=4)
    found = find(trials)
    assert any("too few for an interval of the difference" in sentence for sentence in found.sentences) is not told
    assert ("95 % interval" in found.headline) is told
    assert any("95 % interval of the difference" in sentence for sentence in found.sentences) is told


def test_what_is_not_in_the_means_is_named() -> None:
    """Diverged and refused trials of both algorithms stand beside the means."""
    trials = spoil(spoil(simulate_trials(10, 2), "agd", "diverged", [0]), "sgd", "refused", [5])
    text = words(trials)
    assert "1 of 20 by agd diverged" in text
    assert "1 of 20 by sgd were refused" in text


def test_partial_runs_say_so() -> None:
    """Unfinished trials put 'so far' first."""
    text = find(spoil(simulate_trials(10, 2), "agd", "pending", [0, 1])).sentences[2]
    assert text.startswith("So far (38 of 40 final trials")


def test_cost_compares_the_same_architectures_only() -> None:
    """A challenger that refuses half of the architectures is not cheaper for it."""
    trials = spoil(simulate_trials(8, 1), "agd", "refused", range(4))
    assert "1.00 times the floating-point operations and 1.00 times the seconds" in words(trials)


def test_tuning_is_charged_in_the_words_too() -> None:
    """Two tuning trials for two final ones double the cost."""
    assert "2.00 times the seconds" in words(simulate_trials(8, 2, tuned=("agd",)))


def test_everything_diverged_still_gives_sentences() -> None:
    """No accuracy, no ranking, and no crash."""
    found = find(spoil(simulate_trials(4, 2), "agd", "diverged", range(8)))
    assert "cannot be compared" in " ".join(found.sentences)
    assert found.verdict == "undecided"
    assert "nan" not in " ".join(found.sentences)


def test_one_group_at_a_time() -> None:
    """Two data sets are two findings; an unknown label is an error."""
    trials = simulate_trials(3, 1)
    with pytest.raises(InputError, match="not 2"):
        find(pd.concat([trials, trials.assign(dataset="mnist")]))
    with pytest.raises(UnknownNameError):
        finding(tables_of(trials), "sgd", "adam")


ROW = {
    "architectures": 40, "seeds": 4, "seeds_compared": 2, "kendall_tau": 0.4, "noise_ceiling": 0.6, "gap": -0.2, "gap_low": -0.3,
    "gap_high": -0.1,
}  # fmt: skip


def test_the_test_decides_and_the_interval_describes() -> None:
    """A corrected p-value above 5 % takes back what the interval alone would say; one below it is stated with the correction."""
    text, verdict = ranking_words(ROW, 0.2, 3)
    assert verdict == "not shown"
    assert "p = 0.20, corrected for 3 comparisons" in text
    text, verdict = ranking_words(ROW, 0.0004, 1)
    assert verdict == "changed"
    assert "p < 0.001)" in text
    assert "though the interval reaches 0" in ranking_words({**ROW, "gap_high": 0.01}, 0.02, 1)[0]
    assert ranking_words({**ROW, "gap": 0.1, "gap_low": 0.05, "gap_high": 0.15}, 0.001, 1)[1] == "not shown"


def test_several_challengers_share_the_chance_of_error() -> None:
    """p = 0.03 alone is a change, of two comparisons it is none; the pair without the baseline does not count."""
    tables = tables_of(simulate_trials(30, 4, interaction=0.06, noise=0.003))
    tau = tables["kendall_tau"].assign(shift_p=[float("nan"), 0.03, float("nan")], shift_p_fitted=float("nan"))
    assert finding({**tables, "kendall_tau": tau}, "sgd", "agd").verdict == "changed"
    more = tau.iloc[[1]].assign(other="lion", shift_p=0.5)
    unrelated = tau.iloc[[1]].assign(algorithm="agd", other="lion", shift_p=1e-9)
    found = finding({**tables, "kendall_tau": pd.concat([tau, more, unrelated])}, "sgd", "agd")
    assert found.verdict == "not shown"
    assert "p = 0.060, corrected for 2 comparisons" in found.sentences[0]


def test_what_only_even_noise_would_show_cannot_be_told() -> None:
    """Beyond noise by the fitted noise alone: undecided, with the reason; not where the robust test shows it, nor with a positive gap."""
    text, verdict = ranking_words(ROW, 0.2, 1, 0.01)
    assert verdict == "undecided"
    assert "how noisy each one is" in text
    assert ranking_words(ROW, 0.01, 1, 0.01)[1] == "changed"
    assert ranking_words({**ROW, "gap": 0.1, "gap_low": -0.05, "gap_high": 0.15}, 0.2, 1, 0.01)[1] == "not shown"


def test_the_best_tenth_is_told_apart() -> None:
    """Its tau, ceiling, gap and number of architectures; without an interval it says so, without a ceiling nothing."""
    assert "top tenth (40 architectures" in decile_words(ROW)
    assert "95 % interval -0.30 to -0.10" in decile_words(ROW)
    assert "too few for an interval" in decile_words({**ROW, "gap_low": float("nan")})
    assert decile_words({**ROW, "noise_ceiling": float("nan"), "gap": float("nan")}) == ""


def test_how_many_architectures_move_is_told() -> None:
    """A count of those beyond noise after correction; nothing where they were not tested."""
    shift = pd.DataFrame({"shift_p_holm": [0.01, 0.5, 0.7], "beyond_noise": [True, False, False]})
    assert moved_words(shift).startswith("1 of the 3 architectures moves by more")
    assert moved_words(shift.assign(beyond_noise=False)).startswith("None of the 3 architectures move")
    assert moved_words(shift.assign(shift_p_holm=float("nan"))) == ""
    assert moved_words(pd.DataFrame()) == ""


def test_a_driver_is_told_where_it_is_clear() -> None:
    """The strongest feature beyond chance, corrected for the challengers too; none where chance would do."""
    rows = [
        {
            "feature": "words: skip_connect",
            "p_holm": 0.001,
            "spearman": 0.6,
            "spearman_low": 0.4,
            "spearman_high": 0.7,
            "architectures": 40,
        },
        {"feature": "parameters", "p_holm": 0.02, "spearman": -0.7, "spearman_low": -0.8, "spearman_high": -0.4, "architectures": 40},
    ]
    one = driver_words(rows, "sgd", "agd", 1)
    assert "favours architectures with less of `parameters`" in one
    assert "1 more of 2 features beyond chance" in one
    assert "more of `skip_connect` (Spearman's rho +0.60, 95 % interval +0.40 to +0.70, n = 40)" in driver_words(rows, "sgd", "agd", 3)
    assert driver_words(rows, "sgd", "agd", 100) == ""


def test_tuning_against_tuning_free_is_told() -> None:
    """A row of the crossover between the two is a sentence of the finding."""
    trials = simulate_trials(12, 3, tuned=("agd",), gain=-0.05)
    tables = {**tables_of(trials), "crossover": find_crossovers(trials, "agd", "sgd")}
    assert "Tuning agd does not overtake sgd within the 2 trainings" in finding(tables, "sgd", "agd").sentences[-1]


def test_regret_says_how_it_was_scored() -> None:
    """Points lost with their interval; a choice scored on its own seed is called too high."""
    row = {"chosen_by": "agd", "trained_by": "sgd", "transfer_regret": 0.012, "disjoint": True, "architectures": 9}
    assert "loses +1.2 points" in regret_words(row)
    assert "too high" in regret_words({**row, "disjoint": False})
    assert "95 % interval -0.1 to +2.5" in regret_words({**row, "regret_low": -0.001, "regret_high": 0.025})
    assert regret_words({}) == ""
    assert regret_words({**row, "architectures": 1}) == ""
