"""The results of a run in memory: its tables, typed, with the sweep and the meta data."""

from __future__ import annotations

import functools
import html
import json
from dataclasses import dataclass, field, replace

import numpy as np
import pandas as pd

from agd_bench.records import Sweep
from agd_bench.store.schema import SORTING, Column, Table, columns_of, dictionary_text

PLANNED = "planned_trials"
"""Key of the meta data with the number of planned trials, set if rows of trials that never started were left out."""
COUNTED = ["search_space", "dataset", "profile", "algorithm", "purpose"]


@dataclass(frozen=True, repr=False)
class Results:
    """Results of a run or of a published folder.

    Attributes:
        sweep: the sweep that was run.
        trials: one row per planned trial, in plan order.
        curves: one row per trial and epoch.
        attempts: one row per execution of a trial.
        meta: strings by key: `created_at`, `versions`, `plugin_digests`, `devices` (JSON), and keys that `publish` adds.
        diagnostics: one row per trial, epoch and number that the optimizer reports; may be empty.
        published: one row per architecture and published training; empty unless gathered (see `evidence`).
        rate_factors: one row per architecture and algorithm that scales a base rate to it; empty unless gathered.
        features: one row per architecture and feature that its search space defines; empty unless gathered.

    Columns:
    """

    sweep: Sweep
    trials: pd.DataFrame
    curves: pd.DataFrame
    attempts: pd.DataFrame
    meta: dict[str, str]
    diagnostics: pd.DataFrame = field(default_factory=lambda: without_rows("diagnostics"))
    published: pd.DataFrame = field(default_factory=lambda: without_rows("published"))
    rate_factors: pd.DataFrame = field(default_factory=lambda: without_rows("rate_factors"))
    features: pd.DataFrame = field(default_factory=lambda: without_rows("features"))

    def __repr__(self) -> str:
        counts = self.trials["status"].value_counts()
        statuses = ", ".join(f"{count} {status}" for status, count in counts.items())
        architectures = self.trials[["search_space", "architecture"]].drop_duplicates()
        return f"Results({self.sweep.name}: {len(self.trials)} trials ({statuses}), {len(architectures)} architectures)"

    def _repr_html_(self) -> str:
        """Return trials by algorithm and status, for notebooks."""
        counts = pd.crosstab(self.trials["algorithm"], self.trials["status"])
        return f"<p><code>{html.escape(repr(self))}</code></p>{counts.to_html(escape=True)}"


Results.__doc__ = f"{Results.__doc__}\n{dictionary_text()}\n"


def _dtype(column: Column) -> str:
    """Return the pandas dtype of a column: missing integers need the nullable dtype, missing reals are NaN."""
    if column.type == "integer":
        return "Int64" if column.nullable else "int64"
    return "float64" if column.type == "real" else "str"


def typed(table: Table, frame: pd.DataFrame) -> pd.DataFrame:
    """Return a table with its columns in order and cast to their dtypes, rows sorted. Absent late columns are added without values."""
    frame = frame.assign(**{column.name: None for column in columns_of(table) if column.late and column.name not in frame})
    for column in columns_of(table):
        if column.type == "integer" and column.nullable and not pd.api.types.is_numeric_dtype(frame[column.name]):
            # FLOPs can exceed 2^53, beyond which a detour by float64 would lose digits
            missing = frame[column.name].isna().to_numpy(dtype=bool)
            numbers = np.zeros(len(frame), dtype=np.int64)
            numbers[~missing] = frame.loc[~missing, column.name].astype("int64")
            frame[column.name] = pd.arrays.IntegerArray(numbers, missing)
    frame = frame.astype({column.name: _dtype(column) for column in columns_of(table)})
    return frame[[column.name for column in columns_of(table)]].sort_values(SORTING[table], ignore_index=True)


def stack(*frames: pd.DataFrame) -> pd.DataFrame:
    """Return the rows of all frames of one table."""
    # empty frames would change the dtypes in `concat`
    filled = [frame for frame in frames if len(frame)]
    return pd.concat(filled, ignore_index=True) if filled else frames[0]


def without_rows(table: Table) -> pd.DataFrame:
    """Return an empty table with its columns and dtypes."""
    return _without_rows(table).copy()


@functools.cache  # each entry of a board lacks several tables, and casting the columns of one takes milliseconds
def _without_rows(table: Table) -> pd.DataFrame:
    return typed(table, pd.DataFrame(columns=[column.name for column in columns_of(table)]))


def planned_counts(results: Results) -> pd.DataFrame:
    """Count the planned trials, including those that a published folder has no rows of.

    Returns:
        One row per `search_space`, `dataset`, `profile`, `algorithm` and `purpose`, in plan order; `planned` (trials).
    """
    if PLANNED in results.meta:
        return pd.DataFrame(json.loads(results.meta[PLANNED]), columns=[*COUNTED, "planned"])
    return results.trials.groupby(COUNTED, sort=False, observed=True).size().rename("planned").reset_index()


def begun_results(results: Results) -> Results:
    """Remove the rows of trials that never started, and store the number of planned trials in the meta data.

    Args:
        results: of a run that may be unfinished.
    """
    trials = results.trials
    untouched = (trials["status"] == "pending") & (trials["attempts"] == 0)
    # keep one row per algorithm and purpose without any started trial, so that the algorithm still appears
    unknown = untouched.groupby([trials[name] for name in COUNTED], sort=False).transform("all") & ~trials.duplicated(COUNTED)
    if not untouched.any():
        return results
    meta = results.meta | {PLANNED: json.dumps(planned_counts(results).to_numpy(dtype=object).tolist())}
    return replace(results, trials=trials[~untouched | unknown].reset_index(drop=True), meta=meta)
