"""Search campaigns: preparing, running in processes, resuming, time limits and failing methods."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from agd_bench.errors import InputError
from agd_bench.searching.campaign import POINTS, prepare, run_campaign
from agd_bench.tabular import Key
from tests.tabular.synthetic import synthetic_table

LOST = '''
"""A method for tests, which asks for what is not there."""


def start(space, budget_seconds, rng):
    return None


def ask(search):
    return "elsewhere"


def tell(search, architecture, epochs, accuracy, seconds):
    pass
'''


def test_what_is_asked_is_completed() -> None:
    """By default all settings are used, the budget is a third of the architectures with tuning, and incomplete ones are left out."""
    table = synthetic_table()
    key = Key("digits", "plain", 8)
    holes = table.cells[key].val_accuracy.copy()
    holes[[3, 7]] = np.nan
    table.cells[key] = dataclasses.replace(table.cells[key], val_accuracy=holes, means=True)
    campaign = prepare(table, runs=3, methods=["random_search"])
    assert [str(setting.key) for setting in campaign.settings] == ["digits/plain@2", "digits/plain@8", "digits/tuned@2", "digits/tuned@8"]
    assert [setting.budget_seconds for setting in campaign.settings] == [16.0, 64.0, 116.0, 164.0]
    assert campaign.settings[1].epochs == (2, 8)
    assert len(campaign.kept) == 25
    said = " ".join(campaign.restrictions())
    assert "2 of 27 architectures are left out" in said
    assert "digits/plain@8: accuracies are means" in said
    one = prepare(synthetic_table(seeds=1), ["plain"], ["random_search"])
    assert "one seed for each architecture" in " ".join(one.restrictions())


@pytest.mark.parametrize(
    ("settings", "methods", "message"),
    [
        (["plian"], [], "unknown algorithm"),
        (["plain@3"], [], "no 3 epochs of plain on digits; it has 2, 8"),
        (["plain@many"], [], "epochs must be a whole number"),
        (["mnist/plain@8"], [], "unknown data set"),
        ([], ["annealing"], "unknown searcher"),
    ],
)
def test_unusable_requests(settings: list[str], methods: list[str], message: str) -> None:
    """Unusable requests raise an error before anything runs."""
    with pytest.raises(InputError, match=message):
        prepare(synthetic_table(), settings, methods)


def test_a_campaign_is_resumed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Resuming reuses stored runs, a time limit reduces the runs, and a failing method reports its reason."""
    monkeypatch.setattr("agd_bench.searching.campaign.CHUNK", 5)
    (tmp_path / "methods").mkdir()
    (tmp_path / "methods" / "lost.py").write_text(LOST)
    methods = ["random_search", "lost"]
    campaign = prepare(synthetic_table(), ["plain", "tuned"], methods, runs=8, budget_seconds=160.0, folders=[tmp_path / "methods"])
    seen: list[tuple[int, int]] = []
    outcomes = run_campaign(campaign, tmp_path / "kept", observe=lambda done, planned: seen.append((done, planned)), workers=2)
    assert seen[-1] == (16, 16)
    first = outcomes["random_search", campaign.settings[0].key]
    assert np.concatenate(first.picks).shape == (8, POINTS)
    lost = outcomes["lost", campaign.settings[1].key]
    assert lost.runs == 0
    assert "run 0: asked for 'elsewhere', which is not among the 27 architectures" in lost.reason
    files = {path: path.stat().st_mtime_ns for path in (tmp_path / "kept").iterdir()}
    assert len(files) == 2 * 2
    hurried = run_campaign(campaign, tmp_path / "kept", limit_seconds=0.0, workers=1)
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "kept").iterdir()} == files
    again = hurried["random_search", campaign.settings[0].key]
    assert again.runs == 5
    assert np.array_equal(again.picks[0], first.picks[0])
