"""Trials with steps that cannot be captured run eagerly, record why, and do not affect the next trial."""

from __future__ import annotations

import numpy as np
import pytest

from agd_bench.records import TrialResult
from agd_bench.training.data import bounds, load_splits
from agd_bench.training.loop import EVALUATION_BATCH
from agd_bench.trial import run_trial
from tests.cuda_stub.stub import NEEDS_STUB, counts
from tests.cuda_stub.trials import WORKPLACE, trial

pytestmark = NEEDS_STUB


def step_of(result: TrialResult) -> str:
    """Assert that a trial succeeded and return how its steps ran."""
    assert (result.status, result.reason) == ("done", "")
    return result.provenance["step"]


@pytest.mark.parametrize(
    ("architecture", "step"), [("plain", "graph"), ("noise", "graph"), ("item", "eager"), ("constant", "eager"), ("unique", "eager")]
)
def test_a_step_is_captured_or_runs_eagerly_with_a_reason(architecture: str, step: str) -> None:
    """Obstacles are found by the dispatcher or by a failed capture, and the next trial is captured again."""
    result = run_trial(trial(architecture=architecture), WORKPLACE)
    assert step_of(result) == step
    assert ("eager_because" in result.provenance) == (step == "eager")
    assert step_of(run_trial(trial(architecture="noise"), WORKPLACE)) == "graph"


@pytest.mark.parametrize("algorithm", ["adamw", "nadamw", "nas_bench_201_sgd"])
def test_a_failed_capture_counts_no_step(algorithm: str) -> None:
    """A failed capture does not advance the schedule or the optimizer's counters, so learning rates equal those of a graph."""
    rates = []
    for architecture in ("plain", "constant"):
        result = run_trial(trial(architecture=architecture, algorithm=algorithm, algorithm_label=algorithm), WORKPLACE)
        assert (result.status, result.reason) == ("done", "")
        rates.append([point.learning_rate for point in result.curve])
    assert rates[0] == rates[1]


def test_replayed_steps_launch_one_graph_and_wait_for_nothing() -> None:
    """An additional epoch costs one launch per training and evaluation batch, and never waits for the whole device."""
    run_trial(trial(), WORKPLACE)
    spent = []
    for epochs in (3, 4):
        before = counts()
        assert step_of(run_trial(trial(epochs=epochs), WORKPLACE)) == "graph"
        spent.append({name: value - before[name] for name, value in counts().items()})
    splits = load_splits("digits", WORKPLACE.data_root, (), 1.0, "cuda")
    steps = np.diff(bounds(len(splits.train.labels), trial().batch_size))
    evaluated = np.diff(bounds(len(splits.val.labels), EVALUATION_BATCH))
    assert spent[1]["launches"] - spent[0]["launches"] == len(steps) + len(evaluated)
    assert spent[1]["captures"] == spent[0]["captures"] == len(set(steps)) + len(set(evaluated))
    assert spent[1]["device_waits"] == spent[0]["device_waits"]
    assert spent[1]["graphs_alive"] == 0, "a trained network's graphs are let go of"
