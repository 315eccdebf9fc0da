"""How the trainings went: validation accuracy by epoch."""

from __future__ import annotations

import pandas as pd

from agd_bench.analysis.scores import GROUP

QUANTILES = {"low": 0.1, "median": 0.5, "high": 0.9}


def accuracy_by_epoch(trials: pd.DataFrame, curves: pd.DataFrame) -> pd.DataFrame:
    """Validation accuracy of every algorithm's final trials after each epoch.

    A trial that diverged counts up to its last epoch.

    Args:
        trials: the table of trials.
        curves: the table of curves.

    Returns:
        One row per group, algorithm and epoch: `search_space`, `dataset`, `profile`, `algorithm`, `epoch`; `low`, `median`, `high` (10th,
        50th and 90th percentile of the trials' validation accuracies, in [0, 1]); `trials` (how many reached that epoch).

    >>> trials = pd.DataFrame({"trial_id": ["x", "y"], "purpose": "final", "algorithm": "agd", "search_space": "s", "dataset": "d",
    ...     "profile": "p"})
    >>> curves = pd.DataFrame({"trial_id": ["x", "y"], "epoch": 1, "val_accuracy": [0.4, 0.6]})
    >>> accuracy_by_epoch(trials, curves)[["algorithm", "epoch", "low", "median", "high", "trials"]].round(3).values.tolist()
    [['agd', 1, 0.42, 0.5, 0.58, 2]]
    """
    keys = [*GROUP, "algorithm"]
    final = trials.loc[trials["purpose"] == "final", ["trial_id", *keys]]
    places = final.groupby(keys, sort=False).ngroup()
    labels = final[keys].drop_duplicates().reset_index(drop=True)
    # Joined by a number, not by four texts: the texts of a million rows would take longer than all the rest.
    place = curves["trial_id"].map(pd.Series(places.to_numpy(), index=final["trial_id"]))
    known = place.notna()
    grouped = curves.loc[known, "val_accuracy"].groupby([place[known].astype(int).rename("place"), curves.loc[known, "epoch"]])
    table = pd.DataFrame({name: grouped.quantile(share) for name, share in QUANTILES.items()}).assign(trials=grouped.size()).reset_index()
    table = table[table["trials"] > 0].reset_index(drop=True)
    described = labels.iloc[table["place"].to_numpy(dtype=int)].reset_index(drop=True)
    return pd.concat([described, table.drop(columns="place")], axis=1)
