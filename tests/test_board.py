"""A published leaderboard as data frames."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

import agd_bench
from agd_bench.errors import UnknownNameError
from agd_bench.leaderboard import publish_results
from tests.analysis.synthetic import simulate_results, simulate_trials


def test_a_board_is_data_frames(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, few_resamples: None) -> None:
    """A folder, or its name in `leaderboards/`, gives the published rows and the algorithms by mean accuracy."""
    results = simulate_results(simulate_trials(9, 3, ("sgd", "agd"), gain=-0.1))
    folder = publish_results(results, tmp_path / "leaderboards" / "small")
    monkeypatch.chdir(tmp_path)
    for given in (folder, str(folder), "small"):
        board = agd_bench.load_board(given)
        pd.testing.assert_frame_equal(board.trials, results.trials, check_exact=True)
        pd.testing.assert_frame_equal(board.curves, results.curves, check_exact=True)
    means = results.trials.groupby("algorithm")["test_accuracy"].mean().sort_values(ascending=False)
    assert list(board.ranking["algorithm"]) == list(means.index)
    assert board.ranking["accuracy"].to_numpy() == pytest.approx(means.to_numpy())
    assert len(board.attempts) == len(results.attempts)
    assert board.sweep == results.sweep
    assert len(repr(board)) < 120
    assert "2 algorithms" in repr(board)


def test_an_unknown_board_names_the_known_ones(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A misspelled name is answered with the nearest folder of `leaderboards/`."""
    (tmp_path / "leaderboards" / "competition").mkdir(parents=True)
    (tmp_path / "leaderboards" / "competition" / "manifest.json").touch()
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UnknownNameError, match="Did you mean 'competition'"):
        agd_bench.load_board("competitoin")
