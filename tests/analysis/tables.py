"""Helpers that build result tables from arrays and read single cells."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from agd_bench.analysis.scores import Floats


def number(table: pd.DataFrame, row: str | int, column: str) -> float:
    """Return the number in one cell, by index label and column."""
    found: Any = table[column].to_dict()[row]
    return float(found)


def as_trials(values: Floats) -> pd.DataFrame:
    """Return final trials for accuracies of shape (M, A, S); missing values become failed trials."""
    algorithm, architecture, seed = (axis.ravel() for axis in np.indices(values.shape))
    columns = {"algorithm": [f"g{m}" for m in algorithm], "architecture": [f"a{a}" for a in architecture], "seed": seed}
    table = pd.DataFrame({**columns, "test_accuracy": values.ravel()})
    status = np.where(table["test_accuracy"].isna(), "failed", "done")
    return table.assign(search_space="s", dataset="d", profile="p", purpose="final", status=status)
