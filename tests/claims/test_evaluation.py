"""Evaluating claims: which hold, fail or are undecided, and how often the answer is wrong."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest
import scipy.stats

from agd_bench.analysis.costs.charges import ratio_of
from agd_bench.analysis.scores import Floats
from agd_bench.claims import QUERIES, Claim, Claims, Estimate, evaluate_claims
from agd_bench.claims.evaluation import judge, widen
from agd_bench.errors import InputError
from agd_bench.store import Results
from agd_bench.tables import aggregates
from tests.analysis.synthetic import simulate_results, simulate_trials, spoil

PAIR = {"baseline": "sgd", "challenger": "agd"}
ASKED: dict[str, dict[str, str]] = {
    "mean_accuracy": {"algorithm": "agd"},
    "accuracy_difference": PAIR,
    "ranking_decision": PAIR,
    "kendall_gap": {"first": "agd", "second": "sgd"},
    "flops_ratio": PAIR,
    "seconds_ratio": PAIR,
    "transfer_regret": {"chosen_by": "agd", "trained_by": "sgd"},
    "kendall_gap_top_decile": {"first": "agd", "second": "sgd"},
    "crossover": {"tuned": "agd", "self_tuning": "sgd"},
    "equal_compute_difference": {"baseline": "agd", "challenger": "sgd"},
}


def claim(query: str = "accuracy_difference", test: str = "above", threshold: object = -0.02, level: float = 0.95, **more: str) -> Claim:
    """Return a claim about agd and sgd."""
    fields = {"id": "c", "sentence": "s", "query": query, "test": test, "threshold": threshold, "level": level}
    return Claim.model_validate({**fields, "arguments": {**ASKED[query], **more}})


def t_estimate(values: Floats) -> Estimate:
    """Return the mean of these values with its 95 % t interval."""
    low, high = scipy.stats.t.interval(0.95, len(values) - 1, values.mean(), scipy.stats.sem(values))
    return Estimate(float(values.mean()), float(low), float(high), len(values))


def state(results: Results, *claims: Claim, tables: dict[str, pd.DataFrame] | None = None) -> pd.DataFrame:
    """Evaluate the claims, each in a separate file."""
    tables = tables or aggregates(results)
    return pd.concat([evaluate_claims(results, Claims(level=0.5, claims=(one,)), tables) for one in claims], ignore_index=True)


@pytest.fixture(scope="module")
def results(few_resamples: None) -> Results:
    """Return results in which agd is five points worse, tuned with two trials, and ranks the architectures differently."""
    return simulate_results(simulate_trials(30, 4, gain=-0.05, interaction=0.05, noise=0.003, tuned=("agd",)))


@pytest.fixture(scope="module")
def tables(results: Results) -> dict[str, pd.DataFrame]:
    """Compute all aggregate tables of the results once."""
    return aggregates(results)


@pytest.mark.parametrize(
    ("test", "threshold", "expected"),
    [
        ("above", -0.2, "holds"), ("above", -0.01, "fails"), ("above", -0.05, "undecided"), ("below", -0.01, "holds"),
        ("below", -0.2, "fails"), ("within", (-0.2, -0.01), "holds"), ("within", (-0.02, 0.02), "fails"),
        ("within", (-0.05, 0.2), "undecided"),
    ],
)  # fmt: skip
def test_the_interval_decides(results: Results, tables: dict[str, pd.DataFrame], test: str, threshold: object, expected: str) -> None:
    """A claim holds if the interval satisfies it, fails if it lies wholly on the other side, and is undecided otherwise."""
    row = state(results, claim(test=test, threshold=threshold), tables=tables).iloc[0]
    assert row["state"] == expected
    assert row["low"] < row["estimate"] < row["high"]
    assert row["n"] == 30


def test_every_query_reads_the_published_number(tables: dict[str, pd.DataFrame]) -> None:
    """Estimates are the numbers in the tables, for every query."""
    assert set(ASKED) == set(QUERIES)
    found = {query: QUERIES[query].ask(tables, arguments) for query, arguments in ASKED.items()}
    places = tables["standings"].set_index("algorithm")
    assert found["accuracy_difference"].estimate == places.loc["agd", "difference"]
    assert tables["ranking_decisions"]["decision"].tolist() == ["differs"]
    assert found["ranking_decision"].state == "holds"
    gaps = tables["kendall_tau"]
    assert found["kendall_gap"].estimate == gaps.loc[gaps["algorithm"] != gaps["other"], "gap"].iloc[0]
    assert found["flops_ratio"].estimate == pytest.approx(6 / 4)
    assert found["seconds_ratio"].low == pytest.approx(6 / 4)
    regrets = tables["transfer_regret"]
    assert found["transfer_regret"].estimate == regrets.loc[regrets["chosen_by"] == "agd", "transfer_regret"].iloc[0]
    assert found["mean_accuracy"].n == 30
    assert found["crossover"].estimate == math.inf  # agd is five points worse, and two tuning trials do not make up for that
    assert tables["crossover"]["state"].tolist() == ["not within the budget"]
    deciles = tables["kendall_tau_top_decile"]
    expected = deciles.loc[deciles["algorithm"] != deciles["other"], "gap"].iloc[0]
    assert found["kendall_gap_top_decile"].estimate == pytest.approx(expected, nan_ok=True)
    views = tables["cost_views"].set_index("view")
    assert found["equal_compute_difference"].estimate == views.loc["equal total compute", "difference"]


def test_who_fails_does_not_gain_by_it() -> None:
    """A challenger that is two points better but diverges on half of the architectures loses far more than 2 points."""
    trials = spoil(simulate_trials(12, 3, gain=0.02, noise=0.001), "agd", "diverged", range(18))
    row = state(simulate_results(trials), claim()).iloc[0]
    assert row["state"] == "fails"
    assert row["estimate"] < -0.3


@pytest.mark.parametrize(("interaction", "noise", "expected"), [(0.06, 0.003, "holds"), (0.0, 0.0003, "fails"), (0.0, 0.03, "undecided")])
def test_claim_and_report_decide_alike(interaction: float, noise: float, expected: str) -> None:
    """A claim about the ranking agrees with the report's decision at any level."""
    results = simulate_results(simulate_trials(30, 4, interaction=interaction, noise=noise))
    tables = aggregates(results)
    decided = {"differs": "holds", "same": "fails", "cannot tell": "undecided"}[tables["ranking_decisions"]["decision"].iloc[0]]
    found = state(results, *(claim("ranking_decision", "below", 0.0, level) for level in (0.95, 0.999)), tables=tables)
    assert found["state"].tolist() == [decided, decided] == [expected, expected]


def test_never_is_an_answer() -> None:
    """An infinite estimate is above any threshold, but its interval cannot be widened to another level."""
    never = Estimate(math.inf, 7.0, math.inf, 30)
    late = claim("crossover", "above", 6.0)
    assert judge(late, widen(never, 0.95))[0] == "holds"
    assert judge(claim("crossover", "below", 6.0), widen(never, 0.95))[0] == "fails"
    assert judge(late, widen(never, 0.99))[0] == "undecided"


def test_what_cannot_be_estimated_is_undecided() -> None:
    """With one seed or one architecture, a claim is undecided and the reason is given."""
    one_seed = state(simulate_results(simulate_trials(20, 1)), claim("kendall_gap", "below", 0.0))
    lone = state(simulate_results(simulate_trials(1, 3)), claim())
    for table, words in ((one_seed, "no estimate"), (lone, "no interval")):
        assert table["state"].tolist() == ["undecided"]
        assert words in table["reason"].iloc[0]


def test_claims_about_what_is_not_there_are_refused(results: Results, tables: dict[str, pd.DataFrame]) -> None:
    """Errors suggest the nearest algorithm or data set, and several comparison groups without a choice are an error."""
    with pytest.raises(InputError, match=r"claim 'c': unknown challenger 'ag'.*Did you mean 'agd'"):
        state(results, claim(challenger="ag"), tables=tables)
    with pytest.raises(InputError, match=r"unknown dataset 'digit'.*Did you mean 'digits'"):
        state(results, claim(dataset="digit"), tables=tables)
    both = pd.concat([simulate_trials(4, 2), simulate_trials(4, 2, dataset="mnist", seed=1)], ignore_index=True)
    two = simulate_results(both.assign(position=range(len(both))))
    with pytest.raises(InputError, match="2 comparison groups"):
        state(two, claim())
    assert len(state(two, claim(dataset="mnist"))) == 1


def test_widening_is_exact_for_means() -> None:
    """A 95 % t interval widened to 99 % equals the 99 % t interval."""
    values = np.random.default_rng(0).normal(0.1, 0.05, 9)
    wide = widen(t_estimate(values), 0.99)
    assert (wide.low, wide.high) == pytest.approx(scipy.stats.t.interval(0.99, 8, values.mean(), scipy.stats.sem(values)))


def test_ratios_are_covered() -> None:
    """The interval of a ratio of sums has about its nominal coverage, also for unequal architectures."""
    rng, hits = np.random.default_rng(1), 0
    for _ in range(400):
        size = rng.lognormal(0, 0.5, 40)
        found = ratio_of(size * rng.normal(0.4, 0.1, 40), size)
        hits += found.low < 0.4 < found.high
    assert 0.90 <= hits / 400 <= 0.985


def test_a_claim_rarely_holds_wrongly() -> None:
    """If the truth is exactly at the threshold, a file of four claims at a level of 80 % is wrong in at most a fifth of all cases."""
    rng, wrong = np.random.default_rng(2), 0
    one = claim(threshold=0.0, level=0.95)
    for _ in range(400):
        states = []
        for _ in range(4):
            values = rng.normal(0, 0.03, 12)
            states.append(judge(one, widen(t_estimate(values), 0.95))[0])
        wrong += "holds" in states or "fails" in states
    assert 0.12 <= wrong / 400 <= 0.24
