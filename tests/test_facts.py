"""Plug-in facts are validated strictly: a misspelt name or a wrong type is an error that suggests a correction."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from agd_bench import plugins
from agd_bench.errors import PluginError
from agd_bench.facts import FACTS, fault_in, fault_of_ranges, near_misses
from tests.plugin_folders import PLAIN_ALGORITHM


@pytest.mark.parametrize(
    ("item", "said"),
    [
        ({"low": 1e-3, "high": 1.0, "Log": True}, "did you mean 'log'"),
        ({"low": 1e-3, "high": 1.0, "scale": "log"}, "unknown key 'scale'"),
        ({"low": 1, "high": 9, "step": 2}, "unknown key 'step'"),
        ({"low": 1e-3, "high": 1.0, "log": "false"}, "log is 'false'"),
        ({"low": 1e-3, "high": 1.0, "log": 1}, "log is 1"),
        ({"low": "1e-3", "high": 1.0}, "finite numbers"),
        ({"low": False, "high": True}, "finite numbers"),
        ({"low": 0.0, "high": float("inf")}, "finite numbers"),
        ({"low": 1.0, "high": 1.0}, "low < high"),
        ({"high": 1.0}, "missing low"),
        ({"low": -1.0, "high": 1.0, "log": True}, "low > 0"),
        ({"choices": [1, 2], "log": False}, "unknown key 'log'"),
        ({"choices": [0.1, 0.1]}, "distinct"),
        ({"choices": "abc"}, "choices must be a list"),
        ({"choices": [[1], [2]]}, "choices must be a list"),
        ([0.1, 1.0], "give"),
    ],
)
def test_a_range_is_read_strictly(item: Any, said: str) -> None:
    """An invalid range is an error, since it would otherwise become a distribution that its author did not intend."""
    assert said in fault_of_ranges({"rate": item})


@pytest.mark.parametrize(
    "item",
    [{"low": 1, "high": 9}, {"low": 0.0, "high": 1, "log": False}, {"low": 1e-3, "high": 1.0, "log": True}, {"choices": [1, True, "a"]}],
)
def test_sound_ranges_have_no_fault(item: dict[str, Any]) -> None:
    """Integer and float ranges, and choices of mixed types, are valid."""
    assert not fault_of_ranges({"rate": item})


WRONG = {
    "search_spaces": {
        "OPTIONS": {"width": [1]},
        "SIZE": 12.0,
        "NETWORKS": True,
        "VARIES": ["depth"],
        "RULES": "one",
        "SHALLOW": 3,
        "CELL_OFFSET": "1",
        "EQUAL_TRAINING": {"profile": "matrix-only"},
    },
    "algorithms": {"TIER": "self tuning", "LOSSES": "square", "GUARANTEE": "no", "PACKAGES": "prodigyopt", "EXTRA": 1, "LICENCE": " "},
    "datasets": {"IN_CHANNELS": "3", "NUM_CLASSES": 10.0, "IMAGE_SIZE": 0, "MEAN": 0.5, "FLIP": "yes", "CROP_PADDING": True, "CUTOUT": -1},
}


@pytest.mark.parametrize(("kind", "name"), [(kind, name) for kind, facts in WRONG.items() for name in facts])
def test_a_fact_of_another_type_is_an_error(kind: str, name: str) -> None:
    """The message gives the fact's name, its value and the allowed type."""
    module = ModuleType("given")
    assert not fault_in(kind, module)
    setattr(module, name, WRONG[kind][name])
    fault = fault_in(kind, module)
    assert fault.startswith(f"{name} is {WRONG[kind][name]!r}")
    assert FACTS[kind][name].allowed in fault


@pytest.mark.parametrize("kind", ["search_spaces", "algorithms", "datasets"])
def test_every_built_in_plugin_states_sound_facts(kind: plugins.Kind) -> None:
    """Built-in plug-ins load without an error, and none of their constants is a near miss of a fact's name."""
    for name, source in plugins.find(kind).items():
        if not plugins.missing_packages(source):
            module = plugins.load_source(source)
            assert not near_misses(kind, module), name


def test_a_plugin_with_a_wrong_fact_does_not_load(tmp_path: Path) -> None:
    """The message names the file and the fact."""
    values = {
        "summary": "one",
        "ranges": '{"learning_rate": {"low": 1e-3, "high": 1.0, "Log": True}}',
        "rate": "0.1",
        "before_loss": "pass",
    }
    text = PLAIN_ALGORITHM
    for key, value in values.items():
        text = text.replace("{" + key + "}", value)
    (tmp_path / "mine.py").write_text(text, encoding="utf-8")
    with pytest.raises(PluginError, match=r"mine\.py.*RANGES\['learning_rate'\].*did you mean 'log'"):
        plugins.load("algorithms", "mine", (tmp_path,))


def test_a_capital_that_is_nearly_a_fact_is_found() -> None:
    """Constants with a name close to a fact's are reported, since a misspelt fact would be ignored."""
    module = ModuleType("given")
    vars(module).update({"CALIBRATIONS": {}, "LOSES": ("square",), "WIDTHS": (1, 2)})
    assert near_misses("algorithms", module) == {"CALIBRATIONS": "CALIBRATION", "LOSES": "LOSSES"}


@pytest.mark.parametrize(
    ("facts", "said"),
    [
        ({"SHALLOW_OPTIONS": {"kernel_sise": 3}}, "SHALLOW_OPTIONS sets the unknown option 'kernel_sise', did you mean 'kernel_size'?"),
        ({"SHALLOW_OPTIONS": {"kernel_size": "3"}}, "SHALLOW_OPTIONS sets 'kernel_size' to '3'"),
        ({"SHALLOW_OPTIONS": {"kernel_size": True}}, "SHALLOW_OPTIONS sets 'kernel_size' to True"),
        ({"SMALL": {"widht": 3}}, "did you mean 'width'?"),
        ({"EQUAL_TRAINING": {"profile": "matrix-only", "options": {"depth": 3}}}, "EQUAL_TRAINING sets the unknown option 'depth'"),
        ({"SHALLOW_OPTIONS": {"kernel_size": 3}, "SMALL": {"width": 4}}, ""),
    ],
)
def test_settings_of_options_are_options(facts: dict[str, Any], said: str) -> None:
    """Option settings must match known options in name and type: a misspelt one would fail every trial that uses it."""
    module = ModuleType("given")
    vars(module).update({"OPTIONS": {"width": 64, "kernel_size": 3}, **facts})
    fault = fault_in("search_spaces", module)
    assert said in fault
    assert bool(fault) is bool(said)
