"""The tables of a report are the same whether computed together (shared arrays, threads) or one by one."""

from __future__ import annotations

import dataclasses
import warnings
from typing import Any

import numpy as np
import pandas as pd
import pytest

from agd_bench.analysis import complete_cases, scores
from agd_bench.analysis.scores import paired_scores, shared_work
from agd_bench.records import Sweep
from agd_bench.report.sections import _partial, make_sections
from agd_bench.store import Results
from agd_bench.tables import aggregates, aggregation
from tests.analysis.synthetic import simulate_results, simulate_trials, spoil


@pytest.fixture(scope="module")
def results(few_resamples: None) -> Results:
    """Return results on two data sets with four algorithms, one of them tuned, and some unsuccessful trials."""
    labels = ("sgd", "agd", "adamw", "lion")
    parts = [
        simulate_trials(13, 3, labels, interaction=0.02, tuned=("adamw",), dataset=name, seed=place)
        for place, name in enumerate(("mnist", "digits"))
    ]
    trials = pd.concat(parts, ignore_index=True).assign(position=lambda rows: range(len(rows)))
    trials = spoil(spoil(trials, "agd", "diverged", [0, 1, 20]), "lion", "failed", [5, 30])
    return simulate_results(spoil(trials, "sgd", "pending", [26]))


def test_tables_are_what_each_is_alone(results: Results) -> None:
    """Sharing arrays, encoding names as numbers and using threads do not change any bit of a table."""
    found, trials = aggregates(results), complete_cases(aggregation.in_sweep_order(results))
    for name, compute in aggregation.WHOLE.items():
        if name in found or name not in aggregation.IF_ANY:
            table = found[name].drop(columns="cost_ratio") if name == "standings" else found[name]  # which comes from other tables
            pd.testing.assert_frame_equal(table, compute(trials, results), check_exact=True)
    for challenger in aggregation.challengers(results):
        both = trials[trials["algorithm"].isin(["sgd", challenger])]
        for name, compare in aggregation.BY_CHALLENGER.items():
            own = found[name][found[name]["challenger"] == challenger].drop(columns=["baseline", "challenger"])
            pd.testing.assert_frame_equal(own.reset_index(drop=True), compare(both, "sgd", challenger), check_exact=True)


def test_filters_of_warnings_are_left_alone(results: Results) -> None:
    """Warning filters, which pandas changes temporarily in each thread, are restored."""
    before = list(warnings.filters)
    aggregates(results)
    assert list(warnings.filters) == before


def test_scores_are_made_once_where_work_is_shared(results: Results, monkeypatch: pytest.MonkeyPatch) -> None:
    """Inside the block, scores are computed once per table and metric; outside, every time, so they cannot become stale."""
    made: list[Any] = []
    make = scores._all_scores

    def counting(*asked: Any) -> Any:
        made.append(asked[1:])
        return make(*asked)

    monkeypatch.setattr(scores, "_all_scores", counting)
    trials = results.trials
    with shared_work():
        first, again = list(paired_scores(trials)), list(paired_scores(trials))
        assert [one is two for one, two in zip(first, again, strict=True)] == [True, True]
        list(paired_scores(trials, "val_accuracy"))
        list(paired_scores(trials.copy()))
    assert made == [("test_accuracy", False), ("val_accuracy", False), ("test_accuracy", False)]
    list(paired_scores(trials))
    assert len(made) == 4


def test_shared_arrays_cannot_be_written_to(results: Results) -> None:
    """Shared arrays are read-only, because a change made by one table would affect all others."""
    group = next(iter(paired_scores(results.trials)))
    with pytest.raises(ValueError, match="read-only"):
        group.values[0, 0, 0] = 0.5


def test_large_comparisons_take_fewer_resamples(monkeypatch: pytest.MonkeyPatch) -> None:
    """There are 1,000 resamples for up to 4,000 architectures, then proportionally fewer, but never less than 200."""
    monkeypatch.setattr(aggregation, "FEWEST_RESAMPLES", 200)
    monkeypatch.setattr(aggregation, "MOST_RESAMPLES", 1000)
    trials = {count: pd.DataFrame({"architecture": np.arange(count)}) for count in (10, 4000, 15_625, 100_000)}
    assert [aggregation.resamples_of(table) for table in trials.values()] == [1000, 1000, 256, 200]


def test_adaptive_seeds_say_what_they_decided(few_resamples: None) -> None:
    """The table counts pairs and unneeded trainings, the page shows it, and the number of seeds is a range."""
    trials = simulate_trials(6, 4, ("sgd", "agd"), noise=0.001)
    spared = (trials["seed"] > 1) & (trials["architecture"] == trials["architecture"].iloc[0])
    missing = ["val_accuracy", "test_accuracy", "charged_seconds", "train_seconds", "flops"]
    trials.loc[spared, missing], trials.loc[spared, "attempts"], trials.loc[spared, "status"] = np.nan, 0, "unneeded"
    results = simulate_results(trials)
    adaptive = results.sweep.model_dump(exclude={"seeds"}) | {"seeds": "adaptive", "adaptive_seeds": {"first": 2, "most": 4}}
    results = dataclasses.replace(results, sweep=Sweep.model_validate(adaptive))
    tables = aggregates(results)
    assert tables["order_decisions"][["algorithm", "pairs", "unneeded"]].values.tolist() == [["sgd", 15, 2], ["agd", 15, 2]]
    assert tables["cost"]["trials"].tolist() == [22, 22]
    (section,) = make_sections(results, tables)
    assert "What adaptive seeds decided" in {table.caption for part in section.parts for table in part.tables}
    assert results.sweep.seed_count == "2 to 4"


def test_progress_says_who_is_compared(results: Results) -> None:
    """While only one algorithm has finished trials, the report does not claim that every algorithm has."""
    final = results.trials["purpose"] == "final"
    others = final & (results.trials["algorithm"] != "sgd")
    trials = results.trials.assign(status=results.trials["status"].mask(others, "pending"))
    alone = aggregates(dataclasses.replace(results, trials=trials))["progress"]
    assert (alone["ahead"] == 1).all()
    assert (alone["algorithms"] == 4).all()
    assert " 1 of 4 algorithms have trained so far" in _partial(alone[:1])
    whole = aggregates(results)["progress"]
    assert (whole["ahead"] == 4).all()
    assert "every algorithm has trained" in _partial(whole[:1])
