"""How well predicted learning rates agree with searched ones."""

from __future__ import annotations

import numpy as np
import pandas as pd
import scipy.stats

from agd_bench.analysis.pairing import GROUP
from agd_bench.errors import InputError


def prediction_correlation(rates: pd.DataFrame) -> pd.DataFrame:
    """Correlation of predicted with searched learning rates over architectures.

    Args:
        rates: one row per group and architecture: `search_space`, `dataset`, `profile`, `predicted_rate`, `searched_rate` (both above 0;
            rows that lack one are left out), `at_grid_end` (whether the searched rate is the grid's first or last one, so that the true
            one may lie beyond).

    Returns:
        One row per group with at least four architectures: the group's columns; `architectures` (compared), `at_grid_end` (how many of
        them), `pearson` (of the rates, as published) with its 95 % interval `pearson_low`, `pearson_high` (Fisher's z: it takes the
        rates as normal, which they are not quite), `pearson_log` (of their logarithms), `spearman`, and `median_ratio` (of predicted to
        searched rate). Correlations are NaN where all predicted or all searched rates are equal.

    Raises:
        InputError: a rate that is not above 0.

    References:
        W. Chen, J. Wu, Z. Wang and B. Hanin, "Principled Architecture-aware Scaling of Hyperparameters", ICLR 2024, section 4.1.

    >>> rates = pd.DataFrame({"search_space": "s", "dataset": "d", "profile": "p", "predicted_rate": [0.1, 0.2, 0.4, 0.8],
    ...     "searched_rate": [0.05, 0.1, 0.2, 0.4], "at_grid_end": [False, False, False, True]})
    >>> prediction_correlation(rates)[["architectures", "at_grid_end", "pearson_log", "median_ratio"]].round(9).values.tolist()
    [[4.0, 1.0, 1.0, 2.0]]
    """
    known = rates.dropna(subset=["predicted_rate", "searched_rate"])
    if (known[["predicted_rate", "searched_rate"]] <= 0).to_numpy().any():
        raise InputError("a learning rate of 0 or less stands among the predicted or searched ones; rates are above 0")
    rows = [
        {**dict(zip(GROUP, key, strict=True)), **_correlation(part)} for key, part in known.groupby(GROUP, sort=False) if len(part) >= 4
    ]
    columns = ["architectures", "at_grid_end", "pearson", "pearson_low", "pearson_high", "pearson_log", "spearman", "median_ratio"]
    return pd.DataFrame(rows, columns=[*GROUP, *columns])


def _correlation(part: pd.DataFrame) -> dict[str, float]:
    predicted, searched = (part[f"{which}_rate"].to_numpy(dtype=np.float64) for which in ("predicted", "searched"))
    counts = {"architectures": len(part), "at_grid_end": int(part["at_grid_end"].sum())}
    ratio = {"median_ratio": float(np.median(predicted / searched))}
    if min(np.ptp(predicted), np.ptp(searched)) == 0:
        return {**counts, **dict.fromkeys(("pearson", "pearson_low", "pearson_high", "pearson_log", "spearman"), np.nan), **ratio}
    pearson = scipy.stats.pearsonr(predicted, searched)
    interval = pearson.confidence_interval(0.95)
    return {
        **counts,
        "pearson": float(pearson.statistic),
        "pearson_low": float(interval.low),
        "pearson_high": float(interval.high),
        "pearson_log": float(scipy.stats.pearsonr(np.log(predicted), np.log(searched)).statistic),
        "spearman": float(scipy.stats.spearmanr(predicted, searched).statistic),
        **ratio,
    }
