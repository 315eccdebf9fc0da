"""Learning rates predicted from graphs, those found by a grid search, and the agreement between them.

The searched rate of an architecture is the largest rate of a grid with the smallest training loss after one epoch, averaged over seeds.
The correlation of a perfect prediction with it is estimated by repeating the search on each seed alone: with S seeds and a mean
correlation r between the rates of two seeds, the mean over seeds has reliability R = S r / (1 + (S − 1) r), and no correlation with it
can be expected to exceed sqrt(R).

The logarithm of the searched rate is also regressed on the logarithms of the predicted rate and of the signal, the mean square of the
classifier's input at initialisation.

References:
    W. Chen, J. Wu, Z. Wang and B. Hanin, "Principled Architecture-aware Scaling of Hyperparameters", ICLR 2024, section 4.1.
    C. Spearman, Correlation calculated from faulty data, British Journal of Psychology, 1910 (attenuation, and reliability of a mean).
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator

import numpy as np
import pandas as pd
import scipy.stats

from agd_bench.analysis.scores import GROUP, Floats
from agd_bench.errors import InputError
from agd_bench.records import Sweep

PAIR = ["predicted", "searched"]
RATES = ["predicted_rate", "searched_rate"]


def predicted_rates(trials: pd.DataFrame, factors: pd.DataFrame, sweep: Sweep) -> pd.DataFrame:
    """The learning rate predicted for each architecture, and the one found by its own grid search.

    Both follow from the base rates chosen by the studies and from the graphs.

    Args:
        trials: the table of trials.
        factors: the table `rate_factors` of `store`, with the factor by which an algorithm multiplies a base rate, and the signal.
        sweep: the sweep; of the algorithms with factors, those tuned once for the search space predict, and those tuned for each
            architecture search.

    Returns:
        One row per group, pair of such algorithms and architecture: `search_space`, `dataset`, `profile`, `predicted`, `searched` (their
        labels), `architecture`, `predicted_rate`, `searched_rate` (above 0; NaN where no study has chosen yet), `at_grid_end` (whether
        the searched one comes of the grid's first or last base rate, so that the true one may lie beyond), and `searched_rate_of_SEED`,
        what the search finds by the tuning trials of that seed alone (NaN where none of them was trained to its end); `signal` (mean
        square of the classifier's input at the start).
    """
    scopes = {choice.label: choice.tuning_scope for choice in sweep.algorithms if choice.label in set(factors["algorithm"])}
    of_scope = {scope: [label for label, one in scopes.items() if one == scope] for scope in ("search-space", "architecture")}
    tables = {label: _rates(trials[trials["algorithm"] == label], factors[factors["algorithm"] == label]) for label in scopes}
    found = []
    for predicted, searched in itertools.product(of_scope["search-space"], of_scope["architecture"]):
        # The paper's rule: one base rate tuned for the space, times the graph's factor.
        first = tables[predicted][[*GROUP, "architecture", "rate"]].rename(columns={"rate": "predicted_rate"})
        second = tables[searched].rename(columns={"rate": "searched_rate"})
        signals = factors[factors["algorithm"] == searched][["search_space", "architecture", "signal"]]
        second = second.merge(signals, on=["search_space", "architecture"], validate="many_to_one")
        both = first.merge(second, on=[*GROUP, "architecture"], validate="one_to_one")
        found.append(both.assign(predicted=predicted, searched=searched))
    columns = [*GROUP, *PAIR, "architecture", *RATES, "at_grid_end", "signal"]
    table = pd.concat(found, ignore_index=True) if found else pd.DataFrame(columns=columns)
    return table[[*columns, *rates_by_seed(table)]].astype(dict.fromkeys(RATES, float))


def rates_by_seed(table: pd.DataFrame) -> list[str]:
    return [str(name) for name in table if str(name).startswith("searched_rate_of_")]


def _rates(own: pd.DataFrame, factors: pd.DataFrame) -> pd.DataFrame:
    """Rates of one algorithm: base rates times factors."""
    # Keep diverged trials: a predicted rate may be too large to train with, and dropping it would flatter the rule.
    final = own[(own["purpose"] == "final") & (own["status"] != "refused")].drop_duplicates([*GROUP, "architecture"])
    table = final[[*GROUP, "architecture", "study"]].assign(base=final["hyperparameters"].map(_base_rate).astype(float))
    table = table.merge(factors[["search_space", "architecture", "factor"]], on=["search_space", "architecture"], validate="many_to_one")
    tuning = own[own["purpose"] == "tuning"]
    tuning = tuning.assign(base=tuning["hyperparameters"].map(_base_rate).astype(float))
    # The best rate may lie beyond the grid.
    ends = (tuning["base"].min(), tuning["base"].max())
    alone = {f"searched_rate_of_{seed}": table["study"].map(_chosen(rows)) * table["factor"] for seed, rows in tuning.groupby("seed")}
    found = table.assign(rate=table["base"] * table["factor"], at_grid_end=table["base"].isin(ends), **alone)
    return found.drop(columns=["study", "base", "factor"])


def _base_rate(hyperparameters: object) -> float:
    value = json.loads(hyperparameters).get("base_rate") if isinstance(hyperparameters, str) else None
    return float("nan") if value is None else float(value)


def _chosen(rows: pd.DataFrame) -> pd.Series[float]:
    """The largest base rate with the smallest training loss in each study; studies without a finished trial are left out."""
    # Among equal losses choose the largest rate, as in the paper.
    done = rows[(rows["status"] == "done") & rows["train_loss"].notna()].sort_values(["train_loss", "base"], ascending=[True, False])
    return done.groupby("study")["base"].first()


EXPONENTS = (("signal_slope", "signal_low", "signal_high"), ("beside_signal", "beside_low", "beside_high"))
LEAST_SPREAD = 0.3
"""Standard deviation of the signal's logarithm below which the signal is considered equal in all networks."""
FEWEST = 4
"""Smallest number of architectures for which a correlation is reported."""
_SHARED = ["architectures", "pearson", "pearson_low", "pearson_high"]
_COLUMNS = [
    *_SHARED, "noise_ceiling", "pearson_log", "spearman", "slope_log", "slope_low", "slope_high", "signal_pearson_log", "signal_slope",
    "signal_low", "signal_high", "beside_signal", "beside_low", "beside_high", "median_ratio", "at_grid_end",
    *(f"pooled_{name}" for name in _SHARED),
]  # fmt: skip


def prediction_correlation(rates: pd.DataFrame) -> pd.DataFrame:
    """Correlation of predicted with searched learning rates over architectures.

    Args:
        rates: as returned by `predicted_rates`; rows with a missing rate are left out.

    Returns:
        One row per group and pair of algorithms with at least four architectures: `search_space`, `dataset`, `profile`, `predicted`,
        `searched`; `architectures` (compared); `pearson` (of the rates, as published) with its 95 % interval `pearson_low`,
        `pearson_high` (Fisher's z: it takes the rates as normal, which they are not quite); `noise_ceiling` (the largest correlation that a
        perfect prediction could be expected to have, see above; NaN with one seed or fewer than 3 architectures of them all);
        `pearson_log` (of their logarithms), `spearman`; `slope_log` with `slope_low`, `slope_high` (by how much the logarithm of the
        searched rate rises with that of the predicted one, least squares, 95 % interval; the theory says 1); `signal_pearson_log`
        (correlation with the signal, both in logarithms), and of the regression on both `signal_slope` (of the signal) and
        `beside_signal` (of the predicted rate), with intervals likewise (NaN where the signal hardly differs); `median_ratio` (of predicted
        to searched rate); `at_grid_end` (how many searches ended there); `pooled_architectures`, `pooled_pearson` and its interval (over
        all search spaces of that data set, profile and pair together). Correlations are NaN where all predicted or all searched rates are
        equal.

    Raises:
        InputError: a rate that is not above 0.

    >>> rates = pd.DataFrame({"search_space": "s", "dataset": "d", "profile": "p", "predicted": "a", "searched": "b",
    ...     "signal": 1.0,
    ...     "predicted_rate": [0.1, 0.2, 0.4, 0.8], "searched_rate": [0.05, 0.1, 0.2, 0.4], "at_grid_end": [False, False, False, True]})
    >>> prediction_correlation(rates)[["architectures", "at_grid_end", "pearson_log", "slope_log", "median_ratio"]].round(9).values.tolist()
    [[4.0, 1.0, 1.0, 1.0, 2.0]]
    """
    whole = rates.dropna(subset=RATES)
    if (whole[RATES] <= 0).to_numpy().any():
        raise InputError("the predicted and searched learning rates must be above 0; at least one is 0 or less")
    rows = []
    for key, part in whole.groupby([*GROUP, *PAIR], sort=False):
        if len(part) >= FEWEST:
            named = dict(zip([*GROUP, *PAIR], key, strict=True))
            alike = whole[(whole[[*GROUP[1:], *PAIR]] == [named[name] for name in (*GROUP[1:], *PAIR)]).all(axis=1)]
            pooled = dict(_pearson(alike))
            rows.append({**named, **_correlation(part), **{f"pooled_{name}": value for name, value in pooled.items()}})
    return pd.DataFrame(rows, columns=[*GROUP, *PAIR, *_COLUMNS])


def _pearson(part: pd.DataFrame) -> Iterator[tuple[str, float]]:
    """Pearson's r of the rates with its interval; NaN if undefined."""
    predicted, searched = (part[name].to_numpy(dtype=np.float64) for name in RATES)
    yield "architectures", len(part)
    # A constant has no correlation; scipy would warn and return NaN.
    if min(np.ptp(predicted), np.ptp(searched)) == 0:
        yield from dict.fromkeys(_SHARED[1:], np.nan).items()
        return
    found = scipy.stats.pearsonr(predicted, searched)
    interval = found.confidence_interval(0.95)
    yield from zip(_SHARED[1:], (float(found.statistic), float(interval.low), float(interval.high)), strict=True)


def _correlation(part: pd.DataFrame) -> dict[str, float]:
    found: dict[str, float] = dict(_pearson(part))
    predicted, searched = (part[name].to_numpy(dtype=np.float64) for name in RATES)
    found |= {"median_ratio": float(np.median(predicted / searched)), "at_grid_end": int(part["at_grid_end"].sum())}
    alone = part[rates_by_seed(part)].to_numpy(dtype=np.float64)
    # The search is noisy and its grid coarse, so even a perfect prediction would have a correlation below 1.
    found["noise_ceiling"] = correlation_ceiling(alone)
    if np.isnan(found["pearson"]):
        return found
    signal = np.log(part["signal"].to_numpy(dtype=np.float64))
    predicted_log, searched_log = np.log(predicted), np.log(searched)
    found |= dict(zip(("slope_log", "slope_low", "slope_high"), _exponents(searched_log, predicted_log)[0], strict=True))
    found["pearson_log"] = float(np.corrcoef(predicted_log, searched_log)[0, 1])
    # The rule assumes that weights preserve the size of the signal, which identity connections break. Three coefficients need n > 4.
    if signal.std() > LEAST_SPREAD and len(part) > 4:
        found["signal_pearson_log"] = float(np.corrcoef(signal, searched_log)[0, 1])
        for names, ends in zip(EXPONENTS, _exponents(searched_log, signal, predicted_log), strict=True):
            found |= dict(zip(names, ends, strict=True))
    return found | {"spearman": float(scipy.stats.spearmanr(predicted, searched).statistic)}


def _exponents(searched: Floats, *causes: Floats) -> list[tuple[float, float, float]]:
    """Least-squares coefficient of each cause, of shape (n,), with its 95 % interval; the model includes a constant."""
    design = np.column_stack([np.ones(len(searched)), *causes])
    coefficients = np.linalg.lstsq(design, searched, rcond=None)[0]
    left, free = searched - design @ coefficients, len(searched) - design.shape[1]
    # Classical standard errors: residual variance times the diagonal of (X'X)⁻¹.
    errors = np.sqrt(np.diag(np.linalg.pinv(design.T @ design)) * (left @ left) / free)
    half = errors * scipy.stats.t.ppf(0.975, free)
    return [(float(c), float(c - h), float(c + h)) for c, h in zip(coefficients[1:], half[1:], strict=True)]


def correlation_ceiling(repeated: Floats) -> float:
    """The largest correlation to be expected with a mean of repeated measurements.

    Args:
        repeated: measurements, (n, S), of n things by S seeds; rows with a missing one are left out.

    Returns:
        sqrt(S r / (1 + (S − 1) r)) with r the mean correlation between two seeds, at least 0; NaN where there is none.

    >>> round(correlation_ceiling(np.array([[1.0, 1.0], [2.0, 2.5], [3.0, 2.0], [4.0, 4.5]])), 3)
    0.967
    """
    whole = repeated[~np.isnan(repeated).any(axis=1)]
    seeds = whole.shape[1]
    if seeds < 2 or len(whole) < 3 or (np.ptp(whole, axis=0) == 0).any():
        return float("nan")
    # A negative r means no reliability, and the square root would be undefined.
    r = max(0.0, float(np.atleast_2d(np.corrcoef(whole.T))[np.triu_indices(seeds, 1)].mean()))
    # Spearman–Brown reliability of a mean; its root bounds the correlation with it.
    return float(np.sqrt(seeds * r / (1 + (seeds - 1) * r)))
