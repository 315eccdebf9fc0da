"""Verification finds missing parts of a board's design and rows that contradict each other."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest

from agd_bench.leaderboard.contradictions import find_contradictions
from agd_bench.leaderboard.design import missing_parts
from agd_bench.store import Results, begun_results, load_results
from tests.analysis.synthetic import simulate_results, simulate_trials

BOARDS = sorted(path.parent for path in Path(__file__).parents[2].glob("leaderboards/*/manifest.json"))


def without(results: Results, rows: pd.Series[bool]) -> Results:
    """Return the results without some trials and their curves and attempts."""
    ids = set(results.trials.loc[rows, "trial_id"])
    tables = {name: getattr(results, name) for name in ("trials", "curves", "attempts")}
    return replace(results, **{name: table[~table["trial_id"].isin(ids)].reset_index(drop=True) for name, table in tables.items()})


@pytest.fixture(scope="module")
def board() -> Results:
    """Return a published run with tuning per architecture."""
    return load_results(next(path for path in BOARDS if path.name == "nas_bench_201-digits-tuning_scope"))


@pytest.mark.parametrize("folder", BOARDS, ids=lambda path: path.name)
def test_published_boards_are_whole(folder: Path) -> None:
    """In published boards, nothing is missing or contradictory."""
    results = load_results(folder)
    assert missing_parts(results) == []
    assert find_contradictions(results) == []


@pytest.mark.parametrize(
    "left_out",
    [
        pytest.param(lambda trials: trials["architecture"] == trials["architecture"].iloc[0], id="an architecture"),
        pytest.param(lambda trials: trials["purpose"] == "tuning", id="all tuning trials"),
        pytest.param(lambda trials: (trials["purpose"] == "tuning") & (trials["number"] == 1), id="a proposal"),
        pytest.param(lambda trials: trials["seed"] == 0, id="a seed"),
        pytest.param(lambda trials: trials["algorithm"] == trials["algorithm"].iloc[0], id="an algorithm"),
        pytest.param(lambda trials: trials["status"] == "refused", id="what was refused"),
        pytest.param(lambda trials: trials["search_space"].notna(), id="everything"),
    ],
)
def test_a_part_left_out_is_missing(board: Results, left_out: Callable[[pd.DataFrame], pd.Series[bool]]) -> None:
    """Removing any part of the design together with its curves and attempts is noticed."""
    assert missing_parts(without(board, left_out(board.trials)))


def test_a_search_space_or_data_set_without_a_row_is_missing(board: Results) -> None:
    """Everything that the sweep lists is expected, even if no row belongs to it."""
    for field, name in (("search_spaces", "vgg"), ("datasets", "fashion_mnist")):
        choices = getattr(board.sweep, field)
        more = choices[0].model_copy(update={"name": name, "label": name} if field == "search_spaces" else {"name": name})
        sweep = board.sweep.model_copy(update={field: (*choices, more)})
        assert any(name in line for line in missing_parts(replace(board, sweep=sweep)))


def test_fewer_proxies_than_the_sweep_says_are_missing() -> None:
    """A study of a whole search space that tried its proposals on a single architecture would look cheaper than it should be."""
    results = load_results(next(path for path in BOARDS if path.name == "nas_bench_201-digits-tuning_scope"))
    shared = [choice.label for choice in results.sweep.algorithms if choice.tuning_scope == "search-space"]
    tuning = results.trials[(results.trials["purpose"] == "tuning") & results.trials["algorithm"].isin(shared)]
    kept = tuning["architecture"].iloc[0]
    rows = results.trials["trial_id"].isin(tuning.loc[tuning["architecture"] != kept, "trial_id"])
    assert shared
    assert rows.any()
    assert any("fewer than" in line for line in missing_parts(without(results, rows)))


def test_a_growing_board_states_what_its_sweep_plans(board: Results) -> None:
    """Rows of trials that were not started may be missing, but the number of planned trials must match the sweep."""
    trials = board.trials.copy()
    trials["status"] = trials["status"].mask(trials["seed"] == 0, "pending")
    trials["attempts"] = trials["attempts"].mask(trials["seed"] == 0, 0)
    growing = begun_results(replace(board, trials=trials))
    assert len(growing.trials) < len(trials)
    assert missing_parts(growing) == []
    stated = growing.meta["planned_trials"]
    fewer = growing.sweep.model_copy(update={"seeds": (*growing.sweep.seeds, 77)})
    assert any(line.startswith("meta.json") for line in missing_parts(replace(growing, sweep=fewer)))
    assert stated


def test_rows_that_contradict_each_other_are_found() -> None:
    """An accuracy that differs from its curve, a missing point, decreasing seconds and equal measurements of two seeds are found."""
    sound = simulate_results(simulate_trials(6, 3, noise=0.02))
    assert find_contradictions(sound) == []
    trials, curves = sound.trials, sound.curves
    assert any("curve ends" in line for line in find_contradictions(replace(sound, trials=_set(trials, "val_accuracy", 0.999))))
    assert any("one point per epoch" in line for line in find_contradictions(replace(sound, curves=curves.iloc[1:])))
    assert any("decrease" in line for line in find_contradictions(replace(sound, curves=_set(curves, "train_seconds", 1e6))))
    first, second = trials.index[trials["architecture"] == trials["architecture"].iloc[0]][:2]
    measured = ["train_loss", "train_accuracy", "val_loss", "val_accuracy", "test_accuracy"]
    equal = trials.copy()
    equal.loc[second, measured] = equal.loc[first, measured]
    assert any("to the last digit" in line for line in find_contradictions(replace(sound, trials=equal)))


@pytest.mark.parametrize(
    ("table", "column", "value", "said"),
    [
        ("trials", "train_seconds", 1e5, "exceed its total_seconds"),
        ("trials", "train_seconds", 1e-9, "operations per second"),
        ("attempts", "seconds", 1e5, "more seconds than passed"),
        ("attempts", "ended_at", 0.0, "more seconds than passed"),
    ],
)
def test_times_that_cannot_be_are_found(board: Results, table: str, column: str, value: float, said: str) -> None:
    """Training longer than the whole trial, faster than any device, and an attempt longer than it was under way."""
    rows: pd.DataFrame = getattr(board, table)
    place = rows[rows["status" if table == "trials" else "outcome"] == "done"].index[0]
    changed = rows.copy()
    changed.loc[place, column] = value
    found = find_contradictions(replace(board, **{table: changed}))  # type: ignore[arg-type]
    assert [rows.loc[place, "trial_id"] for line in found if said in line and rows.loc[place, "trial_id"] in line]


def test_an_accuracy_that_is_no_number_of_images_is_found(board: Results) -> None:
    """An accuracy must be a whole number of images divided by the size of the test split (360 here)."""
    done = board.trials["status"].eq("done").idxmax()
    trials = board.trials.copy()
    trials.loc[done, "test_accuracy"] = 0.98765432
    assert any("whole number" in line for line in find_contradictions(replace(board, trials=trials)))


def _set(frame: pd.DataFrame, column: str, value: float) -> pd.DataFrame:
    changed = frame.copy()
    changed.loc[0, column] = value
    return changed
