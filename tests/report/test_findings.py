"""The headline and the findings in words state what the data shows, and no more."""

from __future__ import annotations

from typing import Any

import pandas as pd
import pytest

from agd_bench.analysis import (
    accuracy_difference,
    accuracy_table,
    charged_cost,
    find_crossovers,
    kendall_tau,
    rank_architectures,
    ranking_decisions,
    standings,
    transfer_regret,
)
from agd_bench.errors import InputError, UnknownNameError
from agd_bench.report.findings import Finding, finding, headline_sentence, no_success
from agd_bench.report.sentences import decile_words, driver_words, moved_words, ranking_sentence, regret_words
from agd_bench.tables.aggregation import failures
from tests.analysis.synthetic import simulate_trials, spoil

NUMBERS = {
    "accuracy": 0.8, "difference": -0.05, "difference_low": -0.08, "difference_high": -0.02, "bad": 0, "trainings": 60, "no_success": "",
}  # fmt: skip


def row(label: str, place_low: float, decision: str = "", **more: Any) -> dict[str, Any]:
    """Return one algorithm's row of the standings."""
    return (
        NUMBERS
        | {"algorithm": label, "place_low": place_low, "architectures": 20, "decision": {"decision": decision} if decision else {}}
        | more
    )


def test_one_challenger() -> None:
    """With one challenger, the headline says which algorithm is better and whether the rankings agree."""
    said = headline_sentence([row("sgd", 1), row("agd", 2, "differs")], "sgd")
    assert said == "agd reaches 5.0 points less test accuracy than sgd; agd ranks the architectures differently from sgd."
    unsure = headline_sentence([row("sgd", 1), row("agd", 1, "cannot tell", difference_high=0.01)], "sgd")
    assert unsure.startswith("The data cannot tell whether agd or sgd reaches the higher test accuracy")
    assert unsure.endswith("the data cannot tell whether agd ranks the architectures like sgd.")


def test_several_challengers() -> None:
    """With several challengers, the headline names the leader, those tied with it, and the three kinds of decisions."""
    rows = [row("a", 1, "same"), row("sgd", 1), row("b", 3, "differs"), row("c", 4, "cannot tell", bad=7)]
    assert headline_sentence(rows, "sgd") == (
        "a reaches the highest test accuracy, 80.0 %, not clearly ahead of sgd; b ranks the architectures differently from sgd, a ranks "
        "them like sgd and the data cannot tell for c; unsuccessful trainings count as accuracy 0 (7 of 60 by c)."
    )


def test_nothing_to_compare() -> None:
    """With only one algorithm or no outcome, the headline says that nothing can be compared."""
    assert "no other algorithm" in headline_sentence([row("agd", 1)], "agd")
    assert "nothing can be compared" in headline_sentence([row("agd", 1, accuracy=float("nan"))], "agd")


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        pytest.param(
            [row("sgd", 1), row("agd", 2, "cannot tell", no_success="refused all 12 trainings: it has biases; remove them")],
            "sgd reaches 80.0 % test accuracy on average; agd refused all 12 trainings: it has biases.",
            id="the only challenger",
        ),
        pytest.param(
            [row("agd", 1, "cannot tell"), row("sgd", 2, bad=12, no_success="diverged in all 12 trainings")],
            "agd reaches 80.0 % test accuracy on average; sgd diverged in all 12 trainings.",
            id="the baseline",
        ),
        pytest.param(
            [row("a", 1, "cannot tell"), row("b", 2, "cannot tell"), row("sgd", 3, no_success="failed in all 12 trainings")],
            "a reaches the highest test accuracy, 80.0 %, ahead of all others; sgd failed in all 12 trainings.",
            id="the baseline of two",
        ),
        pytest.param(
            [row("sgd", 1), row("a", 2, "same"), *(row(label, 3, no_success="refused all 12 trainings") for label in ("b", "c"))],
            "a reaches 5.0 points less test accuracy than sgd; a ranks them like sgd; b and c refused all 12 trainings.",
            id="two of three challengers",
        ),
        pytest.param(
            [row("agd", 1, no_success="refused all 12 trainings")],
            "there is no other algorithm to compare it with; agd refused all 12 trainings.",
            id="nothing else",
        ),
        pytest.param(
            [row("sgd", 1), *(row(label, 3, no_success=f"refused all 12 trainings: {label}") for label in "bcde")],
            "sgd reaches 80.0 % test accuracy on average; 4 of the algorithms succeeded in no training.",
            id="too many to name",
        ),
    ],
)
def test_algorithms_without_a_success(rows: list[dict[str, Any]], said: str) -> None:
    """The headline gives the reason; such an algorithm has no ranking that the data could leave open."""
    assert headline_sentence(rows, "sgd") == said


@pytest.mark.parametrize("label", ["agd", "sgd"])
@pytest.mark.parametrize("status", ["failed", "diverged"])
def test_no_success_of_one_kind(label: str, status: str) -> None:
    """The commonest of several reasons is given with its number; tuning trials do not count."""
    trials = spoil(simulate_trials(6, 2), label, status, range(12), reason="no memory")
    trials.loc[trials.index[trials["reason"] == "no memory"][:3], "reason"] = "no disk"
    tuning = spoil(simulate_trials(6, 2), label, status, range(12), reason="no time").assign(purpose="tuning")
    tables = tables_of(trials) | {"failures": failures(pd.concat([trials, tuning], ignore_index=True))}
    assert no_success(tables, label) == f"{status} in all 12 trainings: no memory (9 of them)"


def test_no_success_of_two_kinds() -> None:
    """Mixed outcomes are counted; one success, or a trial that has not ended, is enough for no such sentence."""
    mixed = spoil(spoil(simulate_trials(6, 2), "agd", "failed", range(12)), "agd", "refused", range(5))
    assert no_success(tables_of(mixed), "agd") == "succeeded in none of 12 trainings (7 failed, 5 refused)"
    assert no_success(tables_of(mixed), "sgd") == ""
    assert no_success(tables_of(spoil(mixed, "agd", "pending", [3])), "agd") == ""


def tables_of(trials: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """Return the tables that a finding needs, with sgd as the baseline of agd."""
    agreement = kendall_tau(trials, resamples=300)
    return {
        "accuracy": accuracy_table(trials),
        "accuracy_difference": accuracy_difference(trials, "sgd", "agd").assign(baseline="sgd", challenger="agd"),
        "standings": standings(trials, "sgd"),
        "ranks": rank_architectures(trials),
        "kendall_tau": agreement,
        "ranking_decisions": ranking_decisions(agreement, "sgd"),
        "transfer_regret": transfer_regret(trials),
        "cost_by_architecture": charged_cost(trials, by_architecture=True),
    }


def find(trials: pd.DataFrame) -> Finding:
    """Return the finding about agd compared with sgd."""
    return finding(tables_of(trials), "sgd", "agd")


def words(trials: pd.DataFrame) -> str:
    """Return all sentences of the finding as one text."""
    return " ".join(find(trials).sentences)


def test_a_clear_change_is_stated_with_its_interval() -> None:
    """A strong interaction is reported as a changed ranking, with the number of architectures and an interval."""
    found = find(simulate_trials(30, 4, interaction=0.06, noise=0.003))
    assert found.decision == "differs"
    (said,) = [sentence for sentence in found.sentences if sentence.startswith("agd ranks the architectures differently")]
    assert "30 architectures" in said
    assert "95 % interval" in said


def test_seed_noise_alone_is_no_change() -> None:
    """If the true rankings are equal but the noise is large, neither a change nor agreement is claimed."""
    assert find(simulate_trials(20, 4, noise=0.03)).decision == "cannot tell"


@pytest.mark.parametrize(("architectures", "seeds", "reason"), [(20, 1, "one seed"), (5, 3, "at least 8"), (1, 3, "Fewer than two")])
def test_too_little_data_cannot_tell(architectures: int, seeds: int, reason: str) -> None:
    """With one seed or few architectures there is no decision, however strong the interaction."""
    found = find(simulate_trials(architectures, seeds, interaction=0.1))
    assert found.decision == "cannot tell"
    assert reason in " ".join(found.sentences)


def test_a_noisy_ranking_is_called_noise() -> None:
    """If the noise ceiling itself is low, the finding says so."""
    assert "mostly noise" in words(simulate_trials(20, 2, noise=0.3, spread=0.001))


def test_accuracy_says_where_its_sign_is_open() -> None:
    """A difference that may be zero is called unclear; a large one is stated with its direction."""
    assert "unclear which is better" in find(simulate_trials(10, 2, interaction=0.02, seed=1)).sentences[0]
    worse = find(simulate_trials(10, 2, gain=-0.2)).sentences[0]
    assert "points less than sgd" in worse
    assert "is open" not in worse


@pytest.mark.parametrize(("architectures", "told"), [(2, False), (3, False), (4, True)])
def test_so_few_architectures_are_too_few_for_an_interval(architectures: int, told: bool) -> None:
    """With two or three architectures there is no t interval, as it could exceed 100 points."""
    said = find(simulate_trials(architectures, 2, interaction=0.3, spread=0.3, seed=4)).sentences[0]
    assert ("too few for an interval" in said) is not told
    assert ("95 % interval" in said) is told


def test_failures_count_and_are_named() -> None:
    """A diverged training counts as accuracy 0; the sentence also gives their number and the difference without them."""
    trials = spoil(simulate_trials(10, 2, gain=0.02, noise=0.0001), "agd", "diverged", range(10))
    said = find(trials).sentences[0]
    assert "points less than sgd" in said
    assert "10 diverged" in said
    assert "the difference is +2.0 points" in said


def test_partial_runs_say_so() -> None:
    """If trials are unfinished, the sentence begins with 'So far'."""
    assert find(spoil(simulate_trials(10, 2), "agd", "pending", [0, 1])).sentences[0].startswith("So far, ")


def test_cost_compares_the_same_architectures_only() -> None:
    """Refusing half of the architectures does not make a challenger look cheaper, and equal cost is not called 1.00 times."""
    said = words(spoil(simulate_trials(8, 1), "agd", "refused", range(4)))
    assert "the same floating-point operations and the same time" in said
    assert "1.00 times" not in said


def test_tuning_is_charged_in_the_words_too() -> None:
    """Two tuning trials and two final trials cost twice as much as the final trials alone."""
    assert "2.00 times the time" in words(simulate_trials(8, 2, tuned=("agd",)))


def test_everything_diverged_still_gives_sentences() -> None:
    """If every training diverged, the finding says so without a decision or NaN."""
    found = find(spoil(simulate_trials(4, 2), "agd", "diverged", range(8)))
    assert found.sentences[0] == "agd diverged in all 8 trainings."
    assert found.decision == "cannot tell"
    assert "nan" not in " ".join(found.sentences)


def test_one_group_at_a_time() -> None:
    """A finding about two data sets or an unknown label is an error."""
    trials = simulate_trials(3, 1)
    with pytest.raises(InputError, match="got 2"):
        find(pd.concat([trials, trials.assign(dataset="mnist")]))
    with pytest.raises(UnknownNameError):
        finding(tables_of(trials), "sgd", "adam")


ROW = {
    "architectures": 40, "seeds": 4, "seeds_compared": 2, "kendall_tau": 0.4, "noise_ceiling": 0.6, "gap": -0.2, "gap_low": -0.3,
    "gap_high": -0.1,
}  # fmt: skip


def test_what_only_one_scale_shows_is_open() -> None:
    """If only one scale shows a change, the sentence gives this as the reason for 'cannot tell'."""
    row = ROW | {
        "baseline": "sgd",
        "challenger": "agd",
        "decision": "cannot tell",
        "p_holm": 0.2,
        "p_one_scale_holm": 0.01,
        "comparisons": 1,
    }
    assert "one of two scales" in ranking_sentence(row)
    assert "one of two scales" not in ranking_sentence(row | {"decision": "differs", "p_holm": 0.01})
    assert "one of two scales" not in ranking_sentence(row | {"gap": 0.1})


def test_the_best_are_counted() -> None:
    """The sentence gives the number of best architectures and the interval, or says why there is none; without a ceiling it is empty."""
    assert "40 best architectures" in decile_words(ROW)
    assert "95 % interval -0.30 to -0.10" in decile_words(ROW)
    assert "too few for an interval" in decile_words({**ROW, "gap_low": float("nan")})
    assert decile_words({**ROW, "noise_ceiling": float("nan"), "gap": float("nan")}) == ""


def test_how_many_architectures_move_is_told() -> None:
    """The sentence counts architectures that move beyond noise; it is empty if they were not tested."""
    shift = pd.DataFrame({"shift_p_holm": [0.01, 0.5, 0.7], "beyond_noise": [True, False, False]})
    assert moved_words(shift).startswith("1 of the 3 architectures moves by more")
    assert moved_words(shift.assign(beyond_noise=False)).startswith("None of the 3 architectures move")
    assert moved_words(shift.assign(shift_p_holm=float("nan"))) == ""
    assert moved_words(pd.DataFrame()) == ""


def test_a_driver_is_told_where_it_is_clear() -> None:
    """The strongest significant feature is named, also corrected for the number of challengers; otherwise none is."""
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
    """A crossover between the two algorithms adds a sentence to the finding."""
    trials = simulate_trials(12, 3, tuned=("agd",), gain=-0.05)
    tables = {**tables_of(trials), "crossover": find_crossovers(trials, "agd", "sgd")}
    assert "Tuning agd does not overtake sgd within the 2 trainings" in finding(tables, "sgd", "agd").sentences[-1]


def test_regret_is_a_loss_or_a_gain() -> None:
    """Regret is given in points with its interval, a negative one as a gain; on the seed of the choice it is called overestimated."""
    row = {"chosen_by": "agd", "trained_by": "sgd", "transfer_regret": 0.012, "disjoint": True, "architectures": 9}
    assert "loses 1.2 points" in regret_words(row)
    assert "overestimated" in regret_words({**row, "disjoint": False})
    assert "95 % interval -0.1 to 2.5" in regret_words({**row, "regret_low": -0.001, "regret_high": 0.025})
    gain = regret_words({**row, "transfer_regret": -0.007, "regret_low": -0.02, "regret_high": 0.001})
    assert "gains 0.7 points" in gain
    assert "95 % interval -0.1 to 2.0" in gain
    assert regret_words({}) == ""
    assert regret_words({**row, "architectures": 1}) == ""


@pytest.mark.parametrize("label", ["agd", "sgd"])
def test_an_algorithm_that_refused_everything_is_said_with_its_reason(label: str) -> None:
    """If an algorithm refused every training, this is the only sentence; not if one was trained."""
    whole = spoil(simulate_trials(6, 2), label, "refused", range(12), reason="it has biases")
    found = finding(tables_of(whole) | {"failures": failures(whole)}, "sgd", "agd")
    assert found.sentences == (f"{label} refused all 12 trainings: it has biases.",)
    assert found.decision == "cannot tell"
    some = spoil(simulate_trials(6, 2), label, "refused", range(11), reason="it has biases")
    assert len(finding(tables_of(some), "sgd", "agd").sentences) > 1
