"""The calibrated presets: settings chosen by the published calibration, on workloads that no leaderboard uses."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
import pytest
import torch
from torch import nn

from agd_bench import algorithms, plugins
from agd_bench.optim.losses import cross_entropy
from agd_bench.presets import read_presets

LEADERBOARDS = Path(__file__).parents[1] / "leaderboards"
PRESETS = read_presets(Path(algorithms.__file__).parent)


def test_settings_are_those_of_the_published_calibration() -> None:
    """Each preset has the hyperparameters that the final trials of its algorithm used on every workload."""
    trials = pd.read_csv(LEADERBOARDS / "calibration" / "trials.csv")
    final = trials[trials["purpose"] == "final"]
    chosen = final.groupby("algorithm")["hyperparameters"].unique()
    assert {f"{label}_calibrated": [json.loads(text) for text in texts] for label, texts in chosen.items()} == {
        name: [json.loads(preset.hyperparameters)] for name, preset in PRESETS.items()
    }
    searched = final.groupby("algorithm")["algorithm_name"].first()
    assert {f"{label}_calibrated": name for label, name in searched.items()} == {name: one.algorithm for name, one in PRESETS.items()}


def test_no_leaderboard_uses_what_they_were_calibrated_on() -> None:
    """No other published sweep contains a pair of search space and data set from the calibration."""
    used: dict[str, set[tuple[str, str]]] = {}
    for path in LEADERBOARDS.glob("*/sweep.json"):
        sweep = json.loads(path.read_text(encoding="utf-8"))
        used[path.parent.name] = {(space["name"], data["name"]) for space in sweep["search_spaces"] for data in sweep["datasets"]}
    calibration = used.pop("calibration")
    assert len(calibration) == 3
    assert {name: sorted(pairs & calibration) for name, pairs in used.items() if pairs & calibration} == {}


@pytest.mark.parametrize("name", PRESETS)
def test_trains_as_the_searched_algorithm_with_the_setting(name: str) -> None:
    """A preset sets every searched hyperparameter and trains the same weights as the searched algorithm with those values."""
    frozen, searched = plugins.load("algorithms", name), plugins.load("algorithms", PRESETS[name].algorithm)
    values = json.loads(PRESETS[name].hyperparameters)
    assert frozen.RANGES == plugins.ranges_of(frozen) == {}
    assert (frozen.loss, frozen.prepare) == (searched.loss, searched.prepare)
    assert set(values) == set(plugins.ranges_of(searched))
    images, labels = torch.randn(12, 6, generator=torch.Generator().manual_seed(0)), torch.arange(12) % 3
    weights = []
    for module, given in ((frozen, {}), (searched, values)):
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            network = nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 3))
        built = module.build(network, 5, **given)
        optimizer, scheduler = built if isinstance(built, tuple) else (built, None)
        for _ in range(5):
            optimizer.zero_grad()
            torch.autograd.backward(cross_entropy(network(images), labels))
            optimizer.step()
            if scheduler is not None:
                scheduler.step()
        weights.append([parameter.detach() for parameter in network.parameters()])
    assert all(torch.equal(one, other) for one, other in zip(*weights, strict=True))
