"""The algorithms by result: places with their uncertainty, including failures.

A training that diverged, failed or was refused counts as accuracy 0 in every mean; an architecture refused by every algorithm is left
out. An algorithm's first possible place is 1 plus the number of significantly better algorithms, its last possible place the number of
algorithms minus the significantly worse ones. Significance is based on simultaneous 95 % intervals of all pairwise differences, so with
that probability no place lies outside its interval.

References:
    M. Mogstad, J. P. Romano, A. M. Shaikh, D. Wilhelm, Inference for ranks with applications to mobility across neighbourhoods and
        academic achievement across countries, Review of Economic Studies, 2024 (places from simultaneous intervals of differences).
"""

from __future__ import annotations

import itertools

import numpy as np
import pandas as pd

from agd_bench.analysis.bootstrap import simultaneous_band
from agd_bench.analysis.inference import mean_interval
from agd_bench.analysis.scores import GROUP, Floats, comparison_groups, trained_rows

BAD = ("diverged", "failed", "refused")
"""Outcomes that count as accuracy 0."""
_COLUMNS = [
    "place", "place_low", "place_high", "accuracy", "accuracy_low", "accuracy_high", "difference", "difference_low", "difference_high",
    "bad", *BAD, "trainings", "architectures",
]  # fmt: skip


def standings(trials: pd.DataFrame, baseline: str, metric: str = "test_accuracy", resamples: int = 1000) -> pd.DataFrame:
    """Places, accuracies and differences to the baseline, every failure counted as accuracy 0.

    Args:
        trials: the table of trials.
        baseline: label of the algorithm that the others are compared with.
        metric: which accuracy.
        resamples: bootstrap resamples of architectures for the places.

    Returns:
        One row per group and algorithm, the best first: `search_space`, `dataset`, `profile`, `baseline`, `algorithm`; `place` (by the
        mean, 1 = best), `place_low`, `place_high` (95 % interval, simultaneous; algorithms not significantly worse than the best have
        `place_low` 1; NaN for fewer than 8 architectures); `accuracy` (mean over architectures of means over seeds, in [0, 1]) with
        `accuracy_low`, `accuracy_high` (95 % t interval); `difference` (to the baseline, paired by architecture; positive: better) with
        `difference_low`, `difference_high` (likewise; NaN without a baseline); `bad` (final trainings that count as 0: `diverged` +
        `failed` + `refused`), `trainings` (final trainings that ended), `architectures` (that every algorithm has an outcome for; the
        means are over these).

    >>> rows = [(f"a{i}", g, "done" if i or g == "sgd" else "diverged", 0.5 + i / 100) for i in range(9) for g in ("sgd", "agd")]
    >>> trials = pd.DataFrame(rows, columns=["architecture", "algorithm", "status", "test_accuracy"]).assign(
    ...     search_space="s", dataset="d", profile="p", purpose="final", seed=0)
    >>> standings(trials, "sgd")[["algorithm", "place", "accuracy", "bad", "trainings"]].round(3).values.tolist()
    [['sgd', 1, 0.54, 0, 9], ['agd', 2, 0.484, 1, 9]]
    """
    final = trained_rows(trials[trials["purpose"] == "final"])
    tables = [
        _standings_of(rows, baseline, metric, resamples).assign(baseline=baseline, **dict(zip(GROUP, group, strict=True)))
        for group, rows in comparison_groups(final)
    ]
    columns = [*GROUP, "baseline", "algorithm", *_COLUMNS]
    return pd.concat(tables, ignore_index=True)[columns] if tables else pd.DataFrame(columns=columns)


def pairwise_differences(trials: pd.DataFrame, metric: str = "test_accuracy", resamples: int = 1000) -> pd.DataFrame:
    """Differences in accuracy of every two algorithms, with the intervals that the places follow from.

    Args:
        trials: the table of trials.
        metric: which accuracy.
        resamples: bootstrap resamples of architectures.

    Returns:
        One row per group and unordered pair: `search_space`, `dataset`, `profile`, `algorithm`, `other`; `difference` (of the means over
        architectures; positive: `algorithm` is better; every failure counts as accuracy 0) with `low`, `high` (95 %, simultaneous for all
        pairs; NaN for fewer than 8 architectures); `architectures` (that every algorithm has an outcome for).

    >>> rows = [(f"a{i}", g, 0.5 + i / 100 + (g == "sgd") / 10) for i in range(9) for g in ("sgd", "agd")]
    >>> trials = pd.DataFrame(rows, columns=["architecture", "algorithm", "test_accuracy"]).assign(
    ...     search_space="s", dataset="d", profile="p", purpose="final", seed=0, status="done")
    >>> pairwise_differences(trials)[["algorithm", "other", "difference", "low", "architectures"]].round(3).values.tolist()
    [['sgd', 'agd', 0.1, 0.1, 9]]
    """
    tables = []
    for group, rows in comparison_groups(trained_rows(trials[trials["purpose"] == "final"])):
        algorithms, ended = _ended(rows)
        means = _means(ended, algorithms, metric)
        differences, low, high = _pairs(means, resamples)
        first, second = zip(*itertools.combinations(algorithms, 2), strict=True) if len(algorithms) > 1 else ((), ())
        table = pd.DataFrame({"algorithm": first, "other": second, "difference": differences, "low": low, "high": high})
        tables.append(table.assign(architectures=means.shape[1], **dict(zip(GROUP, group, strict=True))))
    columns = [*GROUP, "algorithm", "other", "difference", "low", "high", "architectures"]
    return pd.concat(tables, ignore_index=True)[columns] if tables else pd.DataFrame(columns=columns)


def _standings_of(rows: pd.DataFrame, baseline: str, metric: str, resamples: int) -> pd.DataFrame:
    algorithms, ended = _ended(rows)
    means = _means(ended, algorithms, metric)
    place_low, place_high = _places(means, resamples)
    # Two argsorts give ranks; equal means keep the order of the sweep.
    places = (-means.sum(axis=1)).argsort(kind="stable").argsort(kind="stable") + 1
    own = means[algorithms.index(baseline)] if baseline in algorithms else np.full(means.shape[1], np.nan)
    counts = ended.groupby("algorithm", observed=True)["status"].value_counts().unstack(fill_value=0)
    counts = counts.reindex(index=algorithms, columns=["done", *BAD], fill_value=0)
    table = pd.DataFrame({"algorithm": algorithms, "place": places, "place_low": place_low, "place_high": place_high})
    if means.shape[1]:
        table["accuracy"], table["difference"] = means.mean(axis=1), (means - own).mean(axis=1)
    else:
        table["accuracy"] = table["difference"] = np.nan
    table[["accuracy_low", "accuracy_high"]] = [mean_interval(row) for row in means]
    table[["difference_low", "difference_high"]] = [mean_interval(row - own) for row in means]
    table.loc[table["algorithm"] == baseline, ["difference_low", "difference_high"]] = np.nan  # no difference from itself
    table = table.assign(**{status: counts[status].to_numpy() for status in BAD}, architectures=means.shape[1])
    table = table.assign(bad=counts[list(BAD)].sum(axis=1).to_numpy(), trainings=counts.sum(axis=1).to_numpy())
    return table.sort_values("place", kind="stable")


def _ended(rows: pd.DataFrame) -> tuple[list[str], pd.DataFrame]:
    """The algorithms of a group, and its trials that have an outcome."""
    ended = rows[rows["status"].isin(["done", *BAD])]
    # An architecture refused by every algorithm gives no information about any of them.
    refused = (ended["status"] == "refused").groupby(ended["architecture"].astype(str)).transform("all")
    return [str(label) for label in rows["algorithm"].unique()], ended[~refused]


def _means(ended: pd.DataFrame, algorithms: list[str], metric: str) -> Floats:
    """Mean accuracy over seeds for every architecture with an outcome under all algorithms, (M, A)."""
    # If failures were left out, failing on hard architectures would raise the mean.
    accuracy = pd.to_numeric(ended[metric]).astype("float64").mask(ended["status"] != "done", 0.0)
    keyed = accuracy.groupby([ended["algorithm"].astype(str), ended["architecture"].astype(str)], sort=False).mean()
    wide = keyed.unstack("architecture").reindex(index=algorithms).dropna(axis="columns")
    # A different order of summation must not break ties.
    return wide.to_numpy(dtype=np.float64).round(9)


def _pairs(means: Floats, resamples: int) -> tuple[Floats, Floats, Floats]:
    """Mean difference of every two algorithms with its simultaneous interval, (M (M - 1) / 2,) each; NaN if there are too few
    architectures.
    """
    first, second = np.triu_indices(len(means), 1)
    if not len(first) or not means.shape[1]:
        return (np.full(len(first), np.nan),) * 3
    differences = np.ascontiguousarray((means[first] - means[second]).T)
    # Simultaneous over all pairs: places follow from every difference at once (Mogstad et al.).
    return differences.mean(axis=0), *simultaneous_band(differences, np.random.default_rng(0), resamples=resamples)


def _places(means: Floats, resamples: int) -> tuple[Floats, Floats]:
    """First and last possible place of every algorithm, (M,) each; NaN if there are too few architectures."""
    count = len(means)
    _, low, high = _pairs(means, resamples)
    if not len(low) or np.isnan(low).any():
        return np.full(count, np.nan), np.full(count, np.nan)
    first, second = np.triu_indices(count, 1)
    better, worse = low > 0, high < 0
    # Per algorithm, the number of significantly better and of significantly worse ones.
    above = np.bincount(second[better], minlength=count) + np.bincount(first[worse], minlength=count)
    below = np.bincount(first[better], minlength=count) + np.bincount(second[worse], minlength=count)
    return (1 + above).astype(np.float64), (count - below).astype(np.float64)
