"""Architecture-aware SGD in the harness: its rates, its single search on the shallow network, and its charged cost."""

from __future__ import annotations

import dataclasses
import json
from typing import Any, cast

import pytest
import torch
from torch import nn

from agd_bench.algorithms import architecture_aware_sgd as derived
from agd_bench.algorithms import architecture_aware_sgd_released as released
from agd_bench.analysis import charged_cost
from agd_bench.api import run
from agd_bench.errors import InputError
from agd_bench.evidence import gather_evidence
from agd_bench.optim.losses import cross_entropy
from agd_bench.optim.path_scaling import graph_of
from agd_bench.planning.planner import plan
from agd_bench.records import TUNING_SEED, Sweep
from agd_bench.store import Results
from agd_bench.studies.rate_prediction.rates import predicted_rates
from agd_bench.sweeps import open_sweep
from search_spaces import mlp_dag
from tests.analysis import tables

GRID = cast("list[float]", derived.RANGES["base_rate"]["choices"])
GRAPHS = {"name": "mlp_dag", "architectures": ["2_02_002", "2_22", "1_11_111", "2_00", "2_20_000"], "options": {"width": 8, "size": 4}}
CHAINS = {"name": "plain_chain", "architectures": 1}


def sweep(**changes: Any) -> Sweep:
    """Return a sweep over two spaces, one without graphs, that tunes on the shallow network of the other."""
    entry = {"name": "architecture_aware_sgd", "label": "predicted", "sampler": "grid", "tuning_trials": len(GRID)}
    asked = {
        "name": "small",
        "epochs": 2,
        "batch_size": 32,
        "seeds": 2,
        "search_spaces": [GRAPHS, CHAINS],
        "datasets": [{"name": "digits", "share": 0.05}],
        "algorithms": [{**entry, "tuning_scope": "search-space"}],
    }
    return Sweep.model_validate({**asked, **changes})


def build(module: Any, code: str, **settings: Any) -> tuple[nn.Module, torch.optim.SGD, Any]:
    """Return a prepared network with its optimizer and schedule."""
    graph = graph_of(mlp_dag, code, {})
    network = module.prepare(mlp_dag.build(code, 1, 10, width=8, size=4), torch.Generator().manual_seed(0), graph=graph)
    built = module.build(network, 10, graph=graph, base_rate=0.5, **settings)
    return network, *(built if isinstance(built, tuple) else (built, None))


def test_rates_are_base_rates_times_multipliers() -> None:
    """Rates use all paths of the network in the derived form and one cell's in the released form; the rest is the benchmark's recipe."""
    for module, multiplier in ((derived, 0.649519), (released, 0.464758)):
        _, optimizer, schedule = build(module, "2_02")
        (group,) = optimizer.param_groups
        assert (group["lr"], group["momentum"], group["nesterov"], group["weight_decay"]) == (
            pytest.approx(0.5 * multiplier, abs=5e-7),
            0.9,
            True,
            5e-4,
        )
        for _ in range(10):
            optimizer.step()
            schedule.step()
        assert group["lr"] == pytest.approx(0, abs=1e-12)
        assert len(group["params"]) == 8
        assert module.loss is cross_entropy


def test_plain_descent_at_a_constant_rate() -> None:
    """The theory's setting is available: no momentum, decay or schedule, and with mode `none` the base rate itself."""
    _, optimizer, schedule = build(derived, "2_02", mode="none", momentum=0.0, weight_decay=0.0, schedule="constant")
    (group,) = optimizer.param_groups
    assert (group["lr"], group["momentum"], group["nesterov"], group["weight_decay"], schedule) == (0.5, 0, False, 0, None)
    with pytest.raises(InputError, match="give 'cosine' or 'constant'"):
        build(derived, "2", schedule="linear")


def test_the_two_forms_start_differently() -> None:
    """The derived form scales the layers into a sum by its in-degree; the released form scales those out of it."""
    (one, *_), (other, *_) = build(derived, "2_22_002"), build(released, "2_22_002")
    ratios = {
        name: float((value / other.state_dict()[name]).median()) for name, value in one.state_dict().items() if name.endswith("weight")
    }
    assert ratios == {
        "2.0.weight": 1,
        "3.layers.0_1.0.weight": 1,
        "3.layers.0_2.0.weight": pytest.approx(0.5**0.5),
        "3.layers.1_2.0.weight": pytest.approx(0.5**0.5),
        "3.layers.2_3.0.weight": pytest.approx(2**0.5),
        "4.weight": pytest.approx(0.5**0.5),
    }


def test_the_search_is_one_epoch_on_the_shallow_network() -> None:
    """Each space has one study, with the same three seeds at every grid point; spaces and architectures without paths have none."""
    made = plan(sweep())
    (study,) = made.studies
    assert (study.metric, study.sampler, len(study.rounds)) == ("train_loss", "grid", len(GRID))
    for number, trials in enumerate(study.rounds):
        assert [(trial.architecture, trial.epochs, trial.number) for trial in trials] == [("2", 1, number)] * 3
        assert [trial.seed for trial in trials] == [TUNING_SEED, TUNING_SEED + 1, TUNING_SEED + 2]
        assert all(trial.hyperparameters == {"schedule": "constant"} for trial in trials)
    assert {(trial.architecture, trial.epochs) for trial in study.final} == {("2_02_002", 2), ("2_22", 2), ("1_11_111", 2)}
    assert all(trial.hyperparameters == {} for trial in study.final)
    assert sorted({trial.architecture for trial in made.trials if trial.search_space == "mlp_dag"}) == ["2_00", "2_20_000"]
    assert any(trial.search_space == "plain_chain" for trial in made.trials)


def test_kernels_of_the_shallow_network_stay() -> None:
    """A space can fix options of its shallow network, so that rates transfer between kernel sizes."""
    spaces = [{"name": "cnn_dag", "architectures": ["2_02"], "options": {"width": 4, "kernel_size": 5}}]
    (study,) = plan(sweep(search_spaces=spaces)).studies
    assert study.rounds[0][0].search_space_options == {"width": 4, "kernel_size": 3}
    assert study.final[0].search_space_options == {"width": 4, "kernel_size": 5}


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Results:
    """Return the results of a small run with both algorithms of the built-in sweep."""
    tuned = open_sweep("architecture_aware_prediction").algorithms
    spaces = [{**GRAPHS, "architectures": ["2_02_002", "2", "2_00"]}, CHAINS]
    asked = sweep(algorithms=tuned, search_spaces=spaces, seeds=1, batch_size=8)
    return run(asked, tmp_path_factory.mktemp("run"), executor="in-process", device="cpu")


def test_the_smallest_training_loss_wins(results: Results) -> None:
    """Final trials use the base rate with the smallest mean training loss over its three one-epoch runs."""
    own = results.trials[(results.trials["algorithm"] == "predicted") & (results.trials["search_space"] == "mlp_dag")]
    tuning = own[own["purpose"] == "tuning"]
    assert (set(tuning["architecture"]), len(tuning)) == ({"2"}, 3 * len(GRID))
    rates = tuning["hyperparameters"].map(lambda text: json.loads(text)["base_rate"])
    finished = tuning.assign(rate=rates).groupby("rate").filter(lambda part: (part["status"] == "done").all())
    best = finished.groupby("rate")["train_loss"].mean().idxmin()
    chosen = own.loc[(own["purpose"] == "final") & (own["status"] == "done"), "hyperparameters"]
    assert {json.loads(text)["base_rate"] for text in chosen} == {best}
    assert set(rates) == set(GRID)


def test_the_search_is_charged(results: Results) -> None:
    """The cost of the search is split equally among the architectures that use it."""
    cost = charged_cost(results.trials, by_architecture=True)
    own = cost[(cost["algorithm"] == "predicted") & (cost["search_space"] == "mlp_dag")].set_index("architecture")
    tuning = results.trials[(results.trials["algorithm"] == "predicted") & (results.trials["purpose"] == "tuning")]
    assert own["tuning_seconds"].sum() == pytest.approx(tuning["charged_seconds"].sum())
    assert own.loc[["2_02_002", "2"], "tuning_seconds"].nunique() == 1
    assert own.loc["2_00", "tuning_seconds"] == 0


def test_what_has_no_paths_is_a_row_with_a_reason(results: Results) -> None:
    """A space without graphs and an architecture with no path to its output are recorded as refused, with a reason."""
    refused = results.trials[results.trials["status"] == "refused"]
    assert set(refused["search_space"]) == {"mlp_dag", "plain_chain"}
    reasons = dict(zip(refused["architecture"], refused["reason"], strict=True))
    assert reasons.pop("2_00") == "no path from input to output"
    (reason,) = set(reasons.values())
    assert reason == "this algorithm needs the paths of an architecture, and search space plain_chain does not define SHALLOW"


def test_rates_of_the_run(results: Results) -> None:
    """Predicted rates are the shallow network's base rate times the multiplier; searched rates come from each architecture's own grid."""
    told = gather_evidence(results)
    rates = predicted_rates(told.trials, told.rate_factors, told.sweep).set_index("architecture")
    own = results.trials[(results.trials["purpose"] == "final") & (results.trials["status"] != "refused")]
    pairs = zip(own["algorithm"], own["architecture"], strict=True)
    base = {pair: json.loads(text)["base_rate"] for pair, text in zip(pairs, own["hyperparameters"], strict=True)}
    assert set(rates.index) == {"2_02_002", "2"}
    for architecture, multiplier in {"2": 1.0, "2_02_002": 0.464758}.items():
        assert rates.loc[architecture, "predicted_rate"] == pytest.approx(base["predicted", architecture] * multiplier, rel=1e-5)
        assert rates.loc[architecture, "searched_rate"] == base["grid_searched", architecture]
        assert 0.2 < tables.number(rates, architecture, "signal") < 5, "no identities: the initial weights keep its size"
        assert rates.loc[architecture, "at_grid_end"] == (base["grid_searched", architecture] in (GRID[0], GRID[-1]))


def test_what_makes_no_prediction_has_no_factors(results: Results) -> None:
    """A sweep with one scope, or with an algorithm that scales no base rate, has no rate factors; existing ones are kept."""
    sweep = results.sweep
    alone = dataclasses.replace(results, sweep=sweep.model_copy(update={"algorithms": sweep.algorithms[:1]}))
    assert gather_evidence(alone).rate_factors.empty
    others = tuple(choice.model_copy(update={"name": "sgd_tuned"}) for choice in sweep.algorithms)
    assert gather_evidence(dataclasses.replace(results, sweep=sweep.model_copy(update={"algorithms": others}))).rate_factors.empty
    told = gather_evidence(results)
    assert gather_evidence(told).rate_factors is told.rate_factors


@pytest.mark.parametrize(
    ("name", "predicting", "searching"),
    [
        ("architecture_aware_prediction", 1, 37),
        ("architecture_aware_prediction_depth", 1, 16),
        ("architecture_aware_prediction_convolutional", 2, 22),
    ],
)
def test_the_built_in_sweeps_are_planned(name: str, predicting: int, searching: int) -> None:
    """Each built-in sweep is planned with the expected number of studies for its two entries and the full grid in each."""
    made = plan(open_sweep(name))
    by_label = {label: [study for study in made.studies if study.algorithm_label == label] for label in ("grid_searched", "predicted")}
    assert (len(by_label["predicted"]), len(by_label["grid_searched"])) == (predicting, searching)
    assert {len(study.rounds) for study in made.studies} == {len(GRID)}
