"""Promised and realised decreases: sums over trials and epochs, and the recorded descent guarantee."""

from __future__ import annotations

import pandas as pd
import pytest

from agd_bench.analysis import decreases, total_decreases

GROUP = {"search_space": "s", "dataset": "d", "profile": "matrix-only"}


def compared(*rows: tuple[str, int, float, float, float, float]) -> pd.DataFrame:
    """Return epoch diagnostics from rows of trial, epoch and the four sums."""
    names = ["compared_steps", "compared_promise", "compared_decrease", "shortfalls"]
    said = [(trial, epoch, name, value) for trial, epoch, *values in rows for name, value in zip(names, values, strict=True)]
    return pd.DataFrame(said, columns=["trial_id", "epoch", "name", "value"])


@pytest.fixture
def trials() -> pd.DataFrame:
    """Return two final trials of one algorithm, one of another, and a tuning trial."""
    columns = {"trial_id": list("abcd"), "algorithm": ["dsgd", "dsgd", "guess", "dsgd"], "purpose": ["final"] * 3 + ["tuning"]}
    return pd.DataFrame({**columns, **GROUP})


@pytest.fixture
def attempts() -> pd.DataFrame:
    """Return the provenance of the attempts; the first trial's first attempt was lost without any."""
    said = [None, '{"descent_guarantee": "yes"}', '{"descent_guarantee": "yes"}', "{}", '{"descent_guarantee": "yes"}']
    return pd.DataFrame({"trial_id": list("aabcd"), "provenance": said})


def test_steps_are_weighed_alike(trials: pd.DataFrame, attempts: pd.DataFrame) -> None:
    """Means weight every step equally across trials; tuning trials and other diagnostics are ignored."""
    said = compared(
        ("a", 1, 9, 0.9, 1.8, 0), ("b", 1, 1, 1.1, 0.2, 1), ("a", 2, 10, 0.0, 0.0, 0), ("c", 1, 4, 1, -2, 3), ("d", 1, 5, 9, 9, 5)
    )
    other = pd.DataFrame({"trial_id": ["a", "c"], "epoch": 1, "name": ["eta/mean", "updates/0"], "value": 7.0})
    table = decreases(trials, pd.concat([said, other], ignore_index=True), attempts)
    columns = ["algorithm", "guarantee", "epoch", "trials", "steps", "promised", "realised", "ratio", "shortfalls", "shortfall_share"]
    first, second, third = table[columns].round(9).values.tolist()
    assert first == ["dsgd", "yes", 1, 2, 10, 0.2, 0.2, 1.0, 1, 0.1]
    assert second[:7] == ["dsgd", "yes", 2, 1, 10, 0.0, 0.0]
    assert pd.isna(second[7]), "of nothing promised there is no ratio"
    assert third == ["guess", "", 1, 1, 4, 0.25, -0.5, -2.0, 3, 0.75]
    both, guess = total_decreases(table)[["algorithm", *columns[3:]]].round(9).values.tolist()
    assert both == ["dsgd", 2, 20, 0.1, 0.1, 1.0, 1, 0.05]
    assert guess == ["guess", *third[3:]]


def test_epochs_without_a_compared_step_have_no_row(trials: pd.DataFrame, attempts: pd.DataFrame) -> None:
    """When no step is compared, as in bfloat16, the table is empty but keeps its columns."""
    for said in (compared(("a", 1, 0, 0, 0, 0)), compared()):
        table = decreases(trials, said, attempts)
        assert table.empty
        assert {"guarantee", "epoch", "promised", "shortfall_share"} <= set(table)
        assert total_decreases(table).empty
