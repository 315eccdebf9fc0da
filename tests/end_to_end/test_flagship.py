"""The flagship at CPU size: slices from several machines and the published folder form one sweep, and its numbers do not change."""

from __future__ import annotations

import itertools
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pandas as pd
import pytest

from agd_bench.api import merge, run
from agd_bench.errors import RunChangedError
from agd_bench.leaderboard import publish_results, verify_folder
from agd_bench.planning.architectures import in_order
from agd_bench.planning.planner import plan
from agd_bench.records import Sweep
from agd_bench.report import build_report
from agd_bench.store import Results, load_results, reusable_rows
from agd_bench.store.results import PLANNED
from agd_bench.sweeps import open_sweep
from agd_bench.trial import Workplace, run_trial
from search_spaces import nas_bench_201
from tests.planning.test_architectures import CROSSED, EQUAL, NO_PATH, OTHER

LEADERBOARDS = Path(__file__).parents[2] / "leaderboards"
SECONDS = ["train_seconds", "total_seconds", "charged_seconds"]


def small(**changes: Any) -> Sweep:
    """Return the flagship on three networks with five names and one without a path, for one epoch of a tenth of the digits."""
    flagship = open_sweep("flagship").model_dump(mode="json")
    (space,) = flagship["search_spaces"]
    options = {**space["options"], "channels": 2, "cells": 1}
    space |= {"architectures": [*EQUAL[:2], *CROSSED, OTHER, NO_PATH], "options": options}
    asked = {"epochs": 1, "batch_size": 64, "seeds": [0, 1], "precision": "float32", "datasets": [{"name": "digits", "share": 0.1}]}
    return Sweep.model_validate({**flagship, "search_spaces": [space], **asked, **changes})


def train(out: Path, **how: Any) -> Results:
    """Train the small flagship, or continue training it."""
    return run(small(), out, executor="in-process", device="cpu", **how)


class Clock:
    """A clock that advances by one second whenever a trial ends."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 0.0
        for module in ("agd_bench.api", "agd_bench.scheduling.driver"):
            monkeypatch.setattr(f"{module}.time", SimpleNamespace(monotonic=lambda: self.now))

    def tell(self, event: Any, snapshot: Any) -> None:
        """Advance the clock; used as an observer of runs."""
        self.now += event is not None and event.kind == "ended" and event.attempt > 0


@pytest.mark.usefixtures("few_resamples")
def test_slices_are_the_undisturbed_sweep(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two machines' slices, one cut short, then merged, published and continued, give exactly the results of an undisturbed sweep."""
    monkeypatch.setattr("agd_bench.report.sections.PARTS", ())
    whole = train(tmp_path / "whole")
    train(tmp_path / "a", part="1/2")
    with monkeypatch.context() as patch:
        clock = Clock(patch)
        cut = train(tmp_path / "b", part="2/2", time_limit_seconds=4.0, observer=clock.tell)
    begun = int((cut.trials["attempts"] > 0).sum())
    assert 4 <= begun <= 5  # the in-process executor finishes its current trial
    joined = merge([tmp_path / "a", tmp_path / "b"], tmp_path / "joined")
    assert joined.left > 0 == joined.repeated
    board = publish_results(load_results(tmp_path / "joined"), tmp_path / "board")
    first = (board / "README.md").read_text()
    assert "planned trials have ended" in first
    assert "different networks" in first
    found = train(tmp_path / "next", start_from=[board])
    assert len(found.attempts) == len(whole.attempts) == whole.trials["representative"].isna().sum()
    publish_results(found, board)
    assert verify_folder(board) == []
    again = load_results(board)
    pd.testing.assert_frame_equal(again.trials.drop(columns=SECONDS), whole.trials.drop(columns=SECONDS), check_exact=True)
    pd.testing.assert_frame_equal(again.curves.drop(columns=SECONDS[:1]), whole.curves.drop(columns=SECONDS[:1]), check_exact=True)
    assert "planned trials have ended" not in (board / "README.md").read_text()
    page = build_report(again, tmp_path / "report").read_text()
    assert "2 architectures reuse the results of an equal" in page


def test_the_flagship_begins_where_it_began() -> None:
    """The first networks and their trial ids are fixed, so that existing results remain the beginning of the flagship."""
    flagship = open_sweep("flagship")
    (space,) = flagship.search_spaces
    ordered = in_order(nas_bench_201, space, nas_bench_201.architectures())
    assert sorted(ordered) == sorted(nas_bench_201.architectures())
    networks = list(itertools.islice(dict.fromkeys(map(nas_bench_201.canonical, ordered)), 2))
    assert networks == [
        "|nor_conv_3x3~0|+|avg_pool_3x3~0|nor_conv_3x3~1|+|nor_conv_3x3~0|nor_conv_1x1~1|nor_conv_3x3~2|",
        "|nor_conv_1x1~0|+|none~0|nor_conv_1x1~1|+|none~0|nor_conv_1x1~1|nor_conv_1x1~2|",
    ]
    first = space.model_copy(update={"architectures": ordered[:1]})
    trials = plan(flagship.model_copy(update={"search_spaces": (first,)})).trials
    assert [(trial.algorithm, trial.seed, trial.id) for trial in trials[:4]] == [
        ("agd", 0, "fb1b0940fbad96a1"),
        ("nas_bench_201_sgd", 0, "b7fe9242fb60a3b5"),
        ("nadamw", 0, "dd62985c31801535"),
        ("agd", 1, "ef66ab29444e1ed9"),
    ]


@pytest.mark.parametrize(
    ("algorithm", "train_loss", "val_loss"),
    [("agd", 1.265067, 2.290703), ("nas_bench_201_sgd", 2.231948, 2.298951), ("nadamw", 2.298956, 2.305296)],
)
def test_the_flagships_numbers_stay(algorithm: str, train_loss: float, val_loss: float, tmp_path: Path) -> None:
    """Losses of a small training are pinned up to rounding: if a trial's computation changes, old and new slices no longer match."""
    trial = next(trial for trial in plan(small(batch_size=16)).trials if trial.algorithm == algorithm and trial.architecture == CROSSED[0])
    result = run_trial(trial, Workplace(tmp_path, device="cpu"))
    assert (result.train_loss, result.val_loss) == pytest.approx((train_loss, val_loss), rel=1e-3)


UNFINISHED = [path.parent for path in sorted(LEADERBOARDS.glob("*/meta.json")) if PLANNED in path.read_text()]


@pytest.mark.skipif(not UNFINISHED, reason="no leaderboard of this repository is still growing")
@pytest.mark.parametrize("board", UNFINISHED, ids=lambda board: board.name)
def test_what_grows_can_grow_on(board: Path) -> None:
    """The sweep and all plug-ins of an unfinished leaderboard are frozen until it is finished."""
    results = load_results(board)
    try:
        assert not reusable_rows(board.name, results, plan(results.sweep)).edited
    except RunChangedError as error:
        pytest.fail(f"{error}; give a changed plug-in another name, or take the leaderboard away")
