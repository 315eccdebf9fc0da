"""The conformance kit for search methods: every built-in method passes, and each fault is found and named."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from agd_bench import plugins
from agd_bench.searching import simulation
from agd_bench.testing import check_file

SOUND = '''
"""Random search.

References:
    These tests, 2026.
"""


def start(space, budget_seconds, rng):
    return space, rng


def ask(search):
    space, rng = search
    return space.sample(rng)


def tell(search, architecture, epochs, accuracy, seconds):
    pass
'''


@pytest.mark.parametrize("name", sorted(plugins.find("searchers")))
def test_built_in_methods_pass(name: str) -> None:
    """Built-in search methods pass every check."""
    faults = [f"{check.name}: {check.message}" for check in check_file(plugins.locate("searchers", name).path) if not check.passed]
    assert not faults


@pytest.mark.parametrize(
    ("sound", "faulty", "failed", "message"),
    [
        ("", "", "", ""),
        ("These tests, 2026.", "These tests.", "the docstring cites a source", "cites no source"),
        ("return space.sample(rng)", 'return "other"', "a search ends within its budget", "'other', which is not among the 256"),
        ("return space.sample(rng)", "return space.sample(rng), 3", "a search ends within its budget", "3 epochs; the table has 2, 6, 18"),
        ("return space.sample(rng)", "return None", "a search ends within its budget", r"the first ask\(\) returned None"),
        ("return space.sample(rng)", "raise KeyError(1)", "a search ends within its budget", "KeyError: 1"),
        ("return space.sample(rng)", "while True: pass", "a search ends within its budget", "hangs"),
        ("    pass", "    assert accuracy > 0", "a search continues if all trainings fail", "AssertionError"),
        ("space.sample(rng)", "space.sample(__import__('numpy').random.default_rng())", "a search is reproducible", "`rng` only"),
    ],
)  # fmt: skip
def test_faults_are_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, sound: str, faulty: str, failed: str, message: str) -> None:
    """A faulty method fails exactly one check, with a reason."""
    monkeypatch.setattr(simulation, "RUN_SECONDS", 1)
    file = tmp_path / "method.py"
    file.write_text(SOUND.replace(sound, faulty) if sound else SOUND)
    checks = {check.name: check for check in check_file(file) if not check.passed}
    assert list(checks) == ([failed] if failed else [])
    if failed:
        assert re.search(message, checks[failed].message)


def test_memory_between_searches_is_found(tmp_path: Path) -> None:
    """State that start() does not return would be shared by all searches, so it is an error."""
    file = tmp_path / "method.py"
    text = SOUND.replace("def start", "SEEN = []\n\n\ndef start").replace("    pass", "    SEEN.append(architecture)")
    file.write_text(text.replace("    return space.sample(rng)", "    return SEEN[0] if len(SEEN) > 90 else space.sample(rng)"))
    assert [c.name for c in check_file(file) if not c.passed] == ["a search is reproducible", "a search works on a single architecture"]
