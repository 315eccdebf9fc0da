"""Adaptive seeds: which architectures get more seeds, and how often an order is decided wrongly."""

from __future__ import annotations

import itertools

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agd_bench.analysis import accuracy_difference, accuracy_table, kendall_tau, rank_architectures, rank_shift
from agd_bench.analysis.adaptive_seeds import moderate, next_seeds, order_decisions
from agd_bench.analysis.scores import paired_scores
from agd_bench.errors import InputError
from agd_bench.records import AdaptiveSeeds
from tests.analysis.synthetic import simulate_trials, spoil
from tests.performance.adaptive_seeds import normal, simulate

RULE = AdaptiveSeeds(first=2, most=6, half_width=0.01)


def withhold(trials: pd.DataFrame, counts: dict[str, int], status: str = "pending") -> pd.DataFrame:
    """Return the table in which only the given number of seeds of each architecture has been trained."""
    late = trials["seed"] >= trials["architecture"].map(counts)
    held = trials.copy()
    held.loc[late, "status"] = status
    held.loc[late, ["val_accuracy", "test_accuracy", "train_accuracy"]] = np.nan
    return held


def play(trials: pd.DataFrame, rule: AdaptiveSeeds) -> tuple[list[dict[str, int]], pd.DataFrame]:
    """Return the rounds that a sweep would run, and the final table, in which all other trials are unneeded."""
    rounds = [next_seeds(withhold(trials, dict.fromkeys(trials["architecture"], 0)), rule)]
    while (more := next_seeds(withhold(trials, rounds[-1]), rule)) != rounds[-1]:
        rounds.append(more)
    return rounds, withhold(trials, rounds[-1], "unneeded")


def test_the_first_seeds_go_to_all() -> None:
    """No order is decided until every algorithm has trained the first seeds of every architecture."""
    trials = simulate_trials(10, 6)
    nothing = withhold(trials, dict.fromkeys(trials["architecture"], 0))
    assert set(next_seeds(nothing, RULE).values()) == {2}
    short = withhold(trials, dict.fromkeys(trials["architecture"], 2))
    short.loc[short.index[(short["algorithm"] == "agd") & (short["seed"] == 1)][:1], "status"] = "running"
    assert set(next_seeds(short, RULE).values()) == {2}


def test_rounds_grow_one_look_at_a_time_and_the_whole_table_gives_the_last_one() -> None:
    """Each round adds at most one seed, and the final answer depends only on the rows, not on the previous rounds."""
    trials = simulate_trials(16, 6, spread=0.05, noise=0.008)
    rounds, _ = play(trials, RULE)
    for before, after in itertools.pairwise(rounds):
        grown = [after[name] - before[name] for name in before]
        assert set(grown) <= {0, 1}
        assert all(before[name] == max(before.values()) for name, more in zip(before, grown, strict=True) if more)
    assert next_seeds(trials, RULE) == rounds[-1]
    assert min(rounds[-1].values()) < max(rounds[-1].values())


@given(order=st.randoms(use_true_random=False))
@settings(max_examples=10, deadline=None)
def test_the_order_of_rows_changes_nothing(order: object) -> None:
    """The seeds do not depend on the order in which trials end."""
    trials = simulate_trials(12, 6, spread=0.05, noise=0.008)
    places = list(range(len(trials)))
    order.shuffle(places)  # type: ignore[attr-defined]
    assert next_seeds(trials.iloc[places], RULE) == next_seeds(trials, RULE)


def test_architectures_that_diverged_or_were_refused_need_no_more() -> None:
    """A diverged or refused architecture needs no more seeds, unless another algorithm can train it."""
    trials = simulate_trials(8, 6, ("sgd",), spread=0.0)
    names = list(dict.fromkeys(trials["architecture"]))
    for status in ("diverged", "refused"):
        spoilt = spoil(trials, "sgd", status, [0, 1, 2, 3, 4, 5])
        assert next_seeds(spoilt, RULE)[names[0]] == 2
        assert next_seeds(spoilt, RULE)[names[1]] == 6
    both = spoil(simulate_trials(8, 6, spread=0.0), "sgd", "refused", range(6))
    assert next_seeds(both, RULE)[names[0]] == 6


def test_a_wide_half_width_stops_at_once_and_says_so() -> None:
    """Differences that are known precisely enough count as close; the table counts them and the unneeded trials."""
    trials = simulate_trials(12, 6, spread=0.0, noise=0.001)
    rounds, ended = play(trials, RULE.model_copy(update={"half_width": 0.5}))
    assert set(rounds[-1].values()) == {2}
    table = order_decisions(ended, RULE.model_copy(update={"half_width": 0.5}))
    assert (table["pairs"] == 66).all()
    assert (table["close"] == 66 - table["decided"]).all()
    assert (table["unneeded"] == 12 * 4).all()
    assert (table[["seeds_mean", "seeds_most"]] == 2).all(axis=None)


def test_what_next_seeds_leaves_open_is_undecided_only_at_the_most_seeds() -> None:
    """Pairs stay undecided only if an architecture has reached the largest number of seeds."""
    trials = simulate_trials(14, 6, spread=0.02, noise=0.01)
    rounds, ended = play(trials, RULE)
    table = order_decisions(ended, RULE)
    assert (table["pairs"] == table[["decided", "close", "undecided"]].sum(axis=1)).all()
    assert table["undecided"].sum() > 0
    assert max(rounds[-1].values()) == 6


def test_analyses_use_the_seeds_that_all_have_or_all_that_each_has() -> None:
    """Means and ranks use all seeds, tau, its ceiling and shifts only the common ones, and no trial counts as unfinished."""
    trials = simulate_trials(12, 6, spread=0.05, noise=0.008)
    counts = dict.fromkeys(trials["architecture"], 2)
    more = next(iter(counts))
    ended = withhold(trials, counts | {more: 5}, "unneeded")
    common = trials[trials["seed"] < 2]
    pd.testing.assert_frame_equal(kendall_tau(ended), kendall_tau(common))
    pd.testing.assert_frame_equal(rank_shift(ended, "sgd", "agd"), rank_shift(common, "sgd", "agd"))
    own = trials[(trials["architecture"] == more) & (trials["algorithm"] == "agd") & (trials["seed"] < 5)]
    ranked = rank_architectures(ended).set_index(["algorithm", "architecture"])
    assert ranked.loc[("agd", more), "accuracy"] == pytest.approx(own["test_accuracy"].mean(), abs=1e-9)
    assert (ranked["ranked"] == 12).all()
    assert (accuracy_table(ended)["unfinished"] == 0).all()
    assert accuracy_difference(ended, "sgd", "agd")["pairs"].item() == 12 * 2 + 3
    assert [len(group.seeds) for group in paired_scores(ended, every_seed=True)] == [5 + 1]


def test_one_group_at_a_time() -> None:
    """Several groups are an error, and so are fewer seeds than the rule's maximum."""
    both = pd.concat([simulate_trials(3, 6), simulate_trials(3, 6, dataset="mnist")])
    with pytest.raises(InputError, match="2 comparison groups"):
        next_seeds(both, RULE)
    for function in (next_seeds, order_decisions):
        with pytest.raises(InputError, match="3 seeds"):
            function(simulate_trials(3, 3), RULE)


def test_variances_are_drawn_together_as_far_as_they_are_alike() -> None:
    """Variances with equal true values are shrunk to their mean, with many degrees of freedom; very unequal ones hardly change."""
    rng = np.random.default_rng(0)
    alike = rng.chisquare(5, 400) / 5
    pooled, freedom = moderate(alike, 5)
    assert freedom > 25
    assert pooled.std() < alike.std() / 4
    unlike = alike * np.exp(rng.normal(0, 2, 400))
    kept, few = moderate(unlike, 5)
    assert few < 7
    assert np.corrcoef(np.log(kept), np.log(unlike))[0, 1] > 0.8


@pytest.mark.parametrize("spread", [0.0, 0.5])
def test_orders_are_rarely_decided_wrongly(spread: float) -> None:
    """At most 5 of 40 simulations without a true order decide one (nominally 5 %), with equal or unequal noise."""
    wrong, *_ = simulate(12, 2, 0.0, normal(spread), RULE, 40)
    assert wrong * 40 <= 5


def test_true_orders_are_found() -> None:
    """If architectures differ by six times the noise, most orders are decided before the largest number of seeds."""
    wrong, seeds, decided, _ = simulate(20, 2, 0.06, normal(), AdaptiveSeeds(most=8), 5)
    assert wrong == 0
    assert seeds < 8
    assert decided > 0.5
