"""Accuracy per algorithm, with unsuccessful trials counted separately, and differences paired by architecture and seed."""

from __future__ import annotations

import warnings

import numpy as np
import pandas as pd

from agd_bench.analysis.inference import mean_interval
from agd_bench.analysis.scores import GROUP, Scores, describe, paired_scores, trained_rows

STATUSES = ("done", "diverged", "failed", "refused")


def accuracy_table(trials: pd.DataFrame, metric: str = "test_accuracy") -> pd.DataFrame:
    """Accuracy of every algorithm in every comparison group.

    The means are over `done` trials only; diverged, failed and refused trials are counted in separate columns.

    Returns:
        One row per group and algorithm: `search_space`, `dataset`, `profile`, `algorithm`;
        `mean_accuracy` (mean over architectures of their means over seeds, in [0, 1]) with `mean_low`, `mean_high` (95 % t interval
        over architectures); `best_accuracy` (highest of the architectures' means);
        `architecture_sd` (standard deviation over architectures); `seed_sd` (pooled standard deviation over the seeds of one
        architecture); `architectures` and `seeds` (with at least one done trial); `done`, `diverged`, `failed`, `refused` and
        `unfinished` (final trials by status). NaN if nothing was measured.

    >>> rows = [("a", 0, 0.5), ("a", 1, 0.7), ("b", 0, 0.8), ("b", 1, 0.8)]
    >>> trials = pd.DataFrame(rows, columns=["architecture", "seed", "test_accuracy"]).assign(
    ...     search_space="s", dataset="d", profile="p", algorithm="agd", purpose="final", status="done")
    >>> accuracy_table(trials)[["mean_accuracy", "seed_sd", "architectures", "done"]].round(3).values.tolist()
    [[0.7, 0.1, 2.0, 4.0]]
    """
    measured = pd.DataFrame([row for group in paired_scores(trials, metric, every_seed=True) for row in _rows(group)])
    final = trained_rows(trials[(trials["purpose"] == "final") & (trials["status"] != "unneeded")])
    keys = [*GROUP, "algorithm"]
    counts = final.groupby(keys, sort=False)["status"].value_counts().unstack(fill_value=0)
    # Every status that is not an outcome, so a new status is not lost from the counts.
    counts["unfinished"] = counts.drop(columns=list(STATUSES), errors="ignore").sum(axis=1)
    counts = counts.reindex(columns=[*STATUSES, "unfinished"], fill_value=0).astype(int).reset_index()
    if measured.empty:
        return pd.DataFrame(columns=[*keys, *_MEASURED, *STATUSES, "unfinished"])
    return measured.merge(counts, on=keys, how="left", validate="one_to_one")


_MEASURED = ["mean_accuracy", "mean_low", "mean_high", "best_accuracy", "architecture_sd", "seed_sd", "architectures", "seeds"]


def _rows(group: Scores) -> list[dict[str, object]]:
    # `Scores` stores diverged trials as 0, which would look like a very low accuracy here.
    values = np.where(group.diverged, np.nan, group.values)
    rows: list[dict[str, object]] = []
    for position, algorithm in enumerate(group.algorithms):
        done = values[position]
        # Seeds of each architecture, (A,).
        counts = (~np.isnan(done)).sum(axis=1)
        with warnings.catch_warnings():  # numpy warns about empty slices; the result is then a missing value
            warnings.simplefilter("ignore", RuntimeWarning)
            means = np.nanmean(done, axis=1)[counts > 0]
            variances = np.nanvar(done[counts > 1], axis=1, ddof=1)
        low, high = mean_interval(means)
        row: dict[str, object] = {**describe(group.group), "algorithm": algorithm}
        row |= {"mean_accuracy": means.mean() if len(means) else np.nan, "mean_low": low, "mean_high": high}
        row |= {"best_accuracy": means.max() if len(means) else np.nan}
        row |= {"architecture_sd": means.std(ddof=1) if len(means) > 1 else np.nan}
        # Pooled by degrees of freedom; an architecture with one seed has none.
        weights = counts[counts > 1] - 1
        row |= {"seed_sd": np.sqrt(np.average(variances, weights=weights)) if len(variances) else np.nan}
        row |= {"architectures": len(means), "seeds": int((~np.isnan(done)).any(axis=0).sum())}
        rows.append(row)
    return rows


def accuracy_difference(trials: pd.DataFrame, baseline: str, challenger: str, metric: str = "test_accuracy") -> pd.DataFrame:
    """The challenger's accuracy minus the baseline's, paired by architecture and seed.

    Args:
        trials: the table of trials.
        baseline: label of the algorithm to compare with.
        challenger: label of the other.
        metric: the accuracy to use.

    Returns:
        One row per group: `search_space`, `dataset`, `profile`; `difference` (mean over architectures of the mean over seeds that
        both finished; positive: the challenger is better) with `low`, `high` (95 % t interval over architectures; NaN for fewer than
        two); `baseline_accuracy`, `challenger_accuracy` (means over those same pairs); `architectures` and `pairs`
        (architecture-seed pairs used).

    Raises:
        UnknownNameError: a label that does not occur in a group.
    """
    rows: list[dict[str, object]] = []
    for group in paired_scores(trials, metric, every_seed=True):
        values = np.where(group.diverged, np.nan, group.values)
        pair = values[[group.position(baseline), group.position(challenger)]]
        # Only seeds completed by both, (A, S); otherwise the harder seeds of one side would count only for that side.
        both = ~np.isnan(pair).any(axis=0)
        counts = both.sum(axis=1)
        # Seeds first, then architectures, so every architecture has the same weight regardless of its number of seeds.
        means = np.where(both, pair, 0.0).sum(axis=2)[:, counts > 0] / counts[counts > 0]
        differences = means[1] - means[0]
        low, high = mean_interval(differences)
        average = means.mean(axis=1) if len(differences) else np.full(2, np.nan)
        row: dict[str, object] = {**describe(group.group), "difference": average[1] - average[0], "low": low, "high": high}
        row |= {"baseline_accuracy": average[0], "challenger_accuracy": average[1]}
        rows.append(row | {"architectures": len(differences), "pairs": int(both.sum())})
    columns = ["difference", "low", "high", "baseline_accuracy", "challenger_accuracy", "architectures", "pairs"]
    return pd.DataFrame(rows, columns=[*GROUP, *columns])
