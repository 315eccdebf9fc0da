"""Study rules, which make tuning trials differ from final ones, and grids: planning, proposals, choices and errors."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from agd_bench.errors import PluginError, SweepError
from agd_bench.planning.planner import plan
from agd_bench.records import Study, Sweep
from agd_bench.tuning import Observation, choose, propose

ALGORITHM = '''
"""An algorithm of these tests."""
import torch

RANGES = {"rate": {"choices": [3.0, 2.0, 1.0]}, "power": {"choices": ["a", "b"]}}
STUDY = %s


def prepare(network, generator):
    return network


def build(network, steps, rate, power):
    return torch.optim.SGD(network.parameters(), lr=rate)


def loss(logits, labels):
    return torch.nn.functional.cross_entropy(logits, labels)
'''


def planned(folder: Path, rule: str = "{}", **choice: Any) -> tuple[Study, ...]:
    """Return the studies of a sweep over two architectures with an algorithm that has this rule."""
    (folder / "gridded.py").write_text(ALGORITHM % rule, encoding="utf-8")
    asked = Sweep.model_validate(
        {
            "name": "small",
            "epochs": 5,
            "seeds": 1,
            "search_spaces": [{"name": "mlp_dag", "architectures": ["2_02", "2_22"]}],
            "datasets": [{"name": "digits"}],
            "algorithms": [{"name": "gridded", "sampler": "grid", "tuning_trials": 6, **choice}],
        }
    )
    return plan(asked, {"algorithms": (folder,)}).studies


RANGES: dict[str, dict[str, Any]] = {"rate": {"choices": [3.0, 2.0, 1.0]}, "power": {"choices": ["a", "b"]}}


def test_a_grid_is_gone_through_whole(tmp_path: Path) -> None:
    """Every combination is proposed once, whatever the results of the others; of equal results, the first is chosen."""
    study = planned(tmp_path)[0]
    told: list[Observation] = []
    for number in range(6):
        told.append(Observation(number, propose(study, RANGES, told), None if number % 2 else float(number)))
    assert [(row.values["rate"], row.values["power"]) for row in told] == [(3, "a"), (3, "b"), (2, "a"), (2, "b"), (1, "a"), (1, "b")]
    equal = [row._replace(value=0.5) for row in told]
    assert choose(equal) == {"rate": 3.0, "power": "a"}, "of equals the first"


@pytest.mark.parametrize(
    ("choice", "said"),
    [
        ({"tuning_trials": 5}, "its grid has 6 points; set tuning_trials = 6"),
        ({"name": "sgd_tuned"}, "a grid needs choices, but learning_rate, one_minus_momentum, weight_decay has"),
    ],
)
def test_grids_that_are_none(tmp_path: Path, choice: dict[str, Any], said: str) -> None:
    """An invalid grid is an error before anything is trained."""
    with pytest.raises(SweepError) as raised:
        planned(tmp_path, **choice)
    assert said in str(raised.value)


def test_a_rule_shapes_tuning_trials_alone(tmp_path: Path) -> None:
    """A rule sets epochs, seeds and hyperparameters of tuning trials; final trials keep those of the sweep."""
    rule = '{"epochs": 2, "seeds": 2, "metric": "train_loss", "hyperparameters": {"power": "a"}}'
    study, other = planned(tmp_path, rule)
    assert study.metric == "train_loss"
    assert [(trial.epochs, trial.hyperparameters) for trial in study.rounds[0]] == [(2, {"power": "a"})] * 2
    assert [trial.seed for trial in study.rounds[0]] == [trial.seed for trial in study.rounds[3]]
    assert {trial.epochs for trial in (*study.final, *other.final)} == {5}
    assert study.key != other.key


def test_a_rule_makes_a_study_of_its_own(tmp_path: Path) -> None:
    """The rule is part of the study's key, so results of two rules never mix."""
    folders = [tmp_path / name for name in ("one", "other")]
    for folder in folders:
        folder.mkdir()
    plain = planned(folders[0])
    ruled = planned(folders[1], '{"epochs": 2}')
    assert {study.key for study in plain}.isdisjoint(study.key for study in ruled)
    assert plain[0].metric == "val_accuracy"


@pytest.mark.parametrize("rule", ['{"epoch": 1}', '{"epochs": 0}', '{"metric": "test_accuracy"}', "[]"])
def test_malformed_rules_are_a_plug_ins_fault(tmp_path: Path, rule: str) -> None:
    """The error names the rule and lists the allowed keys."""
    with pytest.raises(PluginError, match=r"STUDY: .*must be a dict .* network, epochs, seeds, metric, hyperparameters"):
        planned(tmp_path, rule)


def test_a_misspelt_key_gets_the_nearest_name(tmp_path: Path) -> None:
    """A misspelt key of a rule gets a suggestion, as everywhere else."""
    with pytest.raises(PluginError, match=r"STUDY: epoch: no such key, did you mean 'epochs'\?"):
        planned(tmp_path, '{"epoch": 1}')
