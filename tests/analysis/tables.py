"""Result tables from arrays, and their single cells."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from agd_bench.analysis.scores import Floats


def number(table: pd.DataFrame, row: str | int, column: str) -> float:
    """The number in one cell, by the table's index and column."""
    found: Any = table[column].to_dict()[row]
    return float(found)


def as_trials(values: Floats) -> pd.DataFrame:
    """A table of final trials from accuracies, (M, A, S); missing ones are failed."""
    algorithm, architecture, seed = (axis.ravel() for axis in np.indices(values.shape))
    columns = {"algorithm": [f"g{m}" for m in algorithm], "architecture": [f"a{a}" for a in architecture], "seed": seed}
    table = pd.DataFrame({**columns, "test_accuracy": values.ravel()})
    status = np.where(table["test_accuracy"].isna(), "failed", "done")
    return table.assign(search_space="s", dataset="d", profile="p", purpose="final", status=status)
