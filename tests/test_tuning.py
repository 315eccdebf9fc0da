"""The tuner: proposals are a function of the observations so far."""

from __future__ import annotations

import math
from typing import Any

import pytest
import scipy.stats

from agd_bench.errors import PluginError, SweepError
from agd_bench.records import AlgorithmChoice, CurvePoint, Scalars, Study, Trial
from agd_bench.records.values import BUILT_IN_SAMPLERS
from agd_bench.tuning import PRUNER_STARTUP, SAMPLERS, Observation, bracket_of, choose, describe_sampler, distributions, propose, stop_below

RANGES: dict[str, dict[str, Any]] = {
    "learning_rate": {"low": 1e-4, "high": 1.0, "log": True},
    "depth": {"low": 1, "high": 9},
    "schedule": {"choices": ["constant", "cosine"]},
}
TRIAL = Trial(
    search_space="s",
    search_space_label="s",
    architecture="x",
    dataset="d",
    algorithm="a",
    algorithm_label="a",
    epochs=1,
    batch_size=8,
    seed=0,
)
STUDY = Study(key="k", algorithm="a", algorithm_label="a", rounds=((TRIAL,),), final=(TRIAL,))


def objective(values: Scalars) -> float | None:
    """Return a synthetic accuracy, or None for high learning rates, which diverge."""
    rate = float(values["learning_rate"])
    return None if rate > 0.3 else 1.0 - abs(rate - 0.1)


def run_study(told: list[Observation], until: int, study: Study = STUDY) -> list[Observation]:
    """Propose and observe until there are `until` observations."""
    while len(told) < until:
        values = propose(study, RANGES, told)
        told = [*told, Observation(len(told), values, objective(values))]
    return told


@pytest.mark.parametrize("sampler", ["tpe", "random", "gp", "qmc", "cma-es", "optuna.samplers:NSGAIISampler"])
def test_proposals_are_the_same_after_every_crash(sampler: str) -> None:
    """A study rebuilt from its rows at any point makes the same proposals as an undisturbed one, all within their ranges."""
    if sampler == "cma-es":
        pytest.importorskip("cmaes")
    study, count = STUDY.model_copy(update={"sampler": sampler}), 7 if sampler == "gp" else 12
    undisturbed = run_study([], count, study)
    for crash in (1, 5, count - 1):
        assert run_study(undisturbed[:crash], count, study) == undisturbed
    assert len({str(row.values) for row in undisturbed}) == count
    for _, values, _ in undisturbed:
        assert 1e-4 <= float(values["learning_rate"]) <= 1.0
        assert values["depth"] in range(1, 10)
        assert values["schedule"] in ("constant", "cosine")


@pytest.mark.parametrize("sampler", ["gp", "cma-es"])
def test_samplers_that_read_results_follow_them(sampler: str) -> None:
    """On a smooth objective the last proposals are better than the first ones, on average over studies."""
    if sampler == "cma-es":
        pytest.importorskip("cmaes")
    ranges = {name: {"low": -5.0, "high": 5.0} for name in ("x", "y")}
    gains = []
    for key in range(3):
        study = STUDY.model_copy(update={"sampler": sampler, "key": str(key)})
        told: list[Observation] = []
        for number in range(16 if sampler == "gp" else 40):
            values = propose(study, ranges, told)
            told = [*told, Observation(number, values, -sum((float(value) - 1) ** 2 for value in values.values()))]
        scores = [float(row.value or 0) for row in told]
        gains.append(sum(scores[-4:]) / 4 - sum(scores[:4]) / 4)
    assert sum(gains) > 0


def test_quasi_random_proposals_ignore_results() -> None:
    """Rounds that are ready together get the proposals that they would get one after the other."""
    study = STUDY.model_copy(update={"sampler": "qmc"})
    told = run_study([], 6, study)
    unknown = [Observation(number, {}, None) for number in range(6)]
    assert [propose(study, RANGES, unknown[:number]) for number in range(6)] == [row.values for row in told]


@pytest.mark.parametrize("name", ["nowhere.at.all:Sampler", "optuna.samplers:Nothing", "optuna.samplers:BruteForce", "datetime:timezone"])
def test_a_sampler_that_cannot_be_made_is_a_clear_error(name: str) -> None:
    """The message names the sampler and what to give."""
    with pytest.raises(SweepError, match=rf"sampler = '{name}'"):
        describe_sampler(name)


def test_a_replay_that_differs_is_refused() -> None:
    """Values that a sampler did not propose mean that it changed, which must not pass unnoticed."""
    study = STUDY.model_copy(update={"sampler": "optuna.samplers:RandomSampler"})
    told = run_study([], 2, study)
    with pytest.raises(SweepError, match="when replayed"):
        propose(study, RANGES, [told[0]._replace(values={**told[0].values, "depth": 10})])


def test_sweeps_name_samplers_that_exist_or_classes() -> None:
    """A misspelt sampler is answered with the nearest one; the built-in ones all have settings for the provenance."""
    assert set(SAMPLERS) == set(BUILT_IN_SAMPLERS)
    assert AlgorithmChoice(name="sgd_tuned", sampler="package.module:Class").sampler == "package.module:Class"
    with pytest.raises(ValueError, match="did you mean 'tpe'"):
        AlgorithmChoice(name="sgd_tuned", sampler="tpee")


def test_proposals_stay_within_their_ranges() -> None:
    """Proposed floats, integers and choices lie in their ranges and have the right types."""
    for _, values, _ in run_study([], 12):
        assert 1e-4 <= float(values["learning_rate"]) <= 1.0
        assert isinstance(values["depth"], int)
        assert 1 <= values["depth"] <= 9
        assert values["schedule"] in ("constant", "cosine")


def test_another_study_proposes_something_else() -> None:
    """The study's key seeds the sampler."""
    other = STUDY.model_copy(update={"key": "other"})
    assert propose(STUDY, RANGES, []) != propose(other, RANGES, [])


def test_the_sampler_learns_from_what_diverged() -> None:
    """After observing that high rates diverge, TPE proposes fewer of them than chance would."""
    told = [
        Observation(n, {"learning_rate": rate, "depth": 1, "schedule": "cosine"}, None if rate > 0.3 else 0.9)
        for n, rate in enumerate([0.5, 0.01, 0.7, 0.02, 0.9, 0.015, 0.6, 0.012])
    ]
    keys = [STUDY.model_copy(update={"key": str(n)}) for n in range(40)]
    high = sum(float(propose(study, RANGES, told)["learning_rate"]) > 0.3 for study in keys)
    chance = 40 * 0.13  # share of (0.3, 1) in the log range
    assert high < chance


def test_random_proposals_are_uniform_and_independent_of_what_was_told() -> None:
    """Random proposals are uniform, on a log scale where requested, and ignore earlier results."""
    searches = [STUDY.model_copy(update={"key": str(n), "sampler": "random"}) for n in range(400)]
    told = [Observation(0, {"learning_rate": 0.1, "depth": 1, "schedule": "cosine"}, 0.9)]
    first = [propose(study, RANGES, told) for study in searches]
    blind = [Observation(0, {"learning_rate": 1e-4, "depth": 9, "schedule": "constant"}, None)]
    assert first == [propose(study, RANGES, blind) for study in searches]
    places = [1 + math.log10(float(values["learning_rate"])) / 4 for values in first]
    assert scipy.stats.kstest(places, "uniform").pvalue > 0.01
    assert scipy.stats.chisquare([sum(values["depth"] == depth for values in first) for depth in range(1, 10)]).pvalue > 0.01
    second = [float(propose(study, RANGES, [*told, told[0]._replace(number=1)])["learning_rate"]) for study in searches]
    assert abs(scipy.stats.spearmanr(places, second).statistic) < 0.15


def test_the_best_finished_proposal_is_chosen_the_earliest_of_equals() -> None:
    """Unfinished proposals are never chosen, and the choice is None if none has finished."""
    rows = [Observation(0, {"a": 0}, None), Observation(1, {"a": 1}, 0.5), Observation(2, {"a": 2}, 0.7), Observation(3, {"a": 3}, 0.7)]
    assert choose(rows) == {"a": 2}
    assert choose(rows[:1]) is None
    assert choose([]) is None


def point(epoch: int, accuracy: float) -> CurvePoint:
    """Return a point of a curve with the given validation accuracy."""
    return CurvePoint(epoch=epoch, train_loss=1.0, train_accuracy=0.5, val_loss=1.0, val_accuracy=accuracy, train_seconds=1.0)


def test_the_median_rule_waits_and_then_gives_the_median() -> None:
    """There is no threshold until enough trials have reached an epoch; then it is their median."""
    pruning = STUDY.model_copy(update={"pruner": "median"})
    curves = [(number, [point(1, value), point(2, value + 0.1)]) for number, value in enumerate((0.2, 0.4, 0.6))]
    assert PRUNER_STARTUP == 3
    assert stop_below(pruning, 2, curves[:2]) == {}
    assert stop_below(pruning, 3, [*curves[:2], (2, curves[2][1][:1])]) == {1: 0.4}
    assert stop_below(pruning, 3, curves) == {1: 0.4, 2: 0.5}
    assert stop_below(STUDY, 3, curves) == {}


def test_halving_keeps_the_best_third_at_each_comparison() -> None:
    """Of 9 epochs, trials are compared after 1 and 3, by their best accuracy so far, with all that got there."""
    nine = TRIAL.model_copy(update={"epochs": 9})
    halving = STUDY.model_copy(update={"pruner": "successive-halving", "rounds": ((nine,),) * 20})
    curves = [(0, [point(1, 0.5), point(2, 0.7), point(3, 0.6)])]
    assert stop_below(halving, 0, []) == {}
    assert stop_below(halving, 1, curves) == {1: 0.5, 3: 0.7}
    curves += [(number, [point(1, value)]) for number, value in enumerate((0.1, 0.6, 0.2, 0.3), 1)]
    # six trials with the next one: the best two go on, so it must match the second best of the five; one of them got further
    assert stop_below(halving, 5, curves) == {1: 0.5, 3: 0.7}


def test_hyperband_compares_within_brackets() -> None:
    """Of 9 epochs, proposals 9 to 13 are first compared after 3, and 14 to 16 never; each with those of its bracket."""
    nine = TRIAL.model_copy(update={"epochs": 9})
    banded = STUDY.model_copy(update={"pruner": "hyperband", "rounds": ((nine,),) * 20})
    curves = [(number, [point(1, 0.1), point(2, 0.2), point(3, number / 100)]) for number in range(17)]
    assert [bracket_of(number, 9) for number in (8, 9, 14, 17)] == [0, 1, 2, 0]
    assert stop_below(banded, 11, curves[:11]) == {3: 0.2}
    assert stop_below(banded, 16, curves[:16]) == {}
    assert stop_below(banded, 17, curves) == {1: 0.1, 3: 0.2}


@pytest.mark.parametrize(
    "bad",
    [
        {"low": 1.0},
        {"low": 2.0, "high": 1.0},
        {"low": 0.0, "high": 1.0, "log": True},
        {"choices": []},
        {"low": 0.1, "high": 1.0, "Log": True},
    ],
)
def test_a_malformed_range_is_a_clear_error(bad: dict[str, object]) -> None:
    """The message shows the range."""
    with pytest.raises(PluginError, match=r"RANGES\['x'\] = "):
        distributions({"x": bad})
