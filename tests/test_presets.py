"""Presets: an algorithm with fixed hyperparameters, under its own name."""

from __future__ import annotations

import inspect
import json
from pathlib import Path

import pytest

from agd_bench import plugins
from agd_bench.errors import PluginError, UnknownNameError

PRESET = """
SOURCE = "somebody"

[warm_dog]
algorithm = "dog_here"
summary = "DoG, warm."
TIER = "self-tuning"
hyperparameters = { gamma = 4.0 }
"""
ALGORITHM = '''
"""An algorithm."""
from agd_bench.optim.losses import cross_entropy as loss
from agd_bench.optim.starting import as_built as prepare
RANGES = {"gamma": {"low": 1.0, "high": 9.0}}
TIER = "externally tuned"
LICENCE = "MIT"
def build(network, steps, *, graph=None, gamma=8.0, decay=0.5):
    return [gamma, decay, graph]
'''


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a folder with an algorithm and a preset of it."""
    (tmp_path / "dog_here.py").write_text(ALGORITHM, encoding="utf-8")
    (tmp_path / "presets.toml").write_text(PRESET, encoding="utf-8")
    return tmp_path


def test_a_preset_is_found_described_and_loaded_like_a_plugin(folder: Path) -> None:
    """A preset has its plug-in's functions and facts unless it overrides them, and nothing to tune."""
    source = plugins.locate("algorithms", "warm_dog", [folder])
    facts = plugins.describe(source)
    assert facts == {"summary": "DoG, warm.", "RANGES": {}, "TIER": "self-tuning", "LICENCE": "MIT", "SOURCE": "somebody"}
    module = plugins.load("algorithms", "warm_dog", [folder])
    assert (module.TIER, module.LICENCE, module.RANGES, module.__doc__) == ("self-tuning", "MIT", {}, "DoG, warm.")
    assert module.loss is plugins.load("algorithms", "dog_here", [folder]).loss
    assert module.build(None, 1, decay=0.25, graph="g") == [4.0, 0.25, "g"]
    assert list(inspect.signature(module.build).parameters) == ["network", "steps", "graph", "decay"]


def test_values_and_code_of_a_preset_are_its_identity(folder: Path) -> None:
    """Changing a value or the plug-in's code changes the digest; changing the summary does not."""
    digests = [plugins.locate("algorithms", "warm_dog", [folder]).digest]
    for old, new in (("warm.", "hot."), ("4.0", "4.5")):
        path = folder / "presets.toml"
        path.write_text(path.read_text(encoding="utf-8").replace(old, new), encoding="utf-8")
        digests.append(plugins.locate("algorithms", "warm_dog", [folder]).digest)
    (folder / "dog_here.py").write_text(ALGORITHM.replace("decay, graph", "decay"), encoding="utf-8")
    digests.append(plugins.locate("algorithms", "warm_dog", [folder]).digest)
    assert digests[0] == digests[1]
    assert len(set(digests)) == 3


@pytest.mark.parametrize(
    ("old", "new", "named"),
    [
        ("gamma = 4.0", "gama = 4.0", "gama"),
        ("hyperparameters = { gamma = 4.0 }", "", "hyperparameters"),
        ("hyperparameters = { gamma = 4.0 }", "hyperparameters = {}", "one or more"),
        ("gamma = 4.0", "gamma = [4.0]", "numbers"),
        ('TIER = "self-tuning"', "RANGES = {}", "RANGES"),
        ("[warm_dog]", "[warm_dog", "presets.toml"),
    ],
)
def test_a_malformed_preset_is_an_error_that_names_it(folder: Path, old: str, new: str, named: str) -> None:
    """A malformed preset is never silently corrected or skipped."""
    (folder / "presets.toml").write_text(PRESET.replace(old, new), encoding="utf-8")
    with pytest.raises(PluginError, match=named):
        plugins.load("algorithms", "warm_dog", [folder])


def test_a_preset_of_an_unknown_algorithm_says_which(folder: Path) -> None:
    """The error suggests the nearest known name."""
    (folder / "presets.toml").write_text(PRESET.replace("dog_here", "dog_hero"), encoding="utf-8")
    with pytest.raises(UnknownNameError, match="dog_here"):
        plugins.find("algorithms", [folder])


def test_the_built_in_presets_are_algorithms_of_the_package() -> None:
    """Built-in presets have agd-bench as their origin, as `agd-bench list algorithms` shows them."""
    source = plugins.locate("algorithms", "nadamw_calibrated")
    assert source.origin == "agd-bench"
    assert source.preset is not None
    assert json.loads(source.preset[0].hyperparameters).keys() == {"learning_rate", "one_minus_beta1", "weight_decay"}
