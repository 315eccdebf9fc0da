"""Seconds of different lanes are never compared with each other."""

from __future__ import annotations

import dataclasses
import json

import numpy as np
import pandas as pd
import pytest

from agd_bench.analysis import charged_cost, seconds_by_lane
from agd_bench.analysis.costs.charges import cost_ratio
from agd_bench.analysis.costs.lanes import lanes_of
from agd_bench.claims.queries import QUERIES
from agd_bench.store import Results
from agd_bench.tables import aggregates
from tests.analysis.synthetic import simulate_results, simulate_trials


def in_lanes(timed: int, architectures: int = 10, unrecorded: bool = False) -> Results:
    """Return trials with the device to themselves at 10 s for `timed` architectures, and shared at 40 s for the others.

    The challenger takes half as long.
    """
    trials = simulate_trials(architectures, 2, ("sgd", "agd"))
    own = trials["architecture"].isin(trials["architecture"].unique()[:timed]) & (trials["seed"] == 0)
    seconds = np.where(own, 10.0, 40.0) * np.where(trials["algorithm"] == "agd", 0.5, 1.0)
    results = simulate_results(trials.assign(total_seconds=seconds, charged_seconds=seconds))
    lane = results.attempts["trial_id"].map(dict(zip(trials["trial_id"], own, strict=True)))
    text = {True: json.dumps({"exclusive": "yes"}), False: json.dumps({"exclusive": "no"})}
    provenance = lane.map(lambda is_own: json.dumps({"torch": "2"}) if unrecorded else text[bool(is_own)])
    return Results(
        sweep=results.sweep, trials=results.trials, curves=results.curves, attempts=results.attempts.assign(provenance=provenance), meta={}
    )


def test_each_lane_compares_on_its_own() -> None:
    """Each lane has its own ratio of seconds; over both lanes there is none, while FLOPs can always be compared."""
    results = in_lanes(timed=3)
    table = seconds_by_lane(results.trials, results.attempts, "sgd").set_index(["lane", "algorithm"])
    assert table["cases"].to_dict() == {("timing", "sgd"): 3, ("timing", "agd"): 3, ("shared", "sgd"): 17, ("shared", "agd"): 17}
    assert table.loc[["timing", "shared"], "seconds_per_trial"].tolist() == [10.0, 5.0, 40.0, 20.0]
    assert table.loc[["timing", "shared"], "seconds_ratio"].tolist() == [1.0, 0.5, 1.0, 0.5]
    for by_architecture in (False, True):
        cost = charged_cost(results.trials, "sgd", by_architecture, results.attempts)
        assert cost["seconds_ratio"].isna().all()
        assert cost["flops_ratio"].notna().all()


@pytest.mark.parametrize(("timed", "unrecorded"), [(0, False), (10, True)])
def test_one_lane_stays_as_it_was(timed: int, unrecorded: bool) -> None:
    """With a single lane, or without a record, there is no table of lanes and seconds are compared."""
    results = in_lanes(timed, unrecorded=unrecorded)
    assert seconds_by_lane(results.trials, results.attempts, "sgd").empty
    cost = charged_cost(results.trials, "sgd", attempts=results.attempts)
    pd.testing.assert_frame_equal(cost[["seconds_ratio"]], charged_cost(results.trials, "sgd")[["seconds_ratio"]])


def test_a_trial_of_both_lanes_is_in_neither() -> None:
    """A trial with one attempt alone on the device and another on a shared device belongs to no lane."""
    results = in_lanes(timed=1)
    own = results.trials.index[lanes_of(results.trials, results.attempts) == "timing"]
    name = results.trials.loc[own[0], "trial_id"]
    again = results.attempts[results.attempts["trial_id"] == name].assign(attempt=2, provenance=json.dumps({"exclusive": "no"}))
    lanes = lanes_of(results.trials, pd.concat([results.attempts, again], ignore_index=True))
    assert lanes[own].tolist() == ["several", "timing"]


def test_seconds_of_two_devices_or_kinds_of_step_have_no_ratio() -> None:
    """Seconds on an A100 and an H100, or of eager and graph steps, have no ratio; algorithms in one lane still have."""
    trials = simulate_trials(6, 2, ("sgd", "agd", "muon"))
    results = simulate_results(trials.assign(total_seconds=2.0, charged_seconds=2.0))
    h100 = {"device": "NVIDIA H100", "device_type": "cuda", "exclusive": "yes", "step": "graph"}
    algorithms = results.attempts["trial_id"].map(trials.set_index("trial_id")["algorithm"])
    for changed in ({"device": "NVIDIA A100"}, {"step": "eager"}):
        texts = {name: json.dumps(h100 | (changed if name == "muon" else {})) for name in ("sgd", "agd", "muon")}
        attempts = results.attempts.assign(provenance=algorithms.map(texts))
        ratios = charged_cost(trials, "sgd", attempts=attempts).set_index("algorithm")["seconds_ratio"]
        assert ratios["agd"] == 1.0
        assert np.isnan(ratios["muon"])
        tables = aggregates(dataclasses.replace(results, attempts=attempts))
        assert np.isfinite(cost_ratio(tables, "sgd", "agd", "charged_seconds").ratio)
        assert np.isnan(cost_ratio(tables, "sgd", "muon", "charged_seconds").ratio)


def test_the_report_and_the_claims_respect_lanes(few_resamples: None) -> None:
    """Over several lanes, a claim about seconds has no estimate, and the table of lanes is published."""
    mixed, single = aggregates(in_lanes(timed=3)), aggregates(in_lanes(timed=0))
    assert len(mixed["lanes"]) == 4
    assert "lanes" not in single
    asked = {"baseline": "sgd", "challenger": "agd"}
    assert np.isnan(QUERIES["seconds_ratio"].ask(mixed, asked).estimate)
    assert QUERIES["seconds_ratio"].ask(single, asked).estimate == pytest.approx(0.5)
