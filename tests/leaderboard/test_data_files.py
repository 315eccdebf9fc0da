"""What a site has for programs: JSON without NaN, and Parquet tables of the raw rows."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
import pytest

from agd_bench.leaderboard import build_site, publish_results
from agd_bench.store import load_results
from tests.analysis.synthetic import simulate_results, simulate_trials, spoil


def test_a_site_has_the_ranking_as_json_and_the_rows_as_parquet(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, few_resamples: None
) -> None:
    """The ranking has one row per algorithm with null for missing values; the Parquet tables are the published rows."""
    results = simulate_results(spoil(simulate_trials(9, 3, ("sgd", "agd"), gain=-0.1), "agd", "diverged", [0]))
    published = load_results(publish_results(results, tmp_path / "boards" / "first"))
    monkeypatch.setattr("agd_bench.report.sections.PARTS", ())
    site = build_site(tmp_path / "boards", tmp_path / "site").parent

    def refuse(value: str) -> None:
        pytest.fail(f"{value} is not JSON")

    listed = json.loads((site / "leaderboards.json").read_text(), parse_constant=refuse)
    (line,) = listed["leaderboards"]
    assert (line["state"], line["name"], line["trials"]) == ("recomputed", "synthetic", "54")
    board = json.loads((site / line["file"]).read_text(), parse_constant=refuse)
    rows = {row["algorithm"]: row for row in board["ranking"]}
    assert [row["algorithm"] for row in board["ranking"]] == ["sgd", "agd"]
    # one of 27 trainings diverged and counts as 0
    accuracies = results.trials.loc[lambda trials: trials["algorithm"] == "agd", "test_accuracy"].fillna(0)
    assert rows["agd"]["accuracy"] == pytest.approx(accuracies.mean())
    assert (rows["agd"]["bad"], rows["agd"]["trainings"], rows["sgd"]["decision"]) == (1, 27, None)
    assert board["reruns"] == {"sgd": "consistent", "agd": "consistent"}
    assert (board["benchmark"], board["entries"]) == (None, None)
    for table, name in board["files"].items():
        pd.testing.assert_frame_equal(pd.read_parquet(site / "first" / name), getattr(published, table), check_exact=True)
    assert set(board["files"]) >= {"trials", "curves", "attempts"}
