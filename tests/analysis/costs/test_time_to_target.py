"""Time to target: stored targets, the first epoch that reaches one, and infinite times."""

from __future__ import annotations

import io

import numpy as np
import pandas as pd
import pytest

from agd_bench.analysis import measure_time_to_target, reference_targets
from agd_bench.errors import InputError, UnknownNameError
from tests.analysis.synthetic import simulate_results, simulate_trials, spoil


def test_targets_survive_a_file() -> None:
    """Targets written to CSV and read back give the same times."""
    trials = simulate_trials(5, 3)
    curves = simulate_results(trials).curves
    targets = reference_targets(trials, "sgd")
    frozen = pd.read_csv(io.StringIO(targets.to_csv(index=False)))
    pd.testing.assert_frame_equal(measure_time_to_target(trials, curves, frozen), measure_time_to_target(trials, curves, targets))


def test_the_first_evaluation_that_reaches_it_counts() -> None:
    """Curves rise by a third per epoch, so half the final accuracy is reached in the second epoch and all of it in the third."""
    trials = simulate_trials(4, 1, ("agd",), noise=0.0)
    curves = simulate_results(trials).curves
    targets = reference_targets(trials, "agd", [0.5])
    halved = targets.assign(target=targets["target"] / 2, quantile=0.25)
    times = measure_time_to_target(trials, curves, pd.concat([halved, targets]))
    early, late = (times[times["quantile"] == quantile].set_index("architecture") for quantile in (0.25, 0.5))
    assert (early["epochs"] == 2).all()
    assert (late["epochs"] == 3).all()
    done = trials.set_index("architecture")
    assert early["flops"].to_dict() == pytest.approx((done["flops"].astype(float) * 2 / 3).to_dict())
    assert late["seconds"].to_dict() == pytest.approx(done["train_seconds"].to_dict())


def test_never_reached_is_infinite() -> None:
    """A diverged trial and one below its target have infinite times; a failed or refused one has no row."""
    trials = spoil(simulate_trials(4, 2, ("sgd", "agd"), gain=-0.2), "sgd", "diverged", [0])
    trials = spoil(trials, "sgd", "failed", [1])
    times = measure_time_to_target(trials, simulate_results(trials).curves, reference_targets(trials, "sgd", by_architecture=False))
    lost = times[~times["reached"]]
    assert len(times) == 15 * 3
    assert np.isinf(lost[["epochs", "flops", "seconds", "flops_with_tuning"]]).all(axis=None)
    assert set(lost.loc[lost["algorithm"] == "agd", "architecture"]) == set(trials["architecture"])


def test_tuning_is_added_once_per_architecture() -> None:
    """The tuning trials of an architecture's study are added to the tuned algorithm's FLOPs, and nothing to the other's."""
    trials = simulate_trials(4, 2, ("sgd", "agd"), tuned=("agd",), noise=0.0)
    times = measure_time_to_target(trials, simulate_results(trials).curves, reference_targets(trials, "sgd", [0.5]))
    extra = (times["flops_with_tuning"] - times["flops"]).groupby([times["algorithm"], times["architecture"]]).mean()
    tuning = trials[trials["purpose"] == "tuning"].groupby("architecture")["flops"].sum().astype(float)
    assert extra["sgd"].to_numpy() == pytest.approx(0)
    assert extra["agd"].to_dict() == pytest.approx(tuning.to_dict())


def test_wrong_references_are_errors() -> None:
    """An unknown algorithm and a quantile in per cent are errors."""
    trials = simulate_trials(2, 1)
    with pytest.raises(UnknownNameError, match="sgdd"):
        reference_targets(trials, "sgdd")
    with pytest.raises(InputError, match="50"):
        reference_targets(trials, "sgd", [50])
