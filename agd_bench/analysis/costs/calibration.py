"""What one study of the whole sweep tried, and what it chose: a setting that is calibrated across workloads."""

from __future__ import annotations

from collections.abc import Collection

import pandas as pd

from agd_bench.analysis.scores import GROUP

_PROPOSAL = ["algorithm", "study", "number"]
COLUMNS = [*GROUP, "algorithm", "number", "setting", "val_accuracy", "mean_val_accuracy", "not_done", "rank"]


def calibrations(trials: pd.DataFrame, labels: Collection[str]) -> pd.DataFrame:
    """Every proposal of the studies that judged it by its mean over all workloads of a sweep.

    A proposal is judged by the mean validation accuracy of all its trials, each workload's architectures alike; one of which any trial
    did not end well cannot be chosen. Nothing here reads the test split.

    Args:
        trials: the table of trials.
        labels: of the algorithms whose tuning scope is the sweep.

    Returns:
        Per group, algorithm and proposal made: `search_space`, `dataset`, `profile`, `algorithm`, `number` (the proposal's, from 0),
        `setting` (JSON of its values), `val_accuracy` (mean over the proposal's trials in this group; NaN where none was done),
        `mean_val_accuracy` (over its trials in all groups), `not_done` (trials, in all groups, that did not end well or have not ended),
        `rank` (1: chosen; NaN: could not be).

    >>> rows = {"algorithm": "x", "study": "k", "purpose": "tuning", "search_space": "s", "dataset": ["d", "d", "e", "e"],
    ...     "profile": "p", "number": [0, 1, 0, 1], "hyperparameters": ["{a}", "{b}", "{a}", "{b}"], "status": "done",
    ...     "val_accuracy": [0.5, 0.8, 0.7, 0.6]}
    >>> table = calibrations(pd.DataFrame(rows), ["x"])
    >>> table[["dataset", "setting", "val_accuracy", "mean_val_accuracy", "rank"]].values.tolist()
    [['d', '{a}', 0.5, 0.6, 2.0], ['d', '{b}', 0.8, 0.7, 1.0], ['e', '{a}', 0.7, 0.6, 2.0], ['e', '{b}', 0.6, 0.7, 1.0]]
    """
    proposed = trials["algorithm"].isin(labels) & (trials["purpose"] == "tuning") & trials["hyperparameters"].notna()
    rows = trials[proposed]
    if rows.empty:
        return pd.DataFrame(columns=COLUMNS)
    done = rows["status"] == "done"
    rows = rows.assign(reached=pd.to_numeric(rows["val_accuracy"]).where(done), not_done=(~done).astype("int64"))
    # Not by group: a proposal is one setting for all workloads of the sweep.
    judged = rows.groupby(_PROPOSAL, sort=False, observed=True).agg(mean_val_accuracy=("reached", "mean"), not_done=("not_done", "sum"))
    # Of equal ones the earliest is chosen, as the tuner does.
    able = judged["mean_val_accuracy"].where(judged["not_done"] == 0)
    judged["rank"] = able.groupby(["algorithm", "study"], sort=False, observed=True).rank(ascending=False, method="first")
    keys = [*GROUP, *_PROPOSAL]
    own = rows.groupby(keys, sort=False, observed=True).agg(setting=("hyperparameters", "first"), val_accuracy=("reached", "mean"))
    table = own.reset_index().merge(judged.reset_index(), on=_PROPOSAL, validate="many_to_one")
    return table.astype({"number": "int64"})[COLUMNS]
